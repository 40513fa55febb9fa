"""What can be told while an import runs, and to whom."""

from dataclasses import dataclass
from typing import Protocol

from ray_import.importing.pace import Step
from ray_import.records import Counts


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the import is. `bytes_read` is JSON; `bytes_total` is None where only reading tells (gzip).

    `slowest` is the step that the others wait for.
    """

    bytes_read: int
    bytes_total: int | None
    seconds: float
    counts: Counts
    slowest: Step | None = None


class Reporter(Protocol):
    """Shows progress to a person, often enough to be called at every turn of the loop."""

    def show(self, progress: Progress) -> None:
        """Where the import is now."""


class NoReporter:
    """Shows nothing."""

    def show(self, progress: Progress) -> None:
        """Does nothing."""
