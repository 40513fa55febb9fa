"""Hands jobs to a Ray cluster: claims them, and submits `ray-import work --job ID` as Ray jobs."""

import logging
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from operator import methodcaller
from typing import Literal, Protocol

from ray_import.destinations.service_jobs import LeaseState, ServiceJob
from ray_import.errors import ClusterError, ImporterError
from ray_import.pipeline.lease import is_dead, this_process
from ray_import.service.work.outcome import HandBack, Outcome, cancelled, end_before_begin, outcome_of_error
from ray_import.service.work.queue import LONGEST_WAIT_SECONDS, PatientQueue
from ray_import.service.work.settling import Settler
from ray_import.service.work.signals import StopSignals

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""Between two looks at the cluster, and two heartbeats."""

SubmissionState = Literal["pending", "running", "ended"]


class RayJobs(Protocol):
    """The Jobs API of a cluster. Methods raise ClusterError."""

    def submit(self, submission_id: str, job_id: str, holder: str) -> None:
        """Submits the job; nothing happens where this id was submitted before."""

    def states(self) -> dict[str, SubmissionState]:
        """All jobs that were submitted by `submit`, by anybody."""

    def stop(self, submission_id: str) -> None:
        """Asks a job to stop."""


@dataclass(slots=True, kw_only=True)
class Submitter:
    """Submits jobs until it is asked to stop, at most `most` at a time. It holds a job until the submitted process has
    taken the lease over. `once`: end when no job is due, and none is held."""

    queue: PatientQueue
    settler: Settler
    ray_jobs: RayJobs
    signals: StopSignals
    most: int
    once: bool = False
    holder: str = field(default_factory=this_process)
    ended: Counter[str] = field(default_factory=Counter)
    _held: dict[str, ServiceJob] = field(default_factory=dict, init=False)
    _looked_at: float = field(default=-LOOK_SECONDS, init=False)
    _active: int = field(default=0, init=False)

    def run(self) -> None:
        """Raises an ImporterError where the queue cannot be used from the beginning."""
        with self.signals:
            self.queue.claim(lambda jobs: jobs.beat(self.holder, None))
            log.info("submitter_started most=%d", self.most)
            try:
                while not self.signals.asked.is_set():
                    self._look()
                    if not self._submit_next() and self.once and not self._held:
                        break
                    self.signals.asked.wait(0.5)
            finally:
                self._leave()

    def _look(self) -> None:
        """Beats, and looks at what became of what was submitted."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        try:
            self._release_the_dead()
            self.queue.claim(lambda jobs: jobs.beat(self.holder, None))
            states = self.ray_jobs.states()
            self._active = sum(state != "ended" for state in states.values())
            for job in list(self._held.values()):
                self._look_at(job, states.get(submission_id(job)))
        except ImporterError as error:
            self._active = self.most  # nothing is submitted to a cluster that does not answer
            log.warning("cluster_away error=%s", type(error).__name__)

    def _release_the_dead(self) -> None:
        for holder in {held.holder for held in self.queue.claim(lambda jobs: jobs.held()) or ()}:
            if holder != self.holder and is_dead(holder):
                self.queue.claim(methodcaller("release", holder))

    def _look_at(self, job: ServiceJob, state: SubmissionState | None) -> None:
        lease: LeaseState | None = self.queue.claim(lambda jobs: jobs.beat(self.holder, job.id))
        if lease == "lost":  # the submitted process has it
            self._forget(job, "taken")
        elif lease == "cancelled":
            self._forget(job, "cancelled")
            self.settler.settle(job, cancelled(job.counts), 0.0)
            self.ray_jobs.stop(submission_id(job))
        elif lease == "held" and state in (None, "ended"):
            error = ClusterError("The submitted Ray job ended before it took the job.")
            self._settle(job, outcome_of_error(error, job.attempts, job.counts))

    def _submit_next(self) -> bool:
        """Whether there was a job."""
        if self._active >= self.most:
            return False
        try:
            job = self.queue.claim(lambda jobs: jobs.claim(self.holder))
        except ImporterError as error:
            log.error("queue_refused error=%s", type(error).__name__)  # noqa: TRY400 - one line
            self.signals.asked.wait(LONGEST_WAIT_SECONDS)
            return True
        if job is None:
            return False
        end = end_before_begin(job)
        if end is not None:
            self._settle(job, end)
        else:
            self._submit(job)
        return True

    def _submit(self, job: ServiceJob) -> None:
        self._held[job.id] = job
        try:
            self.ray_jobs.submit(submission_id(job), job.id, self.holder)
        except ClusterError as error:  # its answer may be lost: the process then finds that the lease is another's
            self._settle(job, outcome_of_error(error, job.attempts, job.counts))
            return
        self._active += 1
        self._looked_at = time.monotonic()
        log.info("job_submitted job=%s attempt=%d", job.id, job.attempts)

    def _settle(self, job: ServiceJob, outcome: Outcome) -> None:
        is_written = self.settler.settle(job, outcome, 0.0)
        end = "handed_back" if isinstance(outcome, HandBack) else outcome.end
        self._forget(job, end if is_written else "taken")

    def _forget(self, job: ServiceJob, end: str) -> None:
        self._held.pop(job.id, None)
        self.ended[end] += 1

    def _leave(self) -> None:
        """Hands back what no submitted process has taken yet; one that starts later finds the lease gone, and ends."""
        for job in list(self._held.values()):
            self._settle(job, HandBack(counts_attempt=False))
        with suppress(ImporterError):
            self.queue.call(lambda jobs: jobs.leave(self.holder), after_stop_seconds=1.0)
        self.queue.close()
        log.info("submitter_ended")


def submission_id(job: ServiceJob) -> str:
    """The same for the same attempt: one that is submitted twice is one Ray job."""
    return f"ray-import-{job.id}-{job.attempts}"
