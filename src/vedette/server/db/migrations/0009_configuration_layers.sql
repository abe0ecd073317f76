-- What is wanted of many devices: of all of the tenant, or of those in a static group. Each change is a version.
CREATE TABLE configuration_version (
    tenant TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    group_name TEXT NOT NULL, -- empty: the layer of the tenant
    number BIGINT NOT NULL,
    content TEXT NOT NULL, -- JSON object of texts, and nulls: what is to be absent
    author TEXT NOT NULL,
    comment TEXT NOT NULL,
    reverted_to BIGINT, -- the version that was taken back; NULL: none
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, group_name, number)
);

-- The same of one device. What counts is in device_configuration.
CREATE TABLE device_configuration_version (
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    number BIGINT NOT NULL,
    content TEXT NOT NULL,
    author TEXT NOT NULL,
    comment TEXT NOT NULL,
    reverted_to BIGINT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, device, number),
    FOREIGN KEY (tenant, device) REFERENCES device (tenant, id) ON DELETE CASCADE
);
-- JSON: keys of outer layers that do not count.
ALTER TABLE device_configuration ADD COLUMN absent TEXT NOT NULL DEFAULT '[]';
ALTER TABLE device_configuration ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
-- Hashes of what its last deployment brings (NULL: not known), and of what it reports.
ALTER TABLE device_configuration ADD COLUMN deployed TEXT;
ALTER TABLE device_configuration ADD COLUMN reported_hash TEXT NOT NULL DEFAULT '';
CREATE INDEX device_configuration_drift ON device_configuration (tenant, device) WHERE deployed <> reported_hash;

-- How a version of a layer reaches its devices: in waves, by a hash of the rollout and the device (configuration/waves.py).
CREATE TABLE rollout (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    group_name TEXT NOT NULL,
    version BIGINT NOT NULL,
    state TEXT NOT NULL, -- running, paused, halted, aborted, rolled_back, superseded, finished
    reason TEXT NOT NULL,
    author TEXT NOT NULL,
    comment TEXT NOT NULL,
    parameters TEXT NOT NULL, -- JSON
    waves TEXT NOT NULL, -- JSON: how far each wave is
    wave BIGINT NOT NULL, -- that has begun last, from 1; 0: none
    reached BIGINT NOT NULL, -- devices up to this hash are meant by now; -1: none
    stopped INTEGER NOT NULL, -- 1: only devices that have begun are meant
    handed_to TEXT, -- id of the last device that was looked at in this wave; NULL: all of them
    forgiven TEXT NOT NULL, -- JSON: what had gone wrong when somebody resumed it
    too_large BIGINT NOT NULL, -- devices whose configuration would be larger than one may be
    cleaning INTEGER NOT NULL, -- 1: deployments that nobody has begun have to be called off
    look_at BIGINT, -- when there is something to do; NULL: nothing by itself
    leased_until BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, group_name, version),
    FOREIGN KEY (tenant, group_name, version)
        REFERENCES configuration_version (tenant, group_name, number) ON DELETE CASCADE
);
CREATE INDEX rollout_by_age ON rollout (tenant, created_at, id);
CREATE INDEX rollout_due ON rollout (look_at) WHERE look_at IS NOT NULL;

-- The deployments that carry it: one for each wave and content; and those of other changes that carry it too.
CREATE TABLE rollout_deployment (
    tenant TEXT NOT NULL,
    rollout TEXT NOT NULL,
    wave BIGINT NOT NULL,
    content_hash TEXT NOT NULL,
    deployment TEXT NOT NULL,
    PRIMARY KEY (tenant, rollout, deployment),
    FOREIGN KEY (tenant, rollout) REFERENCES rollout (tenant, id) ON DELETE CASCADE
);
CREATE INDEX rollout_deployment_by_deployment ON rollout_deployment (tenant, deployment);
-- 1: devices that have not begun do not begin.
ALTER TABLE deployment ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
DROP INDEX device_deployment_by_deployment;
CREATE INDEX device_deployment_by_deployment ON device_deployment (tenant, deployment, device, status);

-- Devices for which another configuration may count now: let in, or in another group. Kept by triggers on `device`, in
-- tenants that have layers; the server looks at them one after the other.
CREATE TABLE configuration_due (
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    anew INTEGER NOT NULL, -- more than 0: it was let in, so what it has is not known
    PRIMARY KEY (tenant, device),
    FOREIGN KEY (tenant, device) REFERENCES device (tenant, id) ON DELETE CASCADE
);
