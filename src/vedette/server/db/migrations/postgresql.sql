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
