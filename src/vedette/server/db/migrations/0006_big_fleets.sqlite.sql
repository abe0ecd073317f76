CREATE TRIGGER device_added AFTER INSERT ON device BEGIN
    INSERT INTO device_count (tenant, group_name, status, devices) VALUES (NEW.tenant, NEW.group_name, NEW.status, 1)
    ON CONFLICT (tenant, coalesce(group_name, ''), status) DO UPDATE SET devices = devices + 1; END;

CREATE TRIGGER device_removed AFTER DELETE ON device BEGIN
    UPDATE device_count SET devices = devices - 1 WHERE tenant = OLD.tenant
    AND coalesce(group_name, '') = coalesce(OLD.group_name, '') AND status = OLD.status; END;

CREATE TRIGGER device_came AFTER UPDATE OF group_name, status ON device
WHEN OLD.group_name IS NOT NEW.group_name OR OLD.status != NEW.status BEGIN
    INSERT INTO device_count (tenant, group_name, status, devices) VALUES (NEW.tenant, NEW.group_name, NEW.status, 1)
    ON CONFLICT (tenant, coalesce(group_name, ''), status) DO UPDATE SET devices = devices + 1; END;

CREATE TRIGGER device_left AFTER UPDATE OF group_name, status ON device
WHEN OLD.group_name IS NOT NEW.group_name OR OLD.status != NEW.status BEGIN
    UPDATE device_count SET devices = devices - 1 WHERE tenant = OLD.tenant
    AND coalesce(group_name, '') = coalesce(OLD.group_name, '') AND status = OLD.status; END;

CREATE TRIGGER device_count_ended AFTER UPDATE OF devices ON device_count WHEN NEW.devices = 0 BEGIN
    DELETE FROM device_count WHERE tenant = NEW.tenant
    AND coalesce(group_name, '') = coalesce(NEW.group_name, '') AND status = NEW.status; END;
