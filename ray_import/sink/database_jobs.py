"""The imports that a Postgres remembers: which one runs, how far it is, and how it ended."""

from typing import Any

from ray_import.chunks.rows import Import, iso_time
from ray_import.errors import ConfigError, RowsRefused
from ray_import.sink.database_calls import DatabaseCalls
from ray_import.sink.database_rows import our_running, our_time
from ray_import.sink.port import LEASE_SECONDS, Job, JobStatus, Running


class DatabaseJobs(DatabaseCalls):
    """The jobs of a `Sink`."""

    def start_job(self, of: Import, source: str, holder: str) -> Running | None:
        """See `Sink.start_job`."""
        try:
            found = self._call(
                "start",
                p_import_id=of.id,
                p_user_id=of.user_id,
                p_source=source,
                p_holder=holder,
                p_started_at=iso_time(of.started_at),
                p_lease_seconds=LEASE_SECONDS,
            )
        except RowsRefused as error:
            raise _refused_user(of.user_id, error.code) from None
        return None if found is None else our_running(found)

    def beat(self, holder: str) -> None:
        """See `Sink.beat`."""
        self._call("alive", p_holder=holder)

    def let_go(self, holder: str) -> None:
        """See `Sink.let_go`."""
        self._call("let_go", p_holder=holder)

    def update_job(
        self, import_id: str, counts: dict[str, Any], status: JobStatus = "running", error: str | None = None
    ) -> bool:
        """See `Sink.update_job`."""
        return bool(self._call("update", p_import_id=import_id, p_counts=counts, p_status=status, p_error=error))

    def jobs(self, user_id: str | None = None, limit: int | None = None) -> list[Job]:
        """See `Sink.jobs`."""
        found = self._call("jobs", p_lease_seconds=LEASE_SECONDS, p_user_id=user_id, p_limit=limit)
        times = ("started_at", "updated_at", "finished_at")
        return [Job(**{**job, **{name: our_time(job[name]) for name in times}}) for job in found]


def _refused_user(user_id: str, code: str) -> ConfigError:
    if code.startswith("23"):
        what = f"The database rejected an import for the user {user_id} ({code})."
        return ConfigError(what, "A constraint of yours forbids it: add the user first, or give another --user-id.")
    what = f"The database's tables cannot store the user id {user_id} ({code})."
    return ConfigError(what, "If their column user_id is a uuid, give a uuid with --user-id.")
