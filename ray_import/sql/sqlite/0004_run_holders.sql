-- One process at a run at a time: host and process of the one that is at it.
ALTER TABLE import_runs ADD COLUMN holder TEXT;

-- Whether the run imports also what was in when it began.
ALTER TABLE import_runs ADD COLUMN force INTEGER NOT NULL DEFAULT 0;

-- What a process holds is asked for every few seconds, and there are few that run.
CREATE INDEX import_jobs_running ON import_jobs (user_id) WHERE status = 'running';
