"""The runs over many users that a Postgres remembers."""

from collections.abc import Sequence
from dataclasses import asdict

from ray_import.errors import ConfigError, SinkError
from ray_import.sink.database_calls import DatabaseCalls
from ray_import.sink.database_rows import our_running
from ray_import.sink.port import LEASE_SECONDS, Running, RunOf, RunUser


class DatabaseRuns(DatabaseCalls):
    """See `RunLedger`."""

    def interrupted_run(self, of: RunOf) -> str | None:
        """See `RunLedger.interrupted_run`."""
        found: str | None = self._call("run_interrupted", **_named(of))
        return found

    def start_run(self, run_id: str, of: RunOf, holder: str) -> Running | None:
        """See `RunLedger.start_run`."""
        found = self._call("run_start", p_run_id=run_id, p_holder=holder, p_lease_seconds=LEASE_SECONDS, **_named(of))
        return None if found is None else our_running(found)

    def add_users(self, run_id: str, users: Sequence[RunUser]) -> list[RunUser]:
        """See `RunLedger.add_users`."""
        named = [{"user_id": user.user_id, "source": user.source} for user in users]
        return [RunUser(**user) for user in self._call("run_add", p_run_id=run_id, p_users=named)]

    def run_users(self, run_id: str) -> list[RunUser]:
        """See `RunLedger.run_users`."""
        return [RunUser(**user) for user in self._call("run_users", p_run_id=run_id)]

    def save_users(self, run_id: str, holder: str, users: Sequence[RunUser]) -> bool:
        """See `RunLedger.save_users`."""
        return bool(self._call("run_tell", p_run_id=run_id, p_holder=holder, p_users=list(map(asdict, users))))

    def complete_run(self, run_id: str, holder: str) -> None:
        """See `RunLedger.complete_run`."""
        self._call("run_complete", p_run_id=run_id, p_holder=holder)

    def lacking_users(self, what: str, settings_hash: str) -> list[str]:
        """See `RunLedger.lacking_users`."""
        return list(self._call("run_lacking", p_what=what, p_settings_hash=settings_hash))

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
            what = f"The columns user_id and {column} of the table {table} cannot be read ({error.code})."
            hint = "--from-table needs a table with a column user_id, --source-column its column of sources."
            raise ConfigError(what, hint) from None
        return [(user_id, source) for user_id, source in found]


def _named(of: RunOf) -> dict[str, str | bool]:
    return {"p_what": of.what, "p_settings_hash": of.settings_hash, "p_force": of.force}
