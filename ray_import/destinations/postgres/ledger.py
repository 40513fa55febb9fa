"""The imports, and the runs over many users, that a Postgres remembers: state, progress, and how they ended."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ray_import.chunks.rows import ImportJob, iso_time
from ray_import.destinations.base import LEASE_SECONDS, Job, JobStatus, RunKey, Running, RunUser
from ray_import.destinations.postgres.calls import DatabaseCalls
from ray_import.destinations.postgres.rows import our_running, our_time
from ray_import.errors import ConfigError, RowsRefused, SinkError


class DatabaseJobs(DatabaseCalls):
    """The jobs of a `Sink`."""

    def start_job(self, job: ImportJob, source: str, holder: str) -> Running | None:
        try:
            found = self._call(
                "start",
                p_import_id=job.id,
                p_user_id=job.user_id,
                p_source=source,
                p_holder=holder,
                p_started_at=iso_time(job.started_at),
                p_lease_seconds=LEASE_SECONDS,
            )
        except RowsRefused as error:
            raise _refused_user(job.user_id, error.code) from None
        return None if found is None else our_running(found)

    def beat(self, holder: str) -> None:
        self._call("alive", p_holder=holder)

    def let_go(self, holder: str) -> None:
        self._call("let_go", p_holder=holder)

    def update_job(
        self, import_id: str, counts: dict[str, Any], status: JobStatus = "running", error: str | None = None
    ) -> bool:
        return bool(self._call("update", p_import_id=import_id, p_counts=counts, p_status=status, p_error=error))

    def jobs(self, user_id: str | None = None, limit: int | None = None) -> list[Job]:
        found = self._call("jobs", p_lease_seconds=LEASE_SECONDS, p_user_id=user_id, p_limit=limit)
        times = ("started_at", "updated_at", "finished_at")
        return [Job(**{**job, **{name: our_time(job[name]) for name in times}}) for job in found]


def _refused_user(user_id: str, code: str) -> ConfigError:
    if code.startswith("23"):
        what = f"The database rejected an import for the user {user_id} ({code})."
        return ConfigError(what, "A constraint of yours forbids it: add the user first, or give another --user-id.")
    what = f"The database's tables cannot store the user id {user_id} ({code})."
    return ConfigError(what, "If their column user_id is a uuid, give a uuid with --user-id.")


class DatabaseRuns(DatabaseCalls):
    def interrupted_run(self, key: RunKey) -> str | None:
        found: str | None = self._call("run_interrupted", **_named(key))
        return found

    def start_run(self, run_id: str, key: RunKey, holder: str) -> Running | None:
        found = self._call("run_start", p_run_id=run_id, p_holder=holder, p_lease_seconds=LEASE_SECONDS, **_named(key))
        return None if found is None else our_running(found)

    def add_users(self, run_id: str, users: Sequence[RunUser]) -> list[RunUser]:
        named = [{"user_id": user.user_id, "source": user.source} for user in users]
        return [RunUser(**user) for user in self._call("run_add", p_run_id=run_id, p_users=named)]

    def run_users(self, run_id: str) -> list[RunUser]:
        return [RunUser(**user) for user in self._call("run_users", p_run_id=run_id)]

    def save_users(self, run_id: str, holder: str, users: Sequence[RunUser]) -> bool:
        return bool(self._call("run_tell", p_run_id=run_id, p_holder=holder, p_users=list(map(asdict, users))))

    def complete_run(self, run_id: str, holder: str) -> None:
        self._call("run_complete", p_run_id=run_id, p_holder=holder)

    def lacking_users(self, what: str, settings_hash: str) -> list[str]:
        return list(self._call("run_lacking", p_what=what, p_settings_hash=settings_hash))

    def versions(self, settings_hash: str) -> dict[str, tuple[str, str]]:
        found = self._call("run_versions", p_settings_hash=settings_hash)
        return {user_id: (source, version) for user_id, (source, version) in found.items()}

    def users_of(self, table: str, column: str) -> list[tuple[str, str]]:
        try:
            found = self._call("users_of", p_table=table, p_column=column)
        except SinkError as error:
            if error.retry:
                raise
            what = f"The columns user_id and {column} of the table {table} cannot be read ({error.code})."
            hint = "--from-table needs a table with a column user_id, --source-column its column of sources."
            raise ConfigError(what, hint) from None
        return [(user_id, source) for user_id, source in found]


def _named(key: RunKey) -> dict[str, str | bool]:
    return {"p_what": key.what, "p_settings_hash": key.settings_hash, "p_force": key.force}
