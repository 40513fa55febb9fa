"""A worker: takes jobs from the queue, one at a time, and executes them in the main thread."""

import ctypes
import gc
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from operator import methodcaller

from ray_import.destinations.service_jobs import JobStage, ServiceJob, ServiceJobs
from ray_import.errors import ImporterError
from ray_import.pipeline.lease import is_dead, this_process
from ray_import.service.work.alerts import Alerts
from ray_import.service.work.execution import Execution, Steps
from ray_import.service.work.lease import HeldLease, LeaseHeartbeat
from ray_import.service.work.outcome import Counts, HandBack, Outcome, cancelled, end_before_begin
from ray_import.service.work.queue import CALL_PATIENCE_SECONDS, LONGEST_WAIT_SECONDS, PatientQueue
from ray_import.service.work.settling import Settler
from ray_import.service.work.signals import StopSignals

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
LOOK_FOR_DEAD_SECONDS = 5.0
"""Between two looks at the other workers of this machine."""
STOP_WITHIN_SECONDS = 20.0
"""After it was asked to stop, a worker whose main thread cannot be interrupted hands its job back and ends at once.
Render kills after 30 s."""
HAND_BACK_WITHIN_SECONDS = 4.0
"""Then."""
INTERRUPT_AGAIN_SECONDS = 1.0

Connect = Callable[[float], ServiceJobs]
"""Opens the queue, with the patience of a call in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """`once`: end when no job is due. `stop_within_seconds`: see STOP_WITHIN_SECONDS."""

    once: bool = False
    stop_within_seconds: float = STOP_WITHIN_SECONDS


@dataclass(slots=True)
class _Attempt:
    worker: "Worker"
    lease: HeldLease

    def reach(self, stage: JobStage, counts: Counts) -> None:
        self.worker.reach(self.lease, stage, counts)

    def report(self, counts: Counts) -> None:
        self.lease.progress = counts

    def check(self) -> None:
        if self.lease.stop_reason is not None or self.worker.is_asked_to_stop:
            raise KeyboardInterrupt


@dataclass(slots=True, kw_only=True)
class Worker:
    """Runs until it is asked to stop. `ended` counts its jobs by how they ended, `handed_back` among them."""

    connect: Connect
    steps: Steps
    alerts: Alerts
    settings: WorkerSettings = field(default_factory=WorkerSettings)
    holder: str = field(default_factory=this_process)
    ended: Counter[str] = field(default_factory=Counter)
    _signals: StopSignals = field(default_factory=StopSignals, init=False)
    _queue: PatientQueue = field(init=False)
    _heartbeat: LeaseHeartbeat = field(init=False)
    _settler: Settler = field(init=False)
    _is_over: threading.Event = field(default_factory=threading.Event, init=False)
    _held: str | None = field(default=None, init=False)
    _looked_for_dead_at: float = field(default=-LOOK_FOR_DEAD_SECONDS, init=False)
    _has_reached_queue: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._queue = PatientQueue(self._open, self._signals.asked)
        self._heartbeat = LeaseHeartbeat(self._open, self.holder, self._signals.interrupt)
        self._settler = Settler(
            queue=self._queue, holder=self.holder, show_failure=self.steps.show_failure, alerts=self.alerts
        )

    @property
    def is_asked_to_stop(self) -> bool:
        """Whether a signal has come."""
        return self._signals.asked.is_set()

    def run(self) -> None:
        """Takes jobs. Raises an ImporterError where the queue cannot be used from the beginning."""
        with self._signals:
            threading.Thread(target=self._stop_in_time, name="stop", daemon=True).start()
            try:
                with self._heartbeat:
                    self._queue.claim(lambda jobs: jobs.beat(self.holder, None))
                    log.info("worker_started holder_pid=%d", os.getpid())
                    self._has_reached_queue = True
                    self._take_jobs()
            finally:
                self._leave()

    def run_one(self, job_id: str, given_by: str | None = None) -> str | None:
        """Executes one job: its state at the end, `handed_back`, or None where it was not to be had. With `given_by`
        the lease is taken over from that process."""
        with self._signals:
            threading.Thread(target=self._stop_in_time, name="stop", daemon=True).start()
            try:
                with self._heartbeat:
                    job = self._queue.claim(lambda jobs: self._taken(jobs, job_id, given_by))
                    self._has_reached_queue = True
                    if job is not None:
                        self._work_on(job)
            finally:
                self._leave()
        return next(iter(self.ended), None)

    def reach(self, lease: HeldLease, stage: JobStage, counts: Counts) -> None:
        self._heartbeat.reach(lease, stage)
        is_ours = self._queue.call(lambda jobs: jobs.reach_stage(lease.job_id, self.holder, stage, counts))
        if is_ours is False:
            lease.stop_reason = "lost"
            raise KeyboardInterrupt
        log.info("job_stage job=%s stage=%s", lease.job_id, stage)

    def _open(self) -> ServiceJobs:
        return self.connect(CALL_PATIENCE_SECONDS)

    def _taken(self, jobs: ServiceJobs, job_id: str, given_by: str | None) -> ServiceJob | None:
        if given_by is None:
            return jobs.claim(self.holder, job_id)
        return jobs.job(job_id) if jobs.hand_over(job_id, given_by, self.holder) else None

    def _take_jobs(self) -> None:
        while not self.is_asked_to_stop:
            try:
                self._release_the_dead()
                job = self._queue.claim(lambda jobs: jobs.claim(self.holder))
            except ImporterError as error:  # it was there before: somebody is at work on the database
                log.error("queue_refused error=%s", type(error).__name__)  # noqa: TRY400 - one line
                self._signals.asked.wait(LONGEST_WAIT_SECONDS)
                continue
            if job is not None:
                self._work_on(job)
            elif self.settings.once:
                return
            else:
                self._signals.asked.wait(POLL_SECONDS)

    def _release_the_dead(self) -> None:
        """Jobs of workers that have died on this machine need not wait for the end of their lease; nor one that this
        worker has claimed without knowing it, since the answer was lost."""
        now = time.monotonic()
        if now - self._looked_for_dead_at < LOOK_FOR_DEAD_SECONDS:
            return
        self._looked_for_dead_at = now
        held = self._queue.claim(lambda jobs: jobs.held()) or []
        for one in held:
            if one.holder == self.holder:
                self._queue.claim(methodcaller("hand_back", one.job_id, self.holder, counts_attempt=False))
        for holder in {one.holder for one in held}:
            if holder != self.holder and is_dead(holder):
                released = self._queue.claim(methodcaller("release", holder))
                log.warning("worker_died jobs_released=%d", released or 0)

    def _work_on(self, job: ServiceJob) -> None:
        began = time.monotonic()
        self._held = job.id
        log.info("job_begun job=%s attempt=%d stage=%s", job.id, job.attempts, job.stage)
        lease = self._heartbeat.hold(job.id, job.stage)
        try:
            outcome = self._outcome(job, lease)
            if outcome is None:
                log.warning("job_lease_lost job=%s", job.id)
            elif self._settler.settle(job, outcome, time.monotonic() - began):
                self.ended["handed_back" if isinstance(outcome, HandBack) else outcome.end] += 1
        finally:
            self._held = None
            self._heartbeat.drop()
            _give_memory_back()

    def _outcome(self, job: ServiceJob, lease: HeldLease) -> Outcome | None:
        """None where the lease is lost."""
        end = end_before_begin(job)
        if end is not None:
            return end
        execution = Execution(job, self.steps, _Attempt(self, lease))
        try:
            with self._signals.interruptible():
                execution.run()
        except KeyboardInterrupt:
            if lease.stop_reason is None:
                self._signals.asked.set()  # Ctrl-C
        return self._decided(execution, lease)

    def _decided(self, execution: Execution, lease: HeldLease) -> Outcome | None:
        outcome = execution.outcome
        if lease.stop_reason == "lost":
            return None
        if outcome is not None and not (isinstance(outcome, HandBack) or outcome.error_type == "Interrupted"):
            return outcome
        if lease.stop_reason == "cancelled":
            return cancelled(execution.counts)
        if self.is_asked_to_stop or outcome is None or outcome.error_type == "Interrupted":
            self._signals.asked.set()
            return HandBack(counts_attempt=False)
        return outcome

    def _leave(self) -> None:
        self._is_over.set()
        if self._has_reached_queue:
            with suppress(ImporterError):
                self._queue.call(lambda jobs: jobs.leave(self.holder), after_stop_seconds=1.0)
        self._queue.close()
        log.info("worker_ended")

    def _stop_in_time(self) -> None:
        """In a thread: interrupts the main thread once a signal has come, and ends the process where that does not
        help, as while it waits for a name to be resolved."""
        self._signals.asked.wait()
        log.info("worker_stops")
        until = time.monotonic() + self.settings.stop_within_seconds
        while time.monotonic() < until:
            self._signals.interrupt()
            if self._is_over.wait(INTERRUPT_AGAIN_SECONDS):
                return
        thread = threading.Thread(target=self._hand_back_held, name="hand-back", daemon=True)
        thread.start()
        thread.join(HAND_BACK_WITHIN_SECONDS)
        log.warning("worker_stopped_hard job=%s", self._held or "none")
        os._exit(0)

    def _hand_back_held(self) -> None:
        job_id = self._held
        if job_id is not None:
            with suppress(Exception), closing(self._open()) as jobs:  # the lease runs out, too
                jobs.hand_back(job_id, self.holder, counts_attempt=False)


def _give_memory_back() -> None:
    """What a job leaves in cycles, and what glibc keeps of freed memory, would grow from job to job."""
    gc.collect()
    with suppress(OSError, AttributeError):  # another libc
        ctypes.CDLL(None).malloc_trim(0)
