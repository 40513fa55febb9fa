"""The runs over many users that a SQLite file remembers."""

import time
from collections.abc import Sequence

import orjson

from ray_import.chunks.rows import iso_time
from ray_import.errors import ConfigError
from ray_import.sink.port import RunStatus, RunUser
from ray_import.sink.sqlite_file import SqliteConnection


class SqliteRuns(SqliteConnection):
    """See `RunLedger`."""

    def last_run(self, what: str, settings_hash: str) -> tuple[str, RunStatus] | None:
        """See `RunLedger.last_run`."""
        with self._translated():
            found = self._db.execute(
                "SELECT id, status FROM import_runs WHERE what = ? AND settings_hash = ?"
                " ORDER BY started_at DESC, rowid DESC LIMIT 1",
                (what, settings_hash),
            ).fetchone()
        return None if found is None else (found[0], found[1])

    def run_users(self, run_id: str) -> list[RunUser]:
        """See `RunLedger.run_users`."""
        with self._translated():
            found = self._db.execute(
                "SELECT user_id, source, state, attempts, version, error, counts FROM import_run_users"
                " WHERE run_id = ? ORDER BY user_id",
                (run_id,),
            ).fetchall()
        return [RunUser(*(*row[:-1], orjson.loads(row[-1]))) for row in found]

    def open_run(self, run_id: str, what: str, settings_hash: str, users: Sequence[RunUser]) -> list[RunUser]:
        """See `RunLedger.open_run`."""
        now = iso_time(time.time())
        with self._translated(), self._transaction():
            self._db.execute(
                "INSERT INTO import_runs VALUES (?1, ?2, ?3, 'running', ?4, ?4)"
                " ON CONFLICT (id) DO UPDATE SET status = 'running', updated_at = ?4",
                (run_id, what, settings_hash, now),
            )
            self._db.executemany(
                "INSERT INTO import_run_users VALUES (?, ?, ?, 'pending', 0, '', NULL, '{}', ?) ON CONFLICT DO NOTHING",
                ((run_id, user.user_id, user.source, now) for user in users),
            )
        return self.run_users(run_id)

    def save_user(self, run_id: str, user: RunUser) -> None:
        """See `RunLedger.save_user`."""
        with self._translated():
            self._db.execute(
                "UPDATE import_run_users SET state = ?, attempts = ?, version = ?, error = ?, counts = ?,"
                " updated_at = ? WHERE run_id = ? AND user_id = ?",
                (
                    user.state, user.attempts, user.version, user.error, orjson.dumps(user.counts).decode(),
                    iso_time(time.time()), run_id, user.user_id,
                ),
            )  # fmt: skip

    def close_run(self, run_id: str, status: RunStatus) -> None:
        """See `RunLedger.close_run`."""
        with self._translated():
            self._db.execute(
                "UPDATE import_runs SET status = ?, updated_at = ? WHERE id = ?",
                (status, iso_time(time.time()), run_id),
            )

    def versions(self, settings_hash: str) -> dict[str, tuple[str, str]]:
        """See `RunLedger.versions`."""
        with self._translated():
            found = self._db.execute(
                "SELECT u.user_id, u.source, u.version FROM import_run_users u JOIN import_runs r ON r.id = u.run_id"
                " WHERE r.settings_hash = ? AND u.state IN ('complete', 'skipped') ORDER BY u.updated_at, u.rowid",
                (settings_hash,),
            ).fetchall()
        return {user_id: (source, version) for user_id, source, version in found}

    def users_of(self, table: str, column: str) -> list[tuple[str, str]]:  # noqa: ARG002 - the port's
        """See `RunLedger.users_of`."""
        raise ConfigError("A SQLite file has no table of users.", "--from-table is for supabase and postgresql.")
