"""One attempt at a job: the import, then the profile."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ray_import.destinations.service_jobs import JobEnd, JobStage, ServiceJob
from ray_import.errors import ImporterError, NothingToProfile
from ray_import.pipeline.progress import Progress, Reporter
from ray_import.pipeline.report import Summary
from ray_import.profile.progress import ProfileProgress, ProfileReporter
from ray_import.profile.report import ProfileReport
from ray_import.service.work.outcome import (
    INCOMPLETE,
    NO_KEY,
    NOTHING_TO_PROFILE,
    ROW_NOT_UPDATED,
    Counts,
    Finish,
    Outcome,
    import_counts,
    outcome_of_error,
    outcome_of_fault,
    profile_counts,
    profile_progress_counts,
    progress_counts,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What a job is made of. `make_profile` is None where there is no key of Claude. `show_failure(user_id, message)`
    tells the front end that nothing more comes; it raises an ImporterError where the destination is away."""

    import_export: Callable[[ServiceJob, Reporter], Summary]
    make_profile: Callable[[str, ProfileReporter], ProfileReport] | None
    show_failure: Callable[[str, str], None]


class Attempt(Protocol):
    """What an execution needs of whoever holds the job."""

    def reach(self, stage: JobStage, counts: Counts) -> None:
        """Writes that the job has come to this stage. Raises KeyboardInterrupt where the lease is lost."""

    def report(self, counts: Counts) -> None:
        """Takes the newest counts. Returns at once."""

    def check(self) -> None:
        """Raises KeyboardInterrupt where the attempt is to stop."""


class Execution:
    """Executes a job from its stage on. `outcome` is None until it has come to an end of its own."""

    def __init__(self, job: ServiceJob, steps: Steps, attempt: Attempt) -> None:
        self.outcome: Outcome | None = None
        self.counts: Counts = dict(job.counts)
        self._job = job
        self._steps = steps
        self._attempt = attempt

    def run(self) -> None:
        """Sets the outcome. Raises KeyboardInterrupt where it was interrupted."""
        try:
            if self._job.stage == "import":
                self._import()
            if self.outcome is None:
                self._attempt.check()
                self._make_profile()
        except ImporterError as error:
            self.outcome = outcome_of_error(error, self._job.attempts, self.counts)
        except Exception as fault:  # noqa: BLE001 - it costs this job alone
            log.error("job_fault job=%s error=%s", self._job.id, type(fault).__name__)  # noqa: TRY400 - users' words
            self.outcome = outcome_of_fault(fault, self.counts)

    def _import(self) -> None:
        self._attempt.check()
        summary = self._steps.import_export(self._job, _ImportProgress(self._attempt))
        self.counts = import_counts(summary)
        if summary.error is not None:
            self.outcome = outcome_of_error(summary.error, self._job.attempts, self.counts)
        elif self._steps.make_profile is None:
            self._finish("complete", ROW_NOT_UPDATED if summary.warnings else None)
        else:
            self._attempt.reach("profile", self.counts)

    def _make_profile(self) -> None:
        if self._steps.make_profile is None:
            self._end_without_profile(NO_KEY, "ConfigError")
            return
        try:
            report = self._steps.make_profile(self._job.user_id, _ProfileProgress(self._attempt, self.counts))
        except NothingToProfile as error:
            self._end_without_profile(NOTHING_TO_PROFILE, type(error).__name__)
            return
        self.counts |= {"profile": profile_counts(report)}
        if report.error is not None:
            self.outcome = outcome_of_error(report.error, self._job.attempts, self.counts)
            return
        self._finish("complete" if report.status == "complete" else "partial")

    def _end_without_profile(self, why: str, error_type: str) -> None:
        """No page waits for a profile that does not come. What was imported stays."""
        self._steps.show_failure(self._job.user_id, why)
        self._finish("partial" if self._job.source else "failed", why, error_type)

    def _finish(self, end: JobEnd, error: str | None = None, error_type: str | None = None) -> None:
        """Ends the job: it is not complete if its import is not, or if there is an error."""
        if end == "complete" and self.counts.get("partial_import"):
            error = error or INCOMPLETE
        if end == "complete" and error:
            end = "partial"
        self.outcome = Finish(end=end, counts=self.counts, error=error, error_type=error_type)


@dataclass(frozen=True, slots=True)
class _ImportProgress:
    attempt: Attempt

    def show(self, progress: Progress) -> None:
        self.attempt.report(progress_counts(progress))


@dataclass(frozen=True, slots=True)
class _ProfileProgress:
    attempt: Attempt
    counts: Counts

    def show(self, progress: ProfileProgress) -> None:
        self.attempt.report({**self.counts, "profile": profile_progress_counts(progress)})
