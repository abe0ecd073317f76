-- Somebody has taken a problem over: the one that alert `problem` opened (subject.opened_by). It ends with the problem,
-- with its time, or when it is taken back.
CREATE TABLE acknowledgement (
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    problem TEXT NOT NULL,
    user_id TEXT NOT NULL,
    email TEXT NOT NULL, -- who it was, also when he has left
    note TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    until_at BIGINT, -- NULL: until the problem is over
    PRIMARY KEY (tenant, device, problem),
    FOREIGN KEY (tenant, device, problem) REFERENCES alert (tenant, device, id) ON DELETE CASCADE
);
