-- Known vulnerabilities, for the devices of all tenants. A stream is an ecosystem and its release, as "Debian:12".

-- What was imported, by the name it was given. `kind` is the format it had.
CREATE TABLE feed_source (
    name TEXT NOT NULL,
    stream TEXT NOT NULL,
    kind TEXT NOT NULL,
    imported_at BIGINT NOT NULL,
    advisories BIGINT NOT NULL,
    PRIMARY KEY (name, stream)
);

-- The advisories of a source: lines of JSON, compressed, base64.
CREATE TABLE feed_part (
    name TEXT NOT NULL,
    stream TEXT NOT NULL,
    number BIGINT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (name, stream, number),
    FOREIGN KEY (name, stream) REFERENCES feed_source (name, stream) ON DELETE CASCADE
);

-- What all sources of a stream come to, as devices fetch it: JSON (model/feed.py).
CREATE TABLE feed_stream (
    stream TEXT PRIMARY KEY,
    head TEXT NOT NULL
);

-- The blocks that `head` names, base64.
CREATE TABLE feed_block (
    stream TEXT NOT NULL,
    hash TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (stream, hash),
    FOREIGN KEY (stream) REFERENCES feed_stream (stream) ON DELETE CASCADE
);
