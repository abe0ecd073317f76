-- What PostgreSQL has beside the tables. Run before the migrations of every new version: it has to bear that.

-- Whoever writes locks it with the others, or alone after collisions (postgres.py); it has nothing in it.
CREATE TABLE IF NOT EXISTS writer ();

-- The meaning of regex.py in the dialect at hand: anchored at the start, and what cannot be understood matches nothing.
-- \b and \B are \y and \Y here; `.` does not match the end of a line.
CREATE OR REPLACE FUNCTION vedette_regex(pattern text, subject text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $function$
DECLARE
    parts text[] := regexp_match(pattern, '^/(.*)/([imsx]*)$');
    body text := coalesce(parts[1], pattern);
    letters text := coalesce(parts[2], '');
    options text;
BEGIN
    IF subject IS NULL OR length(body) > 1024 THEN
        RETURN FALSE;
    END IF;
    options := CASE
        WHEN letters LIKE '%m%' AND letters LIKE '%s%' THEN 'w'
        WHEN letters LIKE '%m%' THEN 'n'
        WHEN letters LIKE '%s%' THEN 's'
        ELSE 'p'
    END || CASE WHEN letters LIKE '%i%' THEN 'i' ELSE '' END || CASE WHEN letters LIKE '%x%' THEN 'x' ELSE '' END;
    IF body LIKE '(?i)%' THEN
        body := substr(body, 5);
        options := options || 'i';
    END IF;
    body := regexp_replace(body, '((?:^|[^\\])(?:\\\\)*)\\b', '\1\\y', 'g');
    body := regexp_replace(body, '((?:^|[^\\])(?:\\\\)*)\\B', '\1\\Y', 'g');
    RETURN left(subject, 1024) ~ ('(?' || options || ')\A(?:' || body || ')');
EXCEPTION WHEN invalid_regular_expression THEN
    RETURN FALSE;
END
$function$;

-- Keeps device_count, for the triggers of 0006_big_fleets.postgresql.sql.
CREATE OR REPLACE FUNCTION vedette_count_device() RETURNS trigger
LANGUAGE plpgsql AS $function$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE device_count SET devices = devices - 1 WHERE tenant = OLD.tenant
            AND coalesce(group_name, '') = coalesce(OLD.group_name, '') AND status = OLD.status;
        DELETE FROM device_count WHERE tenant = OLD.tenant
            AND coalesce(group_name, '') = coalesce(OLD.group_name, '') AND status = OLD.status AND devices = 0;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO device_count (tenant, group_name, status, devices)
            VALUES (NEW.tenant, NEW.group_name, NEW.status, 1)
            ON CONFLICT (tenant, coalesce(group_name, ''), status) DO UPDATE SET devices = device_count.devices + 1;
    END IF;
    RETURN NULL;
END
$function$;

-- Keeps configuration_due, for the trigger of 0009_configuration_layers.postgresql.sql.
CREATE OR REPLACE FUNCTION vedette_configure_device() RETURNS trigger
LANGUAGE plpgsql AS $function$
BEGIN
    INSERT INTO configuration_due (tenant, device, anew)
        SELECT NEW.tenant, NEW.id, CASE WHEN OLD.status <> 'accepted' THEN 1 ELSE 0 END
        WHERE EXISTS (SELECT 1 FROM configuration_version WHERE tenant = NEW.tenant)
        ON CONFLICT (tenant, device) DO UPDATE SET anew = configuration_due.anew + excluded.anew;
    RETURN NULL;
END
$function$;
