"""What the queue's implementations have in common: limits, and what may be stored."""

from dataclasses import fields

from ray_import.errors import RowsRefused
from ray_import.sink.profile_rows import storable
from ray_import.sink.service_jobs import JobEnd, JobState, NewJob, ServiceJob

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
