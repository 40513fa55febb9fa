"""How fast an import is at the moment, and how long it will take from here."""

from collections import deque

from ray_import.importing.progress import Progress

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
