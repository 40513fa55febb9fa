"""For how long workers are waited for, and when none has been up for too long."""

from dataclasses import dataclass

from ray_import.errors import ClusterError, SinkBusy

START_TIMEOUT_SECONDS = 120
AWAY_SECONDS = 600
"""For how long workers are waited for that are there, but whose destination is away. Longer than the driver itself
waits for it: where both miss it, the driver tells."""
LOOK_SECONDS = 5.0
"""The longest between two looks at the workers that counts as time in which they were looked at."""


@dataclass(frozen=True, slots=True)
class Patience:
    """For how many seconds a worker is waited for: the first of all, and the next where none is left."""

    first: float = START_TIMEOUT_SECONDS
    none_left: float = START_TIMEOUT_SECONDS


FOR_WHAT_IS_THERE = Patience()


class NoneUp:
    """How long no worker has been up, as somebody who looks at all of them sees it.

    Asked of all of them: one by one they are given up, and started anew, without end. Only time in which somebody
    looked counts: a driver may be held up for minutes, by its own destination, say, while workers come and go.
    """

    def __init__(self, patience: Patience, now: float) -> None:
        self._patience = patience
        self._looked = now
        self._silent_seconds = 0.0
        self._away_seconds = 0.0
        self._away: SinkBusy | None = None

    def answered(self, away: SinkBusy) -> None:
        """A worker is there, and its destination is not."""
        self._silent_seconds = 0.0
        self._away = away

    def look(self, now: float, *, up: bool) -> None:
        """One is up, or none is. Raises ClusterError where none has answered for too long, SinkBusy where those that do
        have missed their destination for too long."""
        since, self._looked = min(now - self._looked, LOOK_SECONDS), now
        self._silent_seconds = 0.0 if up else self._silent_seconds + since
        if up or self._silent_seconds > START_TIMEOUT_SECONDS:  # who has answered would have done so once more
            self._away = None
        self._away_seconds = 0.0 if self._away is None else self._away_seconds + since
        if self._silent_seconds > self._patience.none_left:
            raise ClusterError(f"No worker restarted within {self._silent_seconds:.0f} s.")
        if self._away is not None and self._away_seconds > AWAY_SECONDS:
            raise self._away
