-- What was changed, by whom. Entries outlive what they speak of, so nothing here refers to another table.
CREATE TABLE audit_log (
    tenant TEXT NOT NULL,
    at BIGINT NOT NULL,
    id TEXT NOT NULL,
    action TEXT NOT NULL,
    actor_type TEXT NOT NULL, -- user, device
    actor_id TEXT NOT NULL,
    actor_email TEXT NOT NULL, -- empty for devices
    object_type TEXT NOT NULL,
    object_id TEXT NOT NULL,
    object_name TEXT NOT NULL, -- as people know it: an address, the name of a deployment
    object TEXT NOT NULL, -- JSON: the rest of what is known of it
    change TEXT NOT NULL, -- unified diff, or JSON; empty: none
    PRIMARY KEY (tenant, at, id)
);
CREATE INDEX audit_log_of_actor ON audit_log (tenant, actor_id, at);
CREATE INDEX audit_log_of_object ON audit_log (tenant, object_id, at);
CREATE INDEX audit_log_by_age ON audit_log (at);

-- What clients keep for a whole tenant, and for one user. The etag is new with every save.
CREATE TABLE tenant_setting (
    tenant TEXT PRIMARY KEY REFERENCES tenant (id) ON DELETE CASCADE,
    document TEXT NOT NULL,
    etag TEXT NOT NULL
);
CREATE TABLE user_setting (
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    document TEXT NOT NULL,
    etag TEXT NOT NULL,
    PRIMARY KEY (tenant, user_id),
    FOREIGN KEY (tenant, user_id) REFERENCES "user" (tenant, id) ON DELETE CASCADE
);

-- Tokens that people make for their programs. The token itself is not kept: it is signed.
CREATE TABLE personal_token (
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    id TEXT NOT NULL, -- the jti of the token
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT, -- NULL: never
    used_at BIGINT, -- exact to five minutes
    PRIMARY KEY (tenant, user_id, id),
    UNIQUE (tenant, user_id, name),
    FOREIGN KEY (tenant, user_id) REFERENCES "user" (tenant, id) ON DELETE CASCADE
);

-- Time-based one-time passwords. Whoever reads this database reads the key of all tokens too, so it is not encrypted.
CREATE TABLE second_factor (
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    secret TEXT NOT NULL, -- base32
    enabled INTEGER NOT NULL, -- 0: until the first code was right
    last_step BIGINT NOT NULL, -- of the last code that was accepted: none counts twice
    PRIMARY KEY (tenant, user_id),
    FOREIGN KEY (tenant, user_id) REFERENCES "user" (tenant, id) ON DELETE CASCADE
);

-- Secrets that were mailed: each proves once that its holder reads the mails of an address.
CREATE TABLE mailed_secret (
    hash TEXT PRIMARY KEY, -- SHA-256 of the secret, hex
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    purpose TEXT NOT NULL, -- password, address
    email TEXT NOT NULL, -- where it went
    expires_at BIGINT NOT NULL,
    FOREIGN KEY (tenant, user_id) REFERENCES "user" (tenant, id) ON DELETE CASCADE
);
CREATE INDEX mailed_secret_of_user ON mailed_secret (tenant, user_id, purpose);

-- Whom an identity provider means by a subject.
CREATE TABLE sso_identity (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    PRIMARY KEY (issuer, subject),
    FOREIGN KEY (tenant, user_id) REFERENCES "user" (tenant, id) ON DELETE CASCADE
);

-- Whether it is known that the user reads the mails of his address.
ALTER TABLE "user" ADD COLUMN verified INTEGER NOT NULL DEFAULT 1;
