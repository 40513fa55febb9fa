"""The runs of profiles that a SQLite file remembers."""

import time
from datetime import datetime
from typing import Any

import orjson

from ray_import.chunks.rows import iso_time
from ray_import.destinations.base import LEASE_SECONDS, Running
from ray_import.destinations.profiles import ProfileEnding, ProfileRun, storable
from ray_import.destinations.sqlite.file import SqliteConnection


class SqliteProfileRuns(SqliteConnection):
    """The runs of a `ProfileStore`."""

    def start_profile(self, user_id: str, run_id: str, holder: str, started_at: str) -> Running | None:
        now = time.time()
        with self._translated(), self._transaction():
            self._db.execute(
                "UPDATE profile_runs SET status = 'failed', error = 'interrupted', finished_at = updated_at"
                " WHERE user_id = ? AND status = 'running' AND updated_at < ?",
                (user_id, iso_time(now - LEASE_SECONDS)),
            )
            running = self._db.execute(
                "SELECT id, holder, started_at, updated_at FROM profile_runs"
                " WHERE user_id = ? AND status = 'running' AND (id, holder) <> (?, ?)",
                (user_id, run_id, holder),
            ).fetchone()
            if running is None:
                self._db.execute(
                    "INSERT INTO profile_runs (user_id, id, status, report, holder, started_at, updated_at)"
                    " VALUES (?, ?, 'running', '{}', ?, ?, ?) ON CONFLICT DO NOTHING",
                    (user_id, run_id, holder, started_at, iso_time(now)),
                )
                return None
        id_, its_holder, its_start, updated_at = running
        return Running(id_, its_holder, its_start, now - datetime.fromisoformat(updated_at).timestamp())

    def beat_profile(self, user_id: str, run_id: str, holder: str) -> bool:
        with self._translated():
            found = self._db.execute(
                "UPDATE profile_runs SET updated_at = ?"
                " WHERE user_id = ? AND id = ? AND holder = ? AND status = 'running'",
                (iso_time(time.time()), user_id, run_id, holder),
            )
            return found.rowcount == 1

    def end_profile(
        self, user_id: str, run_id: str, status: ProfileEnding, report: dict[str, Any], error: str | None
    ) -> None:
        values = (status, orjson.dumps(storable(report)).decode(), storable(error), iso_time(time.time()))
        with self._translated():
            self._db.execute(
                "UPDATE profile_runs SET status = ?1, report = ?2, error = ?3, updated_at = ?4, finished_at = ?4"
                " WHERE user_id = ?5 AND id = ?6 AND status = 'running'",
                (*values, user_id, run_id),
            )

    def release_profiles(self, holder: str) -> None:
        with self._translated():
            self._db.execute(
                "UPDATE profile_runs SET status = 'failed', error = 'interrupted', updated_at = ?1, finished_at = ?1"
                " WHERE holder = ?2 AND status = 'running'",
                (iso_time(time.time()), holder),
            )

    def profile_runs(self, user_id: str) -> list[ProfileRun]:
        with self._translated():
            found = self._db.execute(
                "SELECT id, CASE WHEN is_dead THEN 'failed' ELSE status END, report,"
                " CASE WHEN is_dead THEN 'interrupted' ELSE error END, started_at, updated_at, finished_at"
                " FROM (SELECT *, status = 'running' AND updated_at < ?2 AS is_dead"
                " FROM profile_runs WHERE user_id = ?1) ORDER BY started_at DESC, id DESC",
                (user_id, iso_time(time.time() - LEASE_SECONDS)),
            ).fetchall()
        return [
            ProfileRun(
                id=id_, status=status, report=orjson.loads(report), error=error, started_at=started_at,
                updated_at=updated_at, finished_at=finished_at,
            )
            for id_, status, report, error, started_at, updated_at, finished_at in found
        ]  # fmt: skip
