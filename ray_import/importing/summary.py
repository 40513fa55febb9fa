"""What an import came to: for a person, for `--json`, and for the job's row."""

from dataclasses import asdict, dataclass
from typing import Any

from ray_import.errors import ImporterError
from ray_import.importing.tally import bounded
from ray_import.records import Counts, Problem
from ray_import.sink.port import JobStatus, Pruned


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
