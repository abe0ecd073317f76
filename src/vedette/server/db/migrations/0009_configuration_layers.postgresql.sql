CREATE TRIGGER device_to_configure AFTER UPDATE OF group_name, status ON device
FOR EACH ROW WHEN (NEW.status = 'accepted'
    AND (OLD.group_name IS DISTINCT FROM NEW.group_name OR OLD.status <> NEW.status))
EXECUTE FUNCTION vedette_configure_device();
