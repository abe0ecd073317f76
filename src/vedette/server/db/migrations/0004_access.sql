-- The roles that a tenant has made; those that every tenant has are in the program.
CREATE TABLE role (
    tenant TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    grants TEXT NOT NULL, -- JSON: permission sets and their scopes
    rules TEXT NOT NULL, -- JSON: calls by method and path, of the older form
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, name)
);

-- A user of one tenant, his home, who may also act in another.
CREATE TABLE member (
    tenant TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL,
    home TEXT NOT NULL,
    roles TEXT NOT NULL, -- JSON: names of roles of the other tenant
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, user_id),
    FOREIGN KEY (home, user_id) REFERENCES "user" (tenant, id) ON DELETE CASCADE
);
CREATE INDEX member_by_home ON member (home, user_id);
-- the other tenant; NULL: at home
ALTER TABLE session ADD COLUMN acts_in TEXT;

-- Filters that somebody has given a name: dynamic groups.
CREATE TABLE saved_filter (
    tenant TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    terms TEXT NOT NULL, -- JSON: predicates
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
);

-- the service provider that has made it
ALTER TABLE tenant ADD COLUMN parent TEXT;
ALTER TABLE tenant ADD COLUMN service_provider INTEGER NOT NULL DEFAULT 0;
-- devices that can be accepted; 0: any number
ALTER TABLE tenant ADD COLUMN device_limit BIGINT NOT NULL DEFAULT 0;
