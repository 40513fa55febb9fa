"""Which of the three steps the others wait for: reading, working or writing."""

from typing import Literal

from ray_import.records import BatchResult

Step = Literal["reading", "working", "writing"]

FORGET = 0.9
"""How much of what was seen counts on at the next look: looks are 0.2 s apart, so after two seconds a third."""

WAITS_AT_LEAST = 0.2
"""A reader that waits for less than this share of its time is what the workers wait for."""


class Pace:
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
    def slowest(self) -> Step | None:
        """The step that the others wait for; None where nothing is known yet."""
        if not self._passed:
            return None
        if self._waited < WAITS_AT_LEAST * self._passed:
            return "reading"
        return "writing" if self._written > self._worked else "working"
