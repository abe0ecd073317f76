CREATE TRIGGER device_to_configure AFTER UPDATE OF group_name, status ON device
WHEN NEW.status = 'accepted' AND (OLD.group_name IS NOT NEW.group_name OR OLD.status != NEW.status) BEGIN
    INSERT INTO configuration_due (tenant, device, anew) SELECT NEW.tenant, NEW.id, OLD.status != 'accepted'
    WHERE EXISTS (SELECT 1 FROM configuration_version WHERE tenant = NEW.tenant)
    ON CONFLICT (tenant, device) DO UPDATE SET anew = anew + excluded.anew; END;
