-- Numbers of a device's account that it has given up; what of them came all the same is in `alert`.
CREATE TABLE gap (
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    account TEXT NOT NULL,
    first INTEGER NOT NULL, -- 0: all that was before the account
    last INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL, -- the device's clock
    received_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, device, account, first, last),
    FOREIGN KEY (tenant, device) REFERENCES device (tenant, id) ON DELETE CASCADE
) WITHOUT ROWID;
