CREATE TRIGGER device_added_or_removed AFTER INSERT OR DELETE ON device
FOR EACH ROW EXECUTE FUNCTION vedette_count_device();

CREATE TRIGGER device_moved AFTER UPDATE OF group_name, status ON device
FOR EACH ROW WHEN (OLD.group_name IS DISTINCT FROM NEW.group_name OR OLD.status <> NEW.status)
EXECUTE FUNCTION vedette_count_device();
