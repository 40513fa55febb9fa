"""The row that a service's front end looks at while an import runs (`--profile-table`)."""

from dataclasses import dataclass
from typing import Any

from ray_import.chunks.rows import Import, iso_time
from ray_import.sink.port import JobStatus, Sink


@dataclass(frozen=True, slots=True)
class Profile:
    """A user's row in `table`. How many conversations and messages are in, the destination counts itself."""

    table: str
    of: Import

    def begins(self, sink: Sink) -> None:
        """The import runs."""
        started_at = iso_time(self.of.started_at)
        self._set(sink, "processing", "starting", 0, import_error=None, processing_started_at=started_at)

    def goes_on(self, sink: Sink, share: float | None) -> None:
        """So much of it is read; None where that is not known. 100 % is for the end."""
        self._set(sink, "processing", "importing", min(99, int(100 * (share or 0.0))))

    def ends(self, sink: Sink, status: JobStatus, error: str | None) -> None:
        """It has ended; what failed stays as far as it came."""
        progress = {} if status == "failed" else {"progress_percent": 100}
        self._set(sink, status, "done" if status != "failed" else "failed", import_error=error, **progress)

    def _set(self, sink: Sink, status: str, stage: str, percent: int | None = None, **more: Any) -> None:
        progress = {} if percent is None else {"progress_percent": percent}
        sink.set_profile(
            self.table, self.of.user_id, {"import_status": status, "import_stage": stage, **progress, **more}
        )
