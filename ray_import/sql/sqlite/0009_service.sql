-- The service's queue: jobs that were accepted over HTTP, and the workers that execute them.

CREATE TABLE service_jobs (
    id               TEXT PRIMARY KEY,
    user_id          TEXT NOT NULL,
    state            TEXT NOT NULL CHECK (state IN ('queued', 'running', 'complete', 'partial', 'failed', 'cancelled')),
    stage            TEXT NOT NULL CHECK (stage IN ('import', 'profile')),
    source           TEXT NOT NULL,      -- may be a signed URL: '' once the job has ended
    source_label     TEXT NOT NULL,      -- without secrets
    file_type        TEXT NOT NULL,
    idempotency_key  TEXT NOT NULL,      -- '' where the request had none
    request_hash     TEXT NOT NULL,
    attempts         INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL,
    counts           TEXT NOT NULL,      -- JSON object
    error            TEXT,
    error_type       TEXT,
    holder           TEXT,               -- host and process, of the last attempt
    due_at           TEXT NOT NULL,      -- a queued job is not claimed before
    created_at       TEXT NOT NULL,
    started_at       TEXT,               -- of the last attempt
    updated_at       TEXT NOT NULL,      -- a running job's last heartbeat
    finished_at      TEXT
);
-- One active job a user at a time.
CREATE UNIQUE INDEX service_jobs_active ON service_jobs (user_id) WHERE state IN ('queued', 'running');
CREATE UNIQUE INDEX service_jobs_by_key ON service_jobs (user_id, idempotency_key) WHERE idempotency_key <> '';
-- What claims look through: ended jobs are not in it.
CREATE INDEX service_jobs_queue ON service_jobs (created_at) WHERE state IN ('queued', 'running');
CREATE INDEX service_jobs_by_user ON service_jobs (user_id, created_at);
CREATE INDEX service_jobs_by_state ON service_jobs (state, created_at);
CREATE INDEX service_jobs_ended ON service_jobs (finished_at, state) WHERE finished_at IS NOT NULL;

CREATE TABLE service_workers (
    holder  TEXT PRIMARY KEY,            -- host and process
    seen_at TEXT NOT NULL                -- its last sign of life
);
