-- Times are microseconds since 1970, UTC. Ids are lower-case UUID text. The tenant leads every key.

CREATE TABLE server_secret (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE tenant (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    token TEXT NOT NULL UNIQUE, -- what devices send; opaque to them
    status TEXT NOT NULL DEFAULT 'active',
    alert_email INTEGER NOT NULL DEFAULT 1, -- the tenant's switch of alert e-mails
    settings TEXT NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL
);

CREATE TABLE user (
    tenant TEXT NOT NULL REFERENCES tenant (id),
    id TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE, -- lower case; one person, one tenant, for now
    password_hash TEXT NOT NULL,
    roles TEXT NOT NULL DEFAULT '["RBAC_ROLE_PERMIT_ALL"]',
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    login_at INTEGER,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;

CREATE TABLE session (
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    id TEXT NOT NULL, -- the jti of the token
    created_at INTEGER NOT NULL,
    expires_at INTEGER, -- NULL: never
    PRIMARY KEY (tenant, user_id, id),
    FOREIGN KEY (tenant, user_id) REFERENCES user (tenant, id) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE device (
    tenant TEXT NOT NULL REFERENCES tenant (id),
    id TEXT NOT NULL,
    identity TEXT NOT NULL, -- canonical JSON object
    identity_hash TEXT NOT NULL, -- SHA-256 of it, hex
    status TEXT NOT NULL, -- the best of its auth sets: accepted, preauthorized, pending, rejected, noauth
    group_name TEXT, -- its static group
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    check_in_at INTEGER,
    decommissioning INTEGER NOT NULL DEFAULT 0,
    open_count INTEGER NOT NULL DEFAULT 0, -- open subjects; scope monitor of the inventory
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, identity_hash)
) WITHOUT ROWID;
CREATE INDEX device_by_age ON device (tenant, created_at DESC, id);
CREATE INDEX device_by_group ON device (tenant, group_name, id);
CREATE INDEX device_by_status ON device (tenant, status, group_name);
CREATE INDEX device_with_issues ON device (tenant, group_name, id) WHERE open_count > 0;

CREATE TABLE auth_set (
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    id TEXT NOT NULL, -- also the jti of the device's token
    pubkey TEXT NOT NULL, -- canonical PEM
    status TEXT NOT NULL,
    token_hash TEXT, -- SHA-256 of the one live token, hex
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, device, id),
    UNIQUE (tenant, device, pubkey),
    FOREIGN KEY (tenant, device) REFERENCES device (tenant, id) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE attribute (
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    scope TEXT NOT NULL, -- identity, inventory, tags; system and monitor are columns of device
    name TEXT NOT NULL,
    value TEXT NOT NULL, -- JSON: string, number, or array of one of them
    description TEXT,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, device, scope, name),
    FOREIGN KEY (tenant, device) REFERENCES device (tenant, id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX attribute_by_value ON attribute (tenant, scope, name, {key:value}, device);

-- The id carries the device's time and a hash of the content (alerts/ids.py), so this one key is identity,
-- idempotency and the order of the history. With a rowid: rows are big, the key is small, lists count by the key alone.
CREATE TABLE alert (
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    level TEXT NOT NULL,
    at INTEGER NOT NULL, -- the device's clock
    received_at INTEGER NOT NULL,
    subject_type TEXT NOT NULL,
    subject_name TEXT NOT NULL,
    subject_status TEXT NOT NULL,
    details TEXT, -- JSON as received and checked
    sequence INTEGER, -- the device's own account, where it keeps one
    boot TEXT,
    elapsed_us INTEGER, -- since that boot
    account TEXT, -- of which store of the device; NULL: it does not say
    origin TEXT, -- the id the device gave it
    PRIMARY KEY (tenant, device, id),
    FOREIGN KEY (tenant, device) REFERENCES device (tenant, id) ON DELETE CASCADE
);

-- What is known of a subject now: its newest alert by the device's order (alerts/order.py). A problem is an open one.
CREATE TABLE subject (
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    type TEXT NOT NULL,
    name TEXT NOT NULL,
    level TEXT NOT NULL, -- of the newest alert, as the next four
    open INTEGER NOT NULL,
    alert_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    account TEXT NOT NULL,
    sequence INTEGER,
    others TEXT, -- JSON: the newest alerts of the device's other accounts; nearly always NULL
    opened_by TEXT, -- id of the alert that opened its last problem
    PRIMARY KEY (tenant, device, type, name),
    FOREIGN KEY (tenant, device) REFERENCES device (tenant, id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX subject_open ON subject (tenant, at, device) WHERE open = 1;

CREATE TABLE monitor_config (
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    document TEXT NOT NULL, -- JSON array of MonitorConfiguration, as reported
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, device),
    FOREIGN KEY (tenant, device) REFERENCES device (tenant, id) ON DELETE CASCADE
) WITHOUT ROWID;

-- An alert somebody may have to hear of; notify/ decides who, in one transaction, and writes a delivery for each.
CREATE TABLE notification (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    alert_id TEXT NOT NULL,
    thread TEXT NOT NULL, -- id of the alert that opened the problem: what belongs together in a mailbox
    created_at INTEGER NOT NULL,
    FOREIGN KEY (tenant, device) REFERENCES device (tenant, id) ON DELETE CASCADE
);

-- One alert owed to one recipient over one channel; leased by one atomic update.
CREATE TABLE delivery (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    alert_id TEXT NOT NULL,
    thread TEXT NOT NULL,
    user_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    address TEXT NOT NULL,
    state TEXT NOT NULL, -- due, sent, failed, withheld
    reason TEXT NOT NULL, -- why it was or was not sent, in one sentence
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    ended_at INTEGER,
    FOREIGN KEY (tenant, device) REFERENCES device (tenant, id) ON DELETE CASCADE
);
CREATE INDEX delivery_due ON delivery (due_at) WHERE state = 'due';
CREATE INDEX delivery_of_alert ON delivery (tenant, device, alert_id);
