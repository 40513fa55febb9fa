"""Writes how an attempt has ended: to the front end's row, to the queue, to the log, and to ALERT_WEBHOOK."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from ray_import.destinations.service_jobs import QueueStats, ServiceJob, ServiceJobs
from ray_import.errors import ImporterError
from ray_import.service.work.alerts import Alerts, EndedJob
from ray_import.service.work.outcome import CANCELLED, Finish, HandBack, Outcome
from ray_import.service.work.queue import PatientQueue

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settler:
    """See `settle`. Waits for a database that is away. `show_failure`: see `Steps`."""

    queue: PatientQueue
    holder: str
    show_failure: Callable[[str, str], None]
    alerts: Alerts

    def settle(self, job: ServiceJob, outcome: Outcome, seconds: float) -> bool:
        """Whether it was written: not where the lease is lost. Raises no ImporterError."""
        try:
            if isinstance(outcome, HandBack):
                return self._hand_back(job, outcome)
            return self._finish(job, outcome, seconds)
        except ImporterError as error:  # the lease runs out, and the next attempt ends the job
            log.error("job_not_settled job=%s error=%s", job.id, type(error).__name__)  # noqa: TRY400 - one line
            return False

    def _hand_back(self, job: ServiceJob, outcome: HandBack) -> bool:
        was_ours = self.queue.call(
            lambda jobs: jobs.hand_back(
                job.id,
                self.holder,
                delay_seconds=outcome.delay_seconds,
                counts_attempt=outcome.counts_attempt,
                error=outcome.error,
                error_type=outcome.error_type,
            )
        )
        if was_ours:
            log.info(
                "job_handed_back job=%s attempt=%d error=%s delay_seconds=%.1f",
                job.id, job.attempts, outcome.error_type or "none", outcome.delay_seconds,
            )  # fmt: skip
        return self._is_written(job, was_ours)

    def _finish(self, job: ServiceJob, outcome: Finish, seconds: float) -> bool:
        if self.queue.call(lambda jobs: jobs.beat(self.holder, job.id)) == "lost":
            return self._is_written(job, was_ours=False)  # its row is another worker's to set
        if outcome.end in ("failed", "cancelled"):
            self._show(job, outcome.error or CANCELLED)
        was_ours = self.queue.call(
            lambda jobs: jobs.finish(
                job.id, self.holder, outcome.end, outcome.counts, outcome.error, outcome.error_type
            )
        )
        if was_ours:
            log.info(
                "job_ended job=%s state=%s attempt=%d error=%s seconds=%.1f",
                job.id, outcome.end, job.attempts, outcome.error_type or "none", seconds,
            )  # fmt: skip
            self._alert(job, outcome, seconds)
        return self._is_written(job, was_ours)

    def _show(self, job: ServiceJob, message: str) -> None:
        """A front end whose row cannot be set, since its table is another one, keeps no job from its end."""

        def show(_jobs: ServiceJobs) -> bool:
            self.show_failure(job.user_id, message)
            return True

        try:
            self.queue.call(show)
        except ImporterError as error:
            log.warning("row_not_updated job=%s error=%s", job.id, type(error).__name__)

    def _alert(self, job: ServiceJob, outcome: Finish, seconds: float) -> None:
        if not self.alerts.wants(outcome.end):
            return
        stats: QueueStats | None = None
        with suppress(ImporterError):
            stats = self.queue.call(lambda jobs: jobs.stats(), after_stop_seconds=0.0)
        ended = EndedJob(
            job_id=job.id,
            end=outcome.end,
            attempts=job.attempts,
            seconds=seconds,
            error_type=outcome.error_type,
        )
        self.alerts.post(ended, stats)

    def _is_written(self, job: ServiceJob, was_ours: bool | None) -> bool:
        if not was_ours:
            log.warning("job_lease_lost job=%s", job.id)
        return bool(was_ours)
