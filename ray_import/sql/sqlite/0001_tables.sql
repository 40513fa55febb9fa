-- What ray_import keeps in a SQLite file. Times are ISO 8601 in UTC, so that text sorts as time does.
-- The version is in `PRAGMA user_version`, the owner in `PRAGMA application_id`.

CREATE TABLE conversation_chunks (
    id              TEXT PRIMARY KEY,   -- UUIDv5 of user, conversation, thread, tier and index
    user_id         TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    thread          TEXT NOT NULL,      -- 'main', or the node with which a side branch begins
    title           TEXT NOT NULL,
    content         TEXT NOT NULL,
    chunk_tier      TEXT NOT NULL,
    chunk_index     INTEGER NOT NULL,   -- from 0, within the thread
    chunk_count     INTEGER NOT NULL,   -- of the thread
    token_count     INTEGER NOT NULL,
    message_count   INTEGER NOT NULL,   -- of the messages that are new in this chunk, not in its overlap
    node_ids        TEXT NOT NULL,      -- so are these (a JSON array)
    created_at      TEXT,               -- and this: the time of the first of them
    is_recent       INTEGER NOT NULL,   -- under 180 days old when it was imported
    import_id       TEXT NOT NULL
);
CREATE INDEX conversation_chunks_by_conversation ON conversation_chunks (user_id, conversation_id);
CREATE INDEX conversation_chunks_by_time ON conversation_chunks (user_id, created_at);

CREATE TABLE imported_conversations (
    user_id         TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    content_hash    TEXT NOT NULL,
    other_hash      TEXT,               -- of a copy in the same export, just as new, that was passed over
    settings_hash   TEXT NOT NULL,
    title           TEXT NOT NULL,
    create_time     TEXT,
    update_time     TEXT,
    node_count      INTEGER NOT NULL,
    message_count   INTEGER NOT NULL,
    chunk_count     INTEGER NOT NULL,
    import_id       TEXT NOT NULL,
    imported_at     TEXT NOT NULL,
    PRIMARY KEY (user_id, conversation_id)
);
CREATE INDEX imported_conversations_by_hash ON imported_conversations (user_id, content_hash);
CREATE INDEX imported_conversations_by_other_hash ON imported_conversations (user_id, other_hash) WHERE other_hash IS NOT NULL;

CREATE TABLE import_jobs (
    id          TEXT PRIMARY KEY,
    user_id     TEXT NOT NULL,
    source      TEXT NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('running', 'complete', 'partial', 'failed')),
    counts      TEXT NOT NULL,          -- JSON object
    error       TEXT,
    started_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL,
    finished_at TEXT
);
CREATE INDEX import_jobs_by_time ON import_jobs (started_at);

CREATE TABLE import_rejects (
    import_id       TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    source_member   TEXT NOT NULL,
    position        INTEGER NOT NULL,
    conversation_id TEXT,
    reason          TEXT NOT NULL,
    raw             BLOB NOT NULL,
    raw_hash        TEXT NOT NULL,
    PRIMARY KEY (user_id, raw_hash)
);
