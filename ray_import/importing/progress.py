"""The progress of an import, of one user or of many, and who gets it."""

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from ray_import.importing.pace import Step
from ray_import.sink.port import DONE_STATES


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of an import. `bytes_read` is JSON, `seconds` is the time since the import began.

    `states` counts the users by state, `active` is the number of users being imported at this moment, `slow` how many
    users that have not ended have a slow source. `bytes_share` is how much of all bytes is done, from 0 to 1; None
    where the size of a source is not known. `slowest` is the step that the others wait for.
    """

    states: Counter[str]
    bytes_read: int
    conversations: int
    chunks_written: int
    rejects: int
    seconds: float
    active: int = 1
    slow: int = 0
    bytes_share: float | None = None
    slowest: Step | None = None

    @property
    def users(self) -> int:
        """The number of all users."""
        return self.states.total()

    @property
    def ended(self) -> int:
        """The number of users whose import has ended, well or not."""
        return sum(self.states[state] for state in DONE_STATES)

    @property
    def users_share(self) -> float:
        """How many of all users have ended, from 0 to 1."""
        return self.ended / self.users if self.users else 0.0

    @property
    def place(self) -> tuple[int, ...]:
        """Changes whenever the import gets further. If a user is tried again, counts go back: that is a change, too."""
        return self.bytes_read, self.conversations, self.ended


class Reporter(Protocol):
    """Gets the progress several times a second."""

    def show(self, progress: Progress) -> None:
        """Takes the newest progress. Must return at once: the import waits for it."""


class NoReporter:
    """Shows nothing."""

    def show(self, progress: Progress) -> None:
        """Does nothing."""


@dataclass(frozen=True, slots=True)
class AllOf:
    """Several reporters as one."""

    reporters: tuple[Reporter, ...]

    def show(self, progress: Progress) -> None:
        """See `Reporter.show`."""
        for reporter in self.reporters:
            reporter.show(progress)


def percent(share: float) -> int:
    """A share from 0 to 1 in percent. 100 means that all is done: what is almost done is 99."""
    return 100 if share >= 1 else min(99, round(100 * share))
