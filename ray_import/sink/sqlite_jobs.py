"""The imports that a SQLite file remembers: which one runs, how far it is, and how it ended."""

import time
from datetime import datetime
from typing import Any

import orjson

from ray_import.chunks.rows import Import, iso_time
from ray_import.sink.port import LEASE_SECONDS, Job, JobStatus, Running
from ray_import.sink.sqlite_file import SqliteConnection


class SqliteJobs(SqliteConnection):
    """The jobs of a `Sink`."""

    def start_job(self, of: Import, source: str, holder: str) -> Running | None:
        """See `Sink.start_job`."""
        now = time.time()
        with self._translated(), self._transaction():
            self._db.execute(
                "UPDATE import_jobs SET status = 'failed', error = 'interrupted', finished_at = updated_at"
                " WHERE user_id = ? AND status = 'running' AND updated_at < ?",
                (of.user_id, iso_time(now - LEASE_SECONDS)),
            )
            running = self._db.execute(
                "SELECT id, holder, started_at, updated_at FROM import_jobs"
                " WHERE user_id = ? AND status = 'running' AND id <> ?",
                (of.user_id, of.id),
            ).fetchone()
            if running is None:
                self._db.execute(
                    "INSERT INTO import_jobs (id, user_id, source, status, counts, started_at, updated_at, holder)"
                    " VALUES (?, ?, ?, 'running', '{}', ?, ?, ?)",
                    (of.id, of.user_id, source, iso_time(of.started_at), iso_time(now), holder),
                )
                return None
        id_, its_holder, started_at, updated_at = running
        silent_seconds = now - datetime.fromisoformat(updated_at).timestamp()
        return Running(id_, its_holder or "", started_at, silent_seconds)

    def beat(self, holder: str) -> None:
        """See `Sink.beat`."""
        now = iso_time(time.time())
        with self._translated(), self._transaction():
            self._db.execute(
                "UPDATE import_jobs SET updated_at = ? WHERE holder = ? AND status = 'running'", (now, holder)
            )
            self._db.execute(
                "UPDATE import_runs SET updated_at = ? WHERE holder = ? AND status = 'running'", (now, holder)
            )

    def let_go(self, holder: str) -> None:
        """See `Sink.let_go`."""
        now = iso_time(time.time())
        with self._translated(), self._transaction():
            self._db.execute(
                "UPDATE import_jobs SET status = 'failed', error = 'interrupted', updated_at = ?1, finished_at = ?1"
                " WHERE holder = ?2 AND status = 'running'",
                (now, holder),
            )
            self._db.execute(
                "UPDATE import_runs SET status = 'interrupted', holder = NULL, updated_at = ?"
                " WHERE holder = ? AND status = 'running'",
                (now, holder),
            )

    def update_job(
        self, import_id: str, counts: dict[str, Any], status: JobStatus = "running", error: str | None = None
    ) -> bool:
        """See `Sink.update_job`."""
        now = iso_time(time.time())
        finished = None if status == "running" else now
        with self._translated():
            found = self._db.execute(
                "UPDATE import_jobs SET status = ?, counts = ?, error = ?, updated_at = ?, finished_at = ?"
                " WHERE id = ? AND status = 'running'",
                (status, orjson.dumps(counts).decode(), error, now, finished, import_id),
            )
            return found.rowcount == 1

    def jobs(self, user_id: str | None = None, limit: int | None = None) -> list[Job]:
        """See `Sink.jobs`."""
        with self._translated():
            found = self._db.execute(
                "SELECT id, user_id, source, status, counts, error, started_at, updated_at, finished_at"
                " FROM import_jobs WHERE ?1 IS NULL OR user_id = ?1 ORDER BY started_at DESC, rowid DESC LIMIT ?2",
                (user_id, -1 if limit is None else limit),
            ).fetchall()
        return [_job(row) for row in found]


def _job(row: tuple[Any, ...]) -> Job:
    id_, user_id, source, status, counts, error, started_at, updated_at, finished_at = row
    if status == "running" and updated_at < (iso_time(time.time() - LEASE_SECONDS) or ""):
        status, error = "failed", "interrupted"  # without a word; the next import of this user writes it down
    return Job(id_, user_id, source, status, orjson.loads(counts), error, started_at, updated_at, finished_at)
