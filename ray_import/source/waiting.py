"""The time that one source has spent waiting for its server, and when that is too much."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ray_import.errors import SourceRefused, SourceSlow
from ray_import.settings import ReadLimits

BYTES_PER_SECOND = 1_000_000
"""The deadline grows by one second for so many bytes."""
LEAST_TIMEOUT_SECONDS = 0.001
"""Of a socket, a time-out of 0 would mean not to wait at all."""


class Waiting:
    """Adds up the seconds spent waiting for the server of one source, and the bytes that came in them.

    Time in which nobody waits for the server does not count: while a reader parses, or waits until somebody takes what
    it has read. Of several threads that wait at the same time, a second counts once. `clock` gives seconds that only
    grow. With `gives_up` a slow source ends its reading with SourceSlow, and so does one that reaches the deadline;
    without it, the deadline ends the reading for good.
    """

    def __init__(
        self,
        label: str,
        limits: ReadLimits,
        *,
        gives_up: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`label` is how messages call the source."""
        self._label = label
        self._pace = limits.pace
        self._most_extra_bytes = limits.max_download_bytes
        self._gives_up = gives_up
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting_threads = 0
        self._waits_since = 0.0
        self._waited_before = 0.0
        self._received_bytes = 0
        self._announced_bytes = 0
        self._period_began = 0.0
        self._period_bytes = 0

    @property
    def seconds(self) -> float:
        """The seconds waited so far, the present wait included."""
        with self._lock:
            return self._seconds()

    @property
    def deadline_seconds(self) -> float:
        """How many seconds may be waited in all.

        That is `SourcePace.deadline_seconds` and one more for each MB that the server has announced or sent, whichever
        is more. No more than `ReadLimits.max_download_bytes` count for that: a server may announce what it likes. What
        is announced does not count with `gives_up`, or a server could buy a place that others need.
        """
        announced_bytes = 0 if self._gives_up else self._announced_bytes
        extra_bytes = min(max(announced_bytes, self._received_bytes), self._most_extra_bytes)
        return self._pace.deadline_seconds + extra_bytes / BYTES_PER_SECOND

    @property
    def seconds_to_deadline(self) -> float:
        """How many seconds may still be waited; 0 or less where the deadline is over."""
        return self.deadline_seconds - self.seconds

    @property
    def seconds_to_check(self) -> float:
        """After how many more seconds of waiting `check` is due, however few bytes come."""
        to_end_of_period = self._period_began + self._pace.slow_after_seconds - self.seconds
        return min(self.seconds_to_deadline, to_end_of_period if self._gives_up else math.inf)

    def announce(self, size_bytes: int) -> None:
        """The server says that the object has so many bytes."""
        self._announced_bytes = max(self._announced_bytes, size_bytes)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Counts the time that is spent in it."""
        with self._lock:
            if self._waiting_threads == 0:
                self._waits_since = self._clock()
            self._waiting_threads += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting_threads -= 1
                if self._waiting_threads == 0:
                    self._waited_before += self._clock() - self._waits_since

    def received(self, size_bytes: int) -> None:
        """So many bytes have come, of bodies or of anything else."""
        with self._lock:
            self._received_bytes += size_bytes
            self._period_bytes += size_bytes

    def check(self) -> None:
        """Raises SourceRefused where the deadline is over, SourceSlow where the source is slow and to be given up."""
        seconds = self.seconds
        if seconds >= self.deadline_seconds:
            if self._gives_up:
                raise self._slow(self._received_bytes, seconds)
            raise SourceRefused(
                f"{self._label} is too slow: {self._received_bytes:,} bytes arrived in {seconds:,.0f} s of waiting for"
                " its server.",
                "Raise --source-deadline-seconds, or download it and import the file.",
            )
        period_seconds = seconds - self._period_began
        if period_seconds < self._pace.slow_after_seconds:
            return
        if self._gives_up and self._period_bytes < self._pace.slow_bytes_per_second * period_seconds:
            raise self._slow(self._period_bytes, period_seconds)
        with self._lock:
            self._period_began, self._period_bytes = seconds, 0

    def _slow(self, size_bytes: int, seconds: float) -> SourceSlow:
        what = f"{self._label} is slow: {size_bytes:,} bytes arrived in {seconds:,.0f} s of waiting for its server."
        return SourceSlow(what, "It is read again in parallel with the other sources.")

    def begin_again(self) -> None:
        """Forgets what was waited: the deadline is that of what comes next."""
        with self._lock:
            self._waited_before = self._period_began = 0.0
            self._waits_since = self._clock()
            self._received_bytes = self._period_bytes = self._announced_bytes = 0

    def _seconds(self) -> float:
        waits = self._clock() - self._waits_since if self._waiting_threads else 0.0
        return self._waited_before + waits
