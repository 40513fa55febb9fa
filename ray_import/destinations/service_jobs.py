"""What the service asks of a destination: a queue of jobs, in a table.

`tests/contract/test_service_jobs.py` holds every destination to it.

A job is accepted once, and executed by one worker at a time, which holds a lease on it. A worker that dies loses its
leases after LEASE_SECONDS, and another one takes its jobs over.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol

from ray_import.destinations.profiles import storable
from ray_import.errors import RowsRefused

JobState = Literal["queued", "running", "complete", "partial", "failed", "cancelled"]
ACTIVE_STATES: tuple[JobState, ...] = ("queued", "running")
JobStage = Literal["import", "profile"]
JobEnd = Literal["complete", "partial", "failed", "cancelled"]

WORKER_SEEN_SECONDS = 60
"""A worker that has given no sign of life for so long does not count as present."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """What a request asks for.

    `source` is a SOURCE of `ray-import run`, '' for a profile alone. It may be a signed URL, so it is a secret: it is
    shown to nobody (see `source.address.label_of`), and deleted when the job ends.
    """

    id: str
    user_id: str
    stage: JobStage
    """Where the job begins: a job that begins with `import` goes on with `profile`, where a key is there."""
    source: str = field(repr=False)
    file_type: str = ""
    """`json`, `zip` or ''."""
    source_label: str = ""
    """The source without secrets."""
    idempotency_key: str = ""
    request_hash: str = ""
    """Of the request's body: a key that comes again with another body is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceJob:
    """One job as the destination remembers it; times are ISO 8601 in UTC."""

    id: str
    user_id: str
    state: JobState
    stage: JobStage
    source: str = field(repr=False)
    """See `NewJob`; '' once the job has ended."""
    source_label: str
    """The source without secrets."""
    file_type: str
    attempts: int
    """How often a worker has begun it."""
    cancel_requested: bool
    counts: dict[str, Any] = field(default_factory=dict)
    """The counts of the import's summary, and of the profile's report; {} before."""
    error: str | None
    """A message of ours: no word of a user."""
    error_type: str | None
    """The class of the error."""
    created_at: str
    started_at: str | None
    """Of the last attempt."""
    updated_at: str
    finished_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The job of this request; `is_new` is False where an earlier request with the same key has made it."""

    job_id: str
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Nothing was accepted. `active`: a job or an import of this user is queued or running: `job_id` and
    `age_seconds` are its own. `rate_limited`: wait for `retry_after_seconds`. `key_reused`: see `NewJob.request_hash`.
    """

    reason: Literal["active", "rate_limited", "key_reused"]
    job_id: str = ""
    age_seconds: float = 0.0
    retry_after_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldJob:
    """A running job and the process that holds it."""

    job_id: str
    holder: str
    silent_seconds: float


LeaseState = Literal["held", "cancelled", "lost"]
"""`cancelled`: the job is still held, but is to be stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """The queue in numbers. `oldest_queued_seconds` is 0 where nothing is queued; `workers` were seen within
    WORKER_SEEN_SECONDS. `ended` counts the jobs that ended within the last day, by state."""

    queued: int
    running: int
    oldest_queued_seconds: float
    workers: int
    ended: dict[str, int] = field(default_factory=dict)


class ServiceJobs(Protocol):
    """The queue. All methods raise SinkError, and SinkBusy where trying again may help."""

    def accept(self, job: NewJob, *, jobs_per_hour: int) -> Accepted | Refused:
        """Adds a job, unless the user has an active one, or a running import of any kind, or has had `jobs_per_hour`
        jobs accepted within the last hour. One transaction: of two requests at once one is refused."""

    def claim(self, holder: str, job_id: str | None = None) -> ServiceJob | None:
        """Takes the oldest job that is due (or the one with this id, if it is due), counts an attempt, and gives the
        lease on it to `holder`. Due is what is queued and not delayed any more, and what is running but silent for
        LEASE_SECONDS. None where there is none. Never waits for a job that another claim is about to take."""

    def hand_over(self, job_id: str, holder: str, new_holder: str) -> bool:
        """Gives the lease on a running job to another process. False where `holder` does not hold it."""

    def beat(self, holder: str, job_id: str | None) -> LeaseState:
        """A sign of life of the worker (it counts as present) and, if one is given, of its lease on this job."""

    def reach_stage(self, job_id: str, holder: str, stage: JobStage, counts: dict[str, Any]) -> bool:
        """The job has come to this stage: a later attempt begins there. False where the lease is lost."""

    def finish(
        self,
        job_id: str,
        holder: str,
        end: JobEnd,
        counts: dict[str, Any],
        error: str | None = None,
        error_type: str | None = None,
    ) -> bool:
        """The job has ended. False, and changes nothing, where the lease is lost."""

    def hand_back(
        self,
        job_id: str,
        holder: str,
        *,
        delay_seconds: float = 0.0,
        counts_attempt: bool = True,
        error: str | None = None,
        error_type: str | None = None,
    ) -> bool:
        """Queues the job again, due after `delay_seconds`, or at once if its cancellation was requested.

        Without `counts_attempt` the attempt does not count: the worker was asked to stop. Returns False where the lease
        is lost.
        """

    def release(self, holder: str) -> int:
        """Queues all jobs of a process that is known to be dead, at once; their attempts count. Forgets the worker.
        Returns how many there were."""

    def held(self) -> list[HeldJob]:
        """The running jobs and their holders."""

    def cancel(self, job_id: str, user_id: str) -> ServiceJob | None:
        """Cancels a job that no worker has begun. Marks any other active job as `cancel_requested`, and makes it due.

        Its holder stops, or the next worker that claims it ends it: what the front end shows of the job is a worker's
        to set. Returns the job as it is then; None if this user has none with this id. A job that has ended stays as it
        is.
        """

    def job(self, job_id: str, user_id: str | None = None) -> ServiceJob | None:
        """One job; None where there is none, or it is another user's than the one given."""

    def list_jobs(
        self, user_id: str | None = None, states: Sequence[JobState] = (), limit: int = 100
    ) -> list[ServiceJob]:
        """The newest jobs, newest first."""

    def stats(self) -> QueueStats:
        """The queue in numbers."""

    def leave(self, holder: str) -> None:
        """The worker has ended: it does not count as present any more."""

    def close(self) -> None:
        """Closes the connection."""


RATE_WINDOW_SECONDS = 3600
RETENTION_DAYS = 90
"""Jobs that ended longer ago are deleted when a new one is accepted, with their idempotency keys."""
MOST_DELETED = 100
"""By one call of `ServiceJobs.accept`."""
WORKER_FORGOTTEN_SECONDS = 24 * 3600
"""A worker that has been silent for so long is deleted when another one reports for the first time."""
ENDED_WITHIN_SECONDS = 24 * 3600
"""See `QueueStats.ended`."""

ENDS: tuple[JobEnd, ...] = ("complete", "partial", "failed", "cancelled")
STATES: tuple[JobState, ...] = ("queued", "running", *ENDS)
JOB_COLUMNS = tuple(field.name for field in fields(ServiceJob))


def refuse_unstorable(job: NewJob) -> None:
    """Raises RowsRefused where a text of the job has a NUL or a lone surrogate: it is not stored as another one."""
    texts = [getattr(job, field.name) for field in fields(NewJob)]
    if storable(texts) != texts:
        raise RowsRefused("A text of the job contains a NUL or a lone surrogate (22021).", code="22021")
