"""The lease of a worker on its job: kept alive by a thread, which also learns that the job is cancelled, or lost."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ray_import.destinations.heartbeat import BEAT_EVERY_SECONDS, BeatingThread
from ray_import.destinations.service_jobs import JobStage, ServiceJobs
from ray_import.service.work.outcome import Counts

StopReason = Literal["cancelled", "lost"]


@dataclass(slots=True)
class HeldLease:
    """A job that this process holds. `stop_reason` says why it is to be stopped; `progress` is not written yet."""

    job_id: str
    stage: JobStage
    stop_reason: StopReason | None = None
    progress: Counts | None = None


class LeaseHeartbeat(BeatingThread[ServiceJobs]):
    """Gives the signs of life of this worker and of its job, and writes the job's progress. Where the job is cancelled
    or lost, it calls `interrupt`, again and again, until the job is dropped."""

    def __init__(
        self,
        connect: Callable[[], ServiceJobs],
        holder: str,
        interrupt: Callable[[], None],
        every_seconds: float = BEAT_EVERY_SECONDS,
    ) -> None:
        super().__init__(connect, self._beat, every_seconds)
        self._holder = holder
        self._interrupt = interrupt
        self._lock = threading.Lock()
        self._lease: HeldLease | None = None

    def hold(self, job_id: str, stage: JobStage) -> HeldLease:
        """This job was claimed."""
        lease = HeldLease(job_id, stage)
        with self._lock:
            self._lease = lease
        return lease

    def reach(self, lease: HeldLease, stage: JobStage) -> None:
        """Progress of an earlier stage is not written any more: it would set the job's stage back."""
        with self._lock:
            lease.stage, lease.progress = stage, None

    def drop(self) -> None:
        """The job has ended, or is another's."""
        with self._lock:
            self._lease = None

    def _beat(self, jobs: ServiceJobs) -> None:
        lease = self._lease
        state = jobs.beat(self._holder, None if lease is None else lease.job_id)
        with self._lock:
            if lease is None or self._lease is not lease:
                return
            if state != "held":
                lease.stop_reason = state
                self._interrupt()
            elif lease.progress is not None:
                progress, lease.progress = lease.progress, None
                jobs.reach_stage(lease.job_id, self._holder, lease.stage, progress)
