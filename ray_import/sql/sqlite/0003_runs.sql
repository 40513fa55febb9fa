-- Runs over many users, and how far each user's import is.

CREATE TABLE import_runs (
    id            TEXT PRIMARY KEY,
    what          TEXT NOT NULL,      -- the manifest, prefix or table that the users came from
    settings_hash TEXT NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('running', 'complete', 'failed')),
    started_at    TEXT NOT NULL,
    updated_at    TEXT NOT NULL
);

CREATE TABLE import_run_users (
    run_id     TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    source     TEXT NOT NULL,         -- without secrets
    state      TEXT NOT NULL CHECK (state IN ('pending', 'running', 'complete', 'partial', 'failed', 'skipped')),
    attempts   INTEGER NOT NULL,
    version    TEXT NOT NULL,         -- of the source's bytes: another one has to be read again
    error      TEXT,
    counts     TEXT NOT NULL,         -- JSON object
    updated_at TEXT NOT NULL,
    PRIMARY KEY (run_id, user_id)
);
