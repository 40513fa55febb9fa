"""Whether a run still gets anywhere."""

import time
from collections.abc import Callable

from ray_import.importing.progress import Progress


class Stall:
    """A run stalls when for `after_seconds` nothing was read, no conversation was finished and no user ended.

    `clock` gives seconds that only grow; the time runs from when this is made.
    """

    def __init__(self, after_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._after_seconds = after_seconds
        self._clock = clock
        self._at: tuple[int, ...] = ()
        self._since = clock()
        self._told = False

    def look(self, progress: Progress | None) -> float | None:
        """For how many seconds the run has been where it is, once in each stall; None at all other times.

        `progress` is the newest there is, None where the run has shown none yet.
        """
        at = progress.place if progress is not None else ()
        now = self._clock()
        if at != self._at:
            self._at, self._since, self._told = at, now, False
        if self._told or now - self._since < self._after_seconds:
            return None
        self._told = True
        return now - self._since
