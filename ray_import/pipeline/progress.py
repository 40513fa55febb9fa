"""The progress of an import, of one user or of many: who receives it, how fast it is, how long it will take, and which
of the three steps (reading, working, writing) the others wait for.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ray_import.destinations.base import DONE_STATES, RunUser
from ray_import.pipeline.user_import import UserImport
from ray_import.records import BatchResult

Step = Literal["reading", "working", "writing"]

FORGET = 0.9
"""How much of what was seen counts on at the next look: looks are 0.2 s apart, so after two seconds a third."""

WAITS_AT_LEAST = 0.2
"""A reader that waits for less than this share of its time is what the workers wait for."""


class BottleneckEstimator:
    """Adds up where time goes, the last seconds above all."""

    def __init__(self) -> None:
        self._passed = self._waited = self._worked = self._written = 0.0

    def look(self, passed_seconds: float, waited_seconds: float) -> None:
        """To be told at every look how much time has passed, and how much of it the reader had no room."""
        self._passed = FORGET * self._passed + passed_seconds
        self._waited = FORGET * self._waited + waited_seconds
        self._worked *= FORGET
        self._written *= FORGET

    def add(self, result: BatchResult) -> None:
        """What a worker tells of a batch."""
        self._worked += result.seconds - result.sink_seconds
        self._written += result.sink_seconds

    @property
    def bottleneck(self) -> Step | None:
        """The step that the others wait for; None where nothing is known yet."""
        if not self._passed:
            return None
        if self._waited < WAITS_AT_LEAST * self._passed:
            return "reading"
        return "writing" if self._written > self._worked else "working"


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of an import. `bytes_read` is JSON, `seconds` is the time since the import began.

    `states` counts the users by state, `active` is the number of users being imported at this moment, `slow` how many
    users that have not ended have a slow source. `bytes_share` is how much of all bytes is done, from 0 to 1; None
    where the size of a source is not known. `bottleneck` is the step that the others wait for.
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
    bottleneck: Step | None = None

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
        for reporter in self.reporters:
            reporter.show(progress)


def percent(share: float) -> int:
    """A share from 0 to 1 in percent. 100 means that all is done: what is almost done is 99."""
    return 100 if share >= 1 else min(99, round(100 * share))


WINDOW_SECONDS = 60.0
"""Rates are those of the last minute: a run that skips thousands of unchanged exports in its first seconds will not go
on like that."""
SAMPLE_EVERY_SECONDS = 1.0


class Rate:
    """How fast an amount grows, by samples of it: about one per second of the window, and the very first one."""

    def __init__(self) -> None:
        self._samples = deque[tuple[float, float]]()
        self._first: tuple[float, float] | None = None
        self._last = (0.0, 0.0)

    def add(self, seconds: float, amount: float) -> None:
        """Takes the amount at a time, in seconds that only grow."""
        self._last = (seconds, amount)
        self._first = self._first or self._last
        if not self._samples or seconds - self._samples[-1][0] >= SAMPLE_EVERY_SECONDS:
            self._samples.append(self._last)
        while len(self._samples) > 1 and self._samples[0][0] < seconds - WINDOW_SECONDS:
            self._samples.popleft()

    @property
    def per_second(self) -> float | None:
        """The rate of the window; of all the time where the amount did not grow in the window; None if it never did."""
        for sample in (self._samples[0] if self._samples else None, self._first):
            if sample is None:
                continue
            seconds, grown = self._last[0] - sample[0], self._last[1] - sample[1]
            if seconds > 0 and grown > 0:
                return grown / seconds
        return None


class Rates:
    """What follows from all progress so far. `add` must be called with every progress that is shown, in order."""

    def __init__(self) -> None:
        self._users = Rate()
        self._bytes = Rate()
        self._progress: Progress | None = None
        self._place: tuple[int, ...] = ()
        self._moved_at = 0.0

    def add(self, progress: Progress) -> None:
        """Takes the newest progress."""
        self._progress = progress
        self._users.add(progress.seconds, progress.ended)
        if progress.bytes_share is not None:
            self._bytes.add(progress.seconds, progress.bytes_share)
        if progress.place != self._place:
            self._place, self._moved_at = progress.place, progress.seconds

    @property
    def idle_seconds(self) -> float:
        """How long nothing was read, no conversation was finished and no user ended."""
        return self._progress.seconds - self._moved_at if self._progress else 0.0

    @property
    def users_per_second(self) -> float | None:
        """How many users end per second; None if no user has ended since the first progress."""
        return self._users.per_second

    @property
    def seconds_left(self) -> float | None:
        """By the bytes where their share is known, else by the users; None if nothing was done yet."""
        progress = self._progress
        if progress is None:
            return None
        if progress.bytes_share is None:
            left, rate = float(progress.users - progress.ended), self._users.per_second
        else:
            left, rate = 1 - progress.bytes_share, self._bytes.per_second
        if left <= 0:
            return 0.0
        return left / rate if rate else None


class Sizes:
    """The sizes of the exports of a run, and which of them are done.

    `known_bytes` are sizes of exports as they are stored, by user id, as far as a look from here tells them. For other
    users it is the JSON in the export, once a reader knows that. A size does not change after it is known.
    """

    def __init__(self, known_bytes: Mapping[str, int], users: Sequence[RunUser]) -> None:
        self._sizes = {user.user_id: known_bytes[user.user_id] for user in users if user.user_id in known_bytes}
        self._unknown = {user.user_id for user in users} - self._sizes.keys()
        self._total = sum(self._sizes.values())
        self._ended = set[str]()
        self._done = 0
        for user in users:
            self.update(user)

    def opened(self, user_id: str, bytes_total: int | None) -> None:
        """A reader has opened the export of the user, which has `bytes_total` of JSON; None where that is not known."""
        if bytes_total is not None and user_id in self._unknown:
            self._unknown.remove(user_id)
            self._sizes[user_id] = bytes_total
            self._total += bytes_total

    def update(self, user: RunUser) -> None:
        """The user is in this state now. Once the import has ended, well or not, an unknown size counts as 0."""
        if user.state in DONE_STATES and user.user_id not in self._ended:
            self._ended.add(user.user_id)
            self._unknown.discard(user.user_id)
            self._done += self._sizes.get(user.user_id, 0)

    def share(self, active: Iterable[UserImport]) -> float | None:
        """How much of all bytes is done, from 0 to 1; None where a size is not known, or all are 0.

        Of the exports that are read at this moment, what is read counts in proportion, if their JSON has a known size.
        """
        part = 0.0
        for one in active:
            user_id = one.user.user_id
            self.opened(user_id, one.bytes_total)
            if one.bytes_total and user_id in self._sizes:
                part += self._sizes[user_id] * min(1.0, one.bytes_read / one.bytes_total)
        if self._unknown or not self._total:
            return None
        return min(1.0, (self._done + part) / self._total)
