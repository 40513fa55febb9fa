"""The result of an import, and of a run over many users: for a person, for `--json`, and for the job's row."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ray_import.chatgpt.files import shown
from ray_import.destinations.base import (
    LACKING_STATES,
    WHOLE_STATES,
    JobStatus,
    Pruned,
    RejectLimits,
    RunUser,
    UserState,
)
from ray_import.errors import ImporterError, Interrupted
from ray_import.pipeline.tally import bounded
from ray_import.records import Counts, Problem


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of an import. `seconds` begin when the workers are up; `bytes_read` are of JSON. `warnings` are sentences
    about what was asked for beside the import and was not done.

    `pruned` is None where nothing was looked for to be pruned: it was not asked for, or the export is not complete.
    """

    import_id: str
    user_id: str
    source: str
    destination: str
    status: JobStatus
    counts: Counts
    bytes_read: int
    seconds: float
    workers: int
    problems: tuple[Problem, ...]
    pruned: Pruned | None = None
    error: ImporterError | None = None
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 complete; 1 partial, or with warnings; else the error's own."""
        if self.error is not None:
            return self.error.exit_code
        return 0 if self.status == "complete" and not self.warnings else 1

    def as_dict(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "import_id": self.import_id,
            "user_id": self.user_id,
            "source": self.source,
            "destination": self.destination,
            "status": self.status,
            **counts_as_dict(self.counts),
            "bytes_read": self.bytes_read,
            "seconds": round(self.seconds, 3),
            "workers": self.workers,
            "problems": [asdict(problem) for problem in self.problems],
            "pruned": None if self.pruned is None else asdict(self.pruned),
            "warnings": list(self.warnings),
            "error": None if self.error is None else str(self.error),
        }


def counts_as_dict(counts: Counts) -> dict[str, Any]:
    """The counts as the summary and the job's row have them; names are bounded (see `bounded`)."""
    return {
        "conversations": {
            "seen": counts.seen,
            "imported": counts.imported,
            "unchanged": counts.unchanged,
            "empty": counts.empty,
            "rejected": counts.rejected,
            "not_a_conversation": counts.not_a_conversation,
        },
        "messages": {"kept": counts.kept, "left_out": dict(bounded(counts.left_out).most_common())},
        "chunks": {"written": counts.chunks_written, "deleted": counts.chunks_deleted},
        "notes": dict(bounded(counts.notes).most_common()),
    }


@dataclass(frozen=True, slots=True)
class RunReport:
    """The end of a run: every user, and how it ended; how many files were passed over, where users were looked for."""

    run_id: str
    what: str
    destination: str
    users: tuple[RunUser, ...]
    bytes_read: int
    seconds: float
    workers: int
    passed_over: Mapping[str, int] | None = None

    @property
    def states(self) -> Counter[str]:
        """How many users are in each state."""
        return Counter(user.state for user in self.users)

    @property
    def exit_code(self) -> int:
        """0 where every user is complete and without a warning, else 1."""
        return 1 if self.lacking or self.warned else 0

    @property
    def warned(self) -> list[RunUser]:
        """The users who are complete, but whose row of --profile-table could not be updated."""
        return [user for user in self.users if user.error and user.state in WHOLE_STATES]

    @property
    def lacking(self) -> list[RunUser]:
        """The users who failed, or of whom something is missing."""
        return [user for user in self.users if user.state in LACKING_STATES]

    def as_dict(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "run_id": self.run_id,
            "what": self.what,
            "destination": self.destination,
            "users": {"all": len(self.users), **dict(sorted(self.states.items()))},
            "bytes_read": self.bytes_read,
            "seconds": round(self.seconds, 3),
            "workers": self.workers,
            "failed": [
                {
                    "user_id": user.user_id,
                    "source": user.source,
                    "state": user.state,
                    "attempts": user.attempts,
                    "error": user.error,
                }
                for user in self.lacking
            ],
            **({"warnings": warnings} if (warnings := [_warning(user) for user in self.warned]) else {}),
            **({} if self.passed_over is None else {"passed_over": dict(self.passed_over)}),
        }


def _warning(user: RunUser) -> dict[str, Any]:
    return {"user_id": user.user_id, "warning": user.error}


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
