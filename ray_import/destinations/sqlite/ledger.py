"""The imports, and the runs over many users, that a SQLite file remembers: state, progress, and how they ended."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from ray_import.chunks.rows import ImportJob, iso_time
from ray_import.destinations.base import LEASE_SECONDS, WHOLE_STATES, Job, JobStatus, RunKey, Running, RunUser
from ray_import.destinations.sqlite.file import SqliteConnection
from ray_import.errors import ConfigError


class SqliteJobs(SqliteConnection):
    """The jobs of a `Sink`."""

    def start_job(self, job: ImportJob, source: str, holder: str) -> Running | None:
        now = time.time()
        with self._translated(), self._transaction():
            self._db.execute(
                "UPDATE import_jobs SET status = 'failed', error = 'interrupted', finished_at = updated_at"
                " WHERE user_id = ? AND status = 'running' AND updated_at < ?",
                (job.user_id, iso_time(now - LEASE_SECONDS)),
            )
            running = self._db.execute(
                "SELECT id, holder, started_at, updated_at FROM import_jobs"
                " WHERE user_id = ? AND status = 'running' AND id <> ?",
                (job.user_id, job.id),
            ).fetchone()
            if running is None:
                self._db.execute(
                    "INSERT INTO import_jobs (id, user_id, source, status, counts, started_at, updated_at, holder)"
                    " VALUES (?, ?, ?, 'running', '{}', ?, ?, ?)",
                    (job.id, job.user_id, source, iso_time(job.started_at), iso_time(now), holder),
                )
                return None
        id_, its_holder, started_at, updated_at = running
        silent_seconds = now - datetime.fromisoformat(updated_at).timestamp()
        return Running(id_, its_holder or "", started_at, silent_seconds)

    def beat(self, holder: str) -> None:
        now = iso_time(time.time())
        with self._translated(), self._transaction():
            self._db.execute(
                "UPDATE import_jobs SET updated_at = ? WHERE holder = ? AND status = 'running'", (now, holder)
            )
            self._db.execute(
                "UPDATE import_runs SET updated_at = ? WHERE holder = ? AND status = 'running'", (now, holder)
            )

    def let_go(self, holder: str) -> None:
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


class SqliteRuns(SqliteConnection):
    def interrupted_run(self, key: RunKey) -> str | None:
        with self._translated():
            last = self._db.execute(
                "SELECT id, status FROM import_runs WHERE what = ? AND settings_hash = ? AND force = ?"
                " ORDER BY started_at DESC, rowid DESC LIMIT 1",
                (key.what, key.settings_hash, key.force),
            ).fetchone()
        return last[0] if last is not None and last[1] in ("running", "interrupted") else None

    def start_run(self, run_id: str, key: RunKey, holder: str) -> Running | None:
        now = time.time()
        with self._translated(), self._transaction():
            running = self._db.execute(
                "SELECT id, holder, started_at, updated_at FROM import_runs"
                " WHERE what = ? AND status = 'running' AND holder <> ? AND updated_at >= ?",
                (key.what, holder, iso_time(now - LEASE_SECONDS)),
            ).fetchone()
            if running is None:
                self._db.execute(
                    "INSERT INTO import_runs (id, what, settings_hash, force, status, holder, started_at, updated_at)"
                    " VALUES (?1, ?2, ?3, ?4, 'running', ?5, ?6, ?6)"
                    " ON CONFLICT (id) DO UPDATE SET status = 'running', holder = ?5, updated_at = ?6",
                    (run_id, key.what, key.settings_hash, key.force, holder, iso_time(now)),
                )
                self._db.execute(
                    "UPDATE import_runs SET holder = NULL,"
                    " status = CASE WHEN settings_hash = ? THEN 'interrupted' ELSE 'failed' END"
                    " WHERE what = ? AND status IN ('running', 'interrupted') AND id <> ?",
                    (key.settings_hash, key.what, run_id),
                )
                return None
        id_, its_holder, started_at, updated_at = running
        return Running(id_, its_holder, started_at, now - datetime.fromisoformat(updated_at).timestamp())

    def run_users(self, run_id: str) -> list[RunUser]:
        with self._translated():
            found = self._db.execute(
                "SELECT user_id, source, state, attempts, version, error, counts FROM import_run_users"
                " WHERE run_id = ? ORDER BY user_id",
                (run_id,),
            ).fetchall()
        return [RunUser(*(*row[:-1], orjson.loads(row[-1]))) for row in found]

    def add_users(self, run_id: str, users: Sequence[RunUser]) -> list[RunUser]:
        now = iso_time(time.time())
        with self._translated(), self._transaction():
            self._db.executemany(
                "INSERT INTO import_run_users (run_id, user_id, source, state, attempts, version, counts, updated_at)"
                " VALUES (?, ?, ?, 'pending', 0, '', '{}', ?) ON CONFLICT DO NOTHING",
                ((run_id, user.user_id, user.source, now) for user in users),
            )
        return self.run_users(run_id)

    def save_users(self, run_id: str, holder: str, users: Sequence[RunUser]) -> bool:
        now = iso_time(time.time())
        with self._translated(), self._transaction():
            held = self._db.execute("SELECT 1 FROM import_runs WHERE id = ? AND holder = ?", (run_id, holder))
            if held.fetchone() is None:
                return False
            self._db.executemany(
                "UPDATE import_run_users SET source = ?1, state = ?2, attempts = ?3, version = ?4, error = ?5,"
                " counts = ?6, updated_at = CASE WHEN ?2 IN ('pending', 'skipped') THEN updated_at ELSE ?7 END"
                " WHERE run_id = ?8 AND user_id = ?9",
                (
                    (
                        user.source, user.state, user.attempts, user.version, user.error,
                        orjson.dumps(user.counts).decode(), now, run_id, user.user_id,
                    )
                    for user in users
                ),
            )  # fmt: skip
        return True

    def complete_run(self, run_id: str, holder: str) -> None:
        with self._translated():
            self._db.execute(
                "UPDATE import_runs SET status = 'complete', holder = NULL, updated_at = ? WHERE id = ? AND holder = ?",
                (iso_time(time.time()), run_id, holder),
            )

    def lacking_users(self, what: str, settings_hash: str) -> list[str]:
        with self._translated():
            found = self._db.execute(
                "SELECT u.user_id, u.state FROM import_run_users u JOIN import_runs r ON r.id = u.run_id"
                " WHERE r.what = ? AND r.settings_hash = ? AND (u.state <> 'pending' OR u.attempts > 0)"
                " ORDER BY u.updated_at, u.rowid",
                (what, settings_hash),
            )
            last = dict(found)
        return [user_id for user_id, state in last.items() if state not in WHOLE_STATES]

    def versions(self, settings_hash: str) -> dict[str, tuple[str, str]]:
        with self._translated():
            found = self._db.execute(
                "SELECT u.user_id, u.source, u.version, u.state IN ('complete', 'skipped') AND r.settings_hash = ?"
                " AND u.updated_at >= coalesce(j.updated_at, '')"
                " FROM import_run_users u JOIN import_runs r ON r.id = u.run_id LEFT JOIN"
                " (SELECT user_id, max(updated_at) AS updated_at FROM import_jobs GROUP BY user_id) j USING (user_id)"
                " WHERE u.state <> 'pending' OR u.attempts > 0 ORDER BY u.updated_at, u.rowid",
                (settings_hash,),
            )
            last = {user_id: (source, version, is_in) for user_id, source, version, is_in in found}
        return {user_id: (source, version) for user_id, (source, version, is_in) in last.items() if is_in}

    def users_of(self, table: str, column: str) -> list[tuple[str, str]]:  # noqa: ARG002 - the port's
        raise ConfigError(
            "--from-table is not available for SQLite.", "Use it with --to supabase or --to postgresql://…."
        )
