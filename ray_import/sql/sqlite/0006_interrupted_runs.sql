-- A run whose process has released it is 'interrupted': the same command resumes it. SQLite cannot change a CHECK, so
-- the column is replaced.
ALTER TABLE import_runs ADD COLUMN new_status TEXT NOT NULL DEFAULT 'running'
    CHECK (new_status IN ('running', 'interrupted', 'complete', 'failed'));
UPDATE import_runs SET new_status = CASE WHEN status = 'running' AND holder IS NULL THEN 'interrupted' ELSE status END;
ALTER TABLE import_runs DROP COLUMN status;
ALTER TABLE import_runs RENAME COLUMN new_status TO status;
