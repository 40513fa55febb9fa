"""The runs over many users that a Postgres remembers."""

from collections.abc import Sequence
from dataclasses import asdict

from ray_import.errors import ConfigError, SinkError
from ray_import.sink.database_calls import DatabaseCalls
from ray_import.sink.port import RunStatus, RunUser


class DatabaseRuns(DatabaseCalls):
    """See `RunLedger`."""

    def last_run(self, what: str, settings_hash: str) -> tuple[str, RunStatus] | None:
        """See `RunLedger.last_run`."""
        found = self._call("run_last", p_what=what, p_settings_hash=settings_hash)
        return None if found is None else (found[0], found[1])

    def run_users(self, run_id: str) -> list[RunUser]:
        """See `RunLedger.run_users`."""
        return [RunUser(**user) for user in self._call("run_users", p_run_id=run_id)]

    def open_run(self, run_id: str, what: str, settings_hash: str, users: Sequence[RunUser]) -> list[RunUser]:
        """See `RunLedger.open_run`."""
        named = [{"user_id": user.user_id, "source": user.source} for user in users]
        found = self._call("run_open", p_run_id=run_id, p_what=what, p_settings_hash=settings_hash, p_users=named)
        return [RunUser(**user) for user in found]

    def save_user(self, run_id: str, user: RunUser) -> None:
        """See `RunLedger.save_user`."""
        self._call("run_save", p_run_id=run_id, p_user=asdict(user))

    def close_run(self, run_id: str, status: RunStatus) -> None:
        """See `RunLedger.close_run`."""
        self._call("run_close", p_run_id=run_id, p_status=status)

    def versions(self, settings_hash: str) -> dict[str, tuple[str, str]]:
        """See `RunLedger.versions`."""
        found = self._call("run_versions", p_settings_hash=settings_hash)
        return {user_id: (source, version) for user_id, (source, version) in found.items()}

    def users_of(self, table: str, column: str) -> list[tuple[str, str]]:
        """See `RunLedger.users_of`."""
        try:
            found = self._call("users_of", p_table=table, p_column=column)
        except SinkError as error:
            if error.retry:
                raise
            hint = "--from-table names a table with user_id, --source-column its column with the sources."
            raise ConfigError(error.message, hint) from None
        return [(user_id, source) for user_id, source in found]
