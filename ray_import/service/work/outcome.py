"""How one attempt at a job ends: as a decision that can be written to the queue."""

import random
from dataclasses import dataclass
from typing import Any

from ray_import.destinations.service_jobs import JobEnd, ServiceJob
from ray_import.errors import ImporterError, ImportRunning, WorkerNotConfigured, may_pass
from ray_import.pipeline.progress import Progress, percent
from ray_import.pipeline.report import Summary, in_short
from ray_import.profile.progress import ProfileProgress
from ray_import.profile.report import ProfileReport

MAX_ATTEMPTS = 5
FIRST_DELAY_SECONDS = 10.0
"""Before the second attempt; each further delay is three times as long. All of them together are about 7 minutes."""
LONGEST_DELAY_SECONDS = 3600.0
UNCOUNTED_DELAY_SECONDS = 15.0
"""While another import of the user runs, or the worker's environment lacks something. Waiting for it is no attempt."""

NOTHING_TO_PROFILE = "The messages hold nothing that a profile could be made of."
NO_KEY = "There is no key of Claude: set ANTHROPIC_API_KEY where ray-import work runs."
CANCELLED = "The import was cancelled."
WORN_OUT = f"The job was begun {MAX_ATTEMPTS} times, and its process ended each time."
INCOMPLETE = "The import is incomplete: its counts and ray-import rejects show what is missing."
ROW_NOT_UPDATED = "The front end's row could not be updated."

Counts = dict[str, Any]
"""Numbers by fixed names: no name of a file or a user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The job has ended."""

    end: JobEnd
    counts: Counts
    error: str | None = None
    error_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HandBack:
    """The job is queued again."""

    delay_seconds: float = 0.0
    counts_attempt: bool = True
    error: str | None = None
    error_type: str | None = None


Outcome = Finish | HandBack


def outcome_of_error(error: ImporterError, attempts: int, counts: Counts) -> Outcome:
    """Another attempt where the error may pass and attempts are left, else a failure."""
    message, name = in_short(error.message), type(error).__name__
    if isinstance(error, ImportRunning | WorkerNotConfigured):
        delay = _jittered(UNCOUNTED_DELAY_SECONDS)
        return HandBack(delay_seconds=delay, counts_attempt=False, error=message, error_type=name)
    if may_pass(error) and attempts < MAX_ATTEMPTS:
        asked = float(getattr(error, "retry_after_seconds", 0.0))
        delay = min(max(delay_before(attempts + 1), asked), LONGEST_DELAY_SECONDS)
        return HandBack(delay_seconds=delay, error=message, error_type=name)
    return Finish(end="failed", counts=counts, error=message, error_type=name)


def outcome_of_fault(fault: Exception, counts: Counts) -> Outcome:
    """A fault of ours would happen again. Its text may hold a user's words, so only its type is kept."""
    name = type(fault).__name__
    return Finish(end="failed", counts=counts, error=f"A fault in ray-import: {name}.", error_type=name)


def cancelled(counts: Counts) -> Finish:
    """Somebody has cancelled the job."""
    return Finish(end="cancelled", counts=counts)


def worn_out(counts: Counts) -> Finish:
    """All attempts have ended with the death of their process."""
    return Finish(end="failed", counts=counts, error=WORN_OUT, error_type="WorkerDied")


def end_before_begin(job: ServiceJob) -> Finish | None:
    """The end of a claimed job that is not to be begun: it is cancelled, or has no attempt left."""
    if job.cancel_requested:
        return cancelled(job.counts)
    return worn_out(job.counts) if job.attempts > MAX_ATTEMPTS else None


def delay_before(attempt: int) -> float:
    """The seconds to wait before this attempt (from 2 on): exponential backoff with jitter."""
    return _jittered(FIRST_DELAY_SECONDS * 3 ** (attempt - 2))


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


def import_counts(summary: Summary) -> Counts:
    """The numbers of an import. Reasons and notes may hold names that the export chose, so only their sums are kept."""
    counts = summary.counts
    return {
        "percent": 100 if summary.error is None else 0,
        "conversations": {
            "seen": counts.seen,
            "imported": counts.imported,
            "unchanged": counts.unchanged,
            "empty": counts.empty,
            "rejected": counts.rejected,
            "not_a_conversation": counts.not_a_conversation,
        },
        "messages": {"kept": counts.kept, "left_out": sum(counts.left_out.values())},
        "chunks": {"written": counts.chunks_written, "deleted": counts.chunks_deleted},
        "bytes_read": summary.bytes_read,
        "partial_import": int(summary.status == "partial"),
    }


def progress_counts(progress: Progress) -> Counts:
    """The same while the import runs, as far as it is known."""
    return {
        "percent": min(99, percent(progress.bytes_share or 0.0)),
        "conversations": {"seen": progress.conversations, "rejected": progress.rejects},
        "chunks": {"written": progress.chunks_written},
        "bytes_read": progress.bytes_read,
    }


def profile_counts(report: ProfileReport) -> Counts:
    """The numbers of a run of the profile step."""
    facts = {status: report.facts[status] for status in ("active", "duplicate", "superseded") if status in report.facts}
    return {
        **report.total.as_dict(),
        "facts": facts,
        "not_extracted": report.not_extracted,
        "unknown_outcome": report.unknown_outcome,
        "lacking": len(report.lacking),
    }


def profile_progress_counts(progress: ProfileProgress) -> Counts:
    """The same while the run goes on."""
    return {
        "requests": progress.requests,
        "expected_requests": progress.expected_requests,
        "input_tokens": progress.input_tokens,
        "output_tokens": progress.output_tokens,
        "usd": round(progress.usd, 6),
    }
