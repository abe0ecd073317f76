-- How many devices there are, so that nobody has to count a million of them. Kept by triggers on `device`
-- (NAME.sqlite.sql and NAME.postgresql.sql beside this file); a group and status without devices has no row.
CREATE TABLE device_count (
    tenant TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    group_name TEXT, -- NULL: in no group
    status TEXT NOT NULL,
    devices BIGINT NOT NULL
);
CREATE UNIQUE INDEX device_count_key ON device_count (tenant, coalesce(group_name, ''), status);
INSERT INTO device_count (tenant, group_name, status, devices)
    SELECT tenant, group_name, status, count(*) FROM device GROUP BY tenant, group_name, status;

-- One for each order that lists have, with all in it that they are mostly narrowed by: pages are found in it alone.
DROP INDEX device_by_age;
CREATE INDEX device_by_age ON device (tenant, created_at DESC, id, group_name, status);
DROP INDEX device_by_group;
CREATE INDEX device_by_group ON device (tenant, group_name, id, status, created_at);
DROP INDEX device_by_status;
CREATE INDEX device_by_status ON device (tenant, status, id, group_name, created_at);
DROP INDEX device_with_issues;
CREATE INDEX device_with_issues ON device (tenant, id, group_name, status, open_count) WHERE open_count > 0;
CREATE INDEX device_with_issues_by_age ON device (tenant, created_at DESC, id, group_name, status, open_count)
    WHERE open_count > 0;
