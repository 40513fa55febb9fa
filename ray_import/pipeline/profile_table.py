"""The row that a service's front end looks at while an import runs (`--profile-table`)."""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import compress
from typing import Any

from ray_import.chunks.rows import ImportJob, iso_time
from ray_import.destinations.base import JobStatus, Sink
from ray_import.errors import ConfigError, ImporterError
from ray_import.settings import ImportOptions

MOST_ERROR_CHARACTERS = 500
"""Of import_error: what the service itself keeps."""
_CANDIDATES: dict[JobStatus, tuple[str, ...]] = {
    "complete": ("complete",),
    "partial": ("partial", "complete"),
    "failed": ("failed", "none"),
}
"""The values of import_status for each ending of an import, the preferred one first."""
_ENDINGS: tuple[tuple[JobStatus, str], ...] = (
    ("complete", "complete"), ("partial", "partial"), ("failed", "failed"), ("failed", "none"),
)  # fmt: skip
"""How an import may end, and the import_status whose place in the table is tried out for it."""


def profile_status(ended: JobStatus, allowed: Collection[str], is_pending: bool) -> str | None:
    """The import_status for an import that has ended as `ended`, where the table allows these statuses.

    With `is_pending` an import that is in stays `processing`. None: no status fits, the row keeps its own.
    """
    if is_pending and ended != "failed":
        return "processing"
    return next((status for status in _CANDIDATES[ended] if status in allowed), None)


def words_for_partial(rejected: int, other_problems: int) -> str:
    """What import_error says of an import that lacks something."""
    parts = [(rejected, "rejected conversation"), (other_problems, "other problem")]
    told = ", ".join(f"{count:,} {name}{'' if count == 1 else 's'}" for count, name in parts if count)
    return f"The import is incomplete: {told or 'see its summary'}."


def _ending(ended: JobStatus, status: str | None, error: str | None, is_pending: bool = False) -> dict[str, Any]:
    """The values of the row at the end. What failed keeps its progress; with `status` None the row keeps its own."""
    told = {"import_error": error[:MOST_ERROR_CHARACTERS] if error else None}
    if status is not None:
        told |= {"import_status": status}
    if ended == "failed":
        return {"import_stage": "failed", **told}
    if is_pending:
        return {"import_stage": "imported", "progress_percent": 99, **told}
    return {"import_stage": "done", "progress_percent": 100, **told}


def profile_of(job: ImportJob, options: ImportOptions) -> "Profile | None":
    """The row that the import updates, if it has to update one."""
    if options.profile_table is None:
        return None
    return Profile(options.profile_table, job, options.profile_pending, options.is_retried)


def check_profiles(sink: Sink, options: ImportOptions, user_id: str) -> None:
    """Raises ConfigError where the table is missing or lacks a column. Changes nothing."""
    if options.profile_table is not None:
        sink.profile_takes(options.profile_table, user_id, [_ending("complete", "complete", None)])


@dataclass(slots=True)
class Profile:
    """A user's row in `table`. How many conversations and messages are in, the destination counts itself.

    With `is_pending` an import that is in leaves `processing`, for steps of the service that come after it; with
    `is_retried` so does an error that may pass. `warning` says why the row could not be brought up to date; empty where
    it could.
    """

    table: str
    job: ImportJob
    is_pending: bool = False
    is_retried: bool = False
    warning: str = ""
    _has_begun: bool = False
    _allowed: Collection[str] = tuple(status for _, status in _ENDINGS)

    def begins(self, sink: Sink) -> None:
        """The import runs. Finds out which endings the table allows.

        Raises ConfigError if the table or a column is missing, or the table does not allow `complete`.
        """
        begin = {"import_status": "processing", "import_stage": "starting", "progress_percent": 0, "import_error": None}
        started_at = iso_time(self.job.started_at)
        sink.set_profile(self.table, self.job.user_id, {**begin, "processing_started_at": started_at})
        self._has_begun = True
        endings = [_ending(ended, status, None if ended == "complete" else ended) for ended, status in _ENDINGS]
        takes = sink.profile_takes(self.table, self.job.user_id, endings)
        self._allowed = list(compress((status for _, status in _ENDINGS), takes))
        if profile_status("complete", self._allowed, self.is_pending) is None:
            raise ConfigError(
                f"The table {self.table} does not allow the import_status complete.",
                "Allow it, with import_stage done and progress_percent 100, in its CHECK or type; or leave the last"
                " status to a later step with --profile-pending.",
            )

    def goes_on(self, sink: Sink, share: float | None) -> None:
        """So much of it is read; None where that is not known. 100 % is for the end. Raises nothing, see `warning`."""
        percent = min(99, int(100 * (share or 0.0)))
        values = {"import_status": "processing", "import_stage": "importing", "progress_percent": percent}
        self._try_to_set(sink, values)

    def ends(self, sink: Sink, ended: JobStatus, error: str | None) -> None:
        """The import has ended. Raises nothing, see `warning`."""
        if self._has_begun:
            status = profile_status(ended, self._allowed, self.is_pending)
            self._try_to_set(sink, _ending(ended, status, error, self.is_pending))

    def _try_to_set(self, sink: Sink, values: dict[str, Any]) -> None:
        """The import itself matters more than this row."""
        try:
            sink.set_profile(self.table, self.job.user_id, values)
        except ImporterError as error:
            self.warning = f"The row of {self.job.user_id} in {self.table} is not up to date: {error.message}"
        else:
            self.warning = ""
