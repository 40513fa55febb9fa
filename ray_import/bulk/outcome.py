"""How the import of a user ended, in the words of the ledger."""

from collections.abc import Sequence

from ray_import.errors import ImporterError, Interrupted
from ray_import.records import Counts, Problem
from ray_import.sink.port import JobStatus, RejectLimits, UserState
from ray_import.source.names import shown

MOST_TOLD_CHARACTERS = 500
REJECTS_KEPT = RejectLimits(100, 10_000_000)
"""Of one export in a run over many users: without these limits, the damaged exports of a night could fill the
destination."""


def in_short(error: str) -> str:
    """An error as the ledger may hold it, whatever names of the export are in it: one text that a database refuses
    would end the run of all."""
    return shown(error if len(error) <= MOST_TOLD_CHARACTERS else f"{error[:MOST_TOLD_CHARACTERS]}…")


def error_text(error: ImporterError | None) -> str | None:
    """The error as the ledger has it."""
    if isinstance(error, Interrupted):
        return "interrupted"
    return None if error is None else in_short(error.message)


def first_problem(problems: Sequence[Problem], counts: Counts) -> str | None:
    """What makes an import `partial`, if that is more than rejects that are kept."""
    problems = [one for one in problems if not one.harmless]
    if not problems:
        left = counts.notes["rejects_not_kept"]
        most = f"{REJECTS_KEPT.count} rejects or {REJECTS_KEPT.bytes // 1_000_000} MB per export"
        return f"{left:,} rejects are counted but not stored: the limit is {most}." if left else None
    first, *others = problems
    more = f", and {len(others):,} more" if others else ""
    return in_short(f"{first.kind}: {first.where}: {first.detail}{more}")


def job_status(state: UserState) -> JobStatus:
    """The status of the import's job for the state of its user."""
    return "complete" if state == "complete" else "partial" if state == "partial" else "failed"
