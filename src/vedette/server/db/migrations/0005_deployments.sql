-- What is to be brought onto devices. What becomes of it on each of them is in device_deployment.
CREATE TABLE deployment (
    tenant TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    type TEXT NOT NULL, -- configuration
    name TEXT NOT NULL,
    artifact_name TEXT NOT NULL, -- what a device calls itself after it
    content TEXT NOT NULL, -- JSON; of a configuration: all of it, as it was then
    control_map TEXT, -- JSON: where the device is to wait; NULL: nowhere
    retries BIGINT NOT NULL, -- how often a device gets it again that has failed
    status TEXT NOT NULL, -- pending, inprogress, finished
    unfinished BIGINT NOT NULL, -- devices on which it has not ended
    gone TEXT NOT NULL, -- JSON: number of devices by status, of those that have been decommissioned
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX deployment_by_age ON deployment (tenant, created_at, id);
CREATE INDEX deployment_by_status ON deployment (tenant, status, created_at, id);

CREATE TABLE device_deployment (
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    deployment TEXT NOT NULL,
    position BIGINT NOT NULL, -- among those of this device, which gets them in this order
    status TEXT NOT NULL,
    substate TEXT NOT NULL,
    attempts BIGINT NOT NULL, -- that have failed
    offered TEXT, -- JSON: what the device was when it first asked in this attempt; NULL: it has not asked
    hidden INTEGER NOT NULL, -- 1: somebody has removed it from the history of the device
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT,
    PRIMARY KEY (tenant, device, deployment),
    FOREIGN KEY (tenant, device) REFERENCES device (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, deployment) REFERENCES deployment (tenant, id) ON DELETE CASCADE
);
CREATE INDEX device_deployment_due ON device_deployment (tenant, device, position) WHERE ended_at IS NULL;
CREATE INDEX device_deployment_by_deployment ON device_deployment (tenant, deployment, device);

-- What a device said of its last attempt.
CREATE TABLE deployment_log (
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    deployment TEXT NOT NULL,
    messages TEXT NOT NULL, -- JSON: [microseconds, level, text] each
    PRIMARY KEY (tenant, device, deployment),
    FOREIGN KEY (tenant, device, deployment) REFERENCES device_deployment (tenant, device, deployment) ON DELETE CASCADE
);

-- Settings of a device, as people want them and as it reports them.
CREATE TABLE device_configuration (
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    configured TEXT NOT NULL, -- JSON object of texts
    reported TEXT NOT NULL, -- JSON object of texts
    deployment TEXT, -- the last one that was made of it
    updated_at BIGINT NOT NULL,
    reported_at BIGINT,
    PRIMARY KEY (tenant, device),
    FOREIGN KEY (tenant, device) REFERENCES device (tenant, id) ON DELETE CASCADE
);
