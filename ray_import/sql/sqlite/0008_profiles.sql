-- What a profile is made of: runs, requests to a model, units of conversations, facts, and versions of the profile.

CREATE TABLE profile_runs (
    user_id     TEXT NOT NULL,
    id          TEXT NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('running', 'complete', 'partial', 'failed')),
    report      TEXT NOT NULL,          -- JSON object
    error       TEXT,
    holder      TEXT NOT NULL,          -- host and process
    started_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL,          -- the running one's last heartbeat
    finished_at TEXT,
    PRIMARY KEY (user_id, id)
);
-- One run a user at a time.
CREATE UNIQUE INDEX profile_runs_running ON profile_runs (user_id) WHERE status = 'running';

CREATE TABLE profile_requests (
    user_id       TEXT NOT NULL,
    id            TEXT NOT NULL,        -- the custom id
    run_id        TEXT NOT NULL,
    kind          TEXT NOT NULL,        -- 'quick', 'facts', 'merge' or 'sections'
    model         TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('sending', 'in_batch', 'answered', 'failed', 'unknown_outcome')),
    unit_ids      TEXT NOT NULL,        -- JSON array
    mark          TEXT NOT NULL,        -- the fence of its prompt
    group_id      TEXT NOT NULL,        -- of all requests of one batch, or ''
    batch_id      TEXT NOT NULL,
    attempts      INTEGER NOT NULL,
    stop_reason   TEXT NOT NULL,
    reason        TEXT NOT NULL,        -- why it failed
    input_tokens  INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    usd           REAL NOT NULL,
    rejected      TEXT NOT NULL,        -- JSON object: how many statements of its answer were rejected, by reason
    result        TEXT,                 -- JSON: the checked answer, where it is not facts
    created_at    TEXT NOT NULL,
    PRIMARY KEY (user_id, id)
);

CREATE TABLE profile_units (
    user_id         TEXT NOT NULL,
    id              TEXT NOT NULL,      -- hash of its lines, the prompt's version and the model
    product         TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    content_hash    TEXT NOT NULL,      -- of the conversation when the unit was cut
    state           TEXT NOT NULL CHECK (state IN ('answered', 'split', 'failed')),
    reason          TEXT NOT NULL,
    attempts        INTEGER NOT NULL,
    request_id      TEXT NOT NULL,
    PRIMARY KEY (user_id, id)
);

CREATE TABLE profile_facts (
    user_id         TEXT NOT NULL,
    id              TEXT NOT NULL,      -- UUIDv5 of user, product, conversation, node, category, subject, statement
    category        TEXT NOT NULL,
    subject         TEXT NOT NULL,
    statement       TEXT NOT NULL,
    quote           TEXT NOT NULL,      -- stands in the text of the message
    product         TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    node_id         TEXT NOT NULL,      -- the message, see conversation_messages
    said_at         TEXT,
    valid_from      TEXT,
    valid_to        TEXT,
    status          TEXT NOT NULL CHECK (status IN ('active', 'duplicate', 'superseded')),
    superseded_by   TEXT,               -- the fact that says the same, or that says otherwise later
    seen            INTEGER NOT NULL,   -- the fact and its duplicates
    PRIMARY KEY (user_id, id)
);

-- Which units a fact came of: the pieces of a long message may give the same one.
CREATE TABLE profile_fact_units (
    user_id TEXT NOT NULL,
    fact_id TEXT NOT NULL,
    unit_id TEXT NOT NULL,
    PRIMARY KEY (user_id, fact_id, unit_id)
);
CREATE INDEX profile_fact_units_by_unit ON profile_fact_units (user_id, unit_id);

CREATE TABLE profile_versions (
    user_id        TEXT NOT NULL,
    id             TEXT NOT NULL,
    run_id         TEXT NOT NULL,
    kind           TEXT NOT NULL CHECK (kind IN ('quick', 'full')),
    model          TEXT NOT NULL,
    prompt_version TEXT NOT NULL,
    sections       TEXT NOT NULL,       -- JSON object
    memory_md      TEXT NOT NULL,
    facts_hash     TEXT NOT NULL,
    created_at     TEXT NOT NULL,
    PRIMARY KEY (user_id, id)
);
