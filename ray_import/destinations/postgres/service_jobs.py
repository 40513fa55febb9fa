"""The service's queue in a Postgres. A call whose answer was lost is made again, and gives the same answer."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from uuid import uuid4

from ray_import.destinations.base import LEASE_SECONDS
from ray_import.destinations.postgres.calls import DatabaseCalls
from ray_import.destinations.postgres.rows import our_time
from ray_import.destinations.profiles import storable
from ray_import.destinations.service_jobs import (
    ENDED_WITHIN_SECONDS,
    JOB_COLUMNS,
    MOST_DELETED,
    RATE_WINDOW_SECONDS,
    RETENTION_DAYS,
    STATES,
    WORKER_FORGOTTEN_SECONDS,
    WORKER_SEEN_SECONDS,
    Accepted,
    HeldJob,
    JobEnd,
    JobStage,
    JobState,
    LeaseState,
    NewJob,
    QueueStats,
    Refused,
    ServiceJob,
    refuse_unstorable,
)

_TIMES = ("created_at", "started_at", "updated_at", "finished_at")


class DatabaseServiceJobs(DatabaseCalls):
    _open_claim: tuple[tuple[str, str | None], str] | None = None
    """Of whom, and the id that its calls have until one gives a job: the server may still carry out a call that was
    given up here, and the job that it takes is that of the next call."""

    def accept(self, job: NewJob, *, jobs_per_hour: int) -> Accepted | Refused:
        refuse_unstorable(job)
        answer = self._call(
            "service_accept",
            p_job=asdict(job),
            p_jobs_per_hour=jobs_per_hour,
            p_window_seconds=RATE_WINDOW_SECONDS,
            p_lease_seconds=LEASE_SECONDS,
            p_retention_days=RETENTION_DAYS,
            p_most_deleted=MOST_DELETED,
        )
        return Refused(**answer) if "reason" in answer else Accepted(**answer)

    def claim(self, holder: str, job_id: str | None = None) -> ServiceJob | None:
        claim = (holder, job_id)
        if self._open_claim is None or self._open_claim[0] != claim:
            self._open_claim = claim, uuid4().hex
        call = self._open_claim[1]
        row = self._call("service_claim", p_holder=holder, p_job_id=job_id, p_call=call, p_lease_seconds=LEASE_SECONDS)
        if row is not None:
            self._open_claim = None
        return _job_of(row)

    def hand_over(self, job_id: str, holder: str, new_holder: str) -> bool:
        return bool(self._call("service_hand_over", p_job_id=job_id, p_holder=holder, p_new_holder=new_holder))

    def beat(self, holder: str, job_id: str | None) -> LeaseState:
        state: LeaseState = self._call(
            "service_alive", p_holder=holder, p_job_id=job_id, p_forgotten_seconds=WORKER_FORGOTTEN_SECONDS
        )
        return state

    def reach_stage(self, job_id: str, holder: str, stage: JobStage, counts: dict[str, Any]) -> bool:
        given = {"p_job_id": job_id, "p_holder": holder, "p_stage": stage, "p_counts": storable(counts)}
        return bool(self._call("service_reach", **given))

    def finish(
        self,
        job_id: str,
        holder: str,
        end: JobEnd,
        counts: dict[str, Any],
        error: str | None = None,
        error_type: str | None = None,
    ) -> bool:
        return bool(
            self._call(
                "service_finish",
                p_job_id=job_id,
                p_holder=holder,
                p_end=end,
                p_counts=storable(counts),
                p_error=storable(error),
                p_error_type=storable(error_type),
            )
        )

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
        return bool(
            self._call(
                "service_hand_back",
                p_job_id=job_id,
                p_holder=holder,
                p_call=uuid4().hex,
                p_delay_seconds=delay_seconds,
                p_counts_attempt=counts_attempt,
                p_error=storable(error),
                p_error_type=storable(error_type),
            )
        )

    def release(self, holder: str) -> int:
        """See `ServiceJobs.release`. Where an answer was lost, the count is that of the last call."""
        return int(self._call("service_release", p_holder=holder))

    def held(self) -> list[HeldJob]:
        return [HeldJob(**held) for held in self._call("service_held")]

    def cancel(self, job_id: str, user_id: str) -> ServiceJob | None:
        return _job_of(self._call("service_cancel", p_job_id=job_id, p_user_id=user_id))

    def job(self, job_id: str, user_id: str | None = None) -> ServiceJob | None:
        return _job_of(self._call("service_job", p_job_id=job_id, p_user_id=user_id))

    def list_jobs(
        self, user_id: str | None = None, states: Sequence[JobState] = (), limit: int = 100
    ) -> list[ServiceJob]:
        rows = self._call("service_list", p_user_id=user_id, p_states=list(states or STATES), p_limit=limit)
        return [job for row in rows if (job := _job_of(row))]

    def stats(self) -> QueueStats:
        found = self._call("service_stats", p_seen_seconds=WORKER_SEEN_SECONDS, p_ended_seconds=ENDED_WITHIN_SECONDS)
        return QueueStats(**found)

    def leave(self, holder: str) -> None:
        self._call("service_leave", p_holder=holder)


def _job_of(row: dict[str, Any] | None) -> ServiceJob | None:
    """From its columns alone: a table may have others of the user's own."""
    if row is None:
        return None
    values = {name: row[name] for name in JOB_COLUMNS}
    return ServiceJob(**{**values, **{name: our_time(values[name]) for name in _TIMES}})
