-- Numbers of a device's account that came, and whose alerts have been forgotten since: ranges that do not touch.
CREATE TABLE forgotten (
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    account TEXT NOT NULL, -- empty: not named
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    PRIMARY KEY (tenant, device, account, first),
    FOREIGN KEY (tenant, device) REFERENCES device (tenant, id) ON DELETE CASCADE
);

-- The time that forgetting believes (ageing.py), by what is forgotten.
CREATE TABLE ageing (
    name TEXT PRIMARY KEY,
    at BIGINT NOT NULL
);

CREATE INDEX device_leaving ON device (tenant, id) WHERE decommissioning = 1;
