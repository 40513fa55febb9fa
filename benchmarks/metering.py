"""What a stretch of time costs a process tree."""

from dataclasses import dataclass
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import Self

from benchmarks.process_tree import ProcessTree, Reading


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU is user and system time of the whole tree, also of processes that have ended in the meantime."""

    seconds: float
    cpu_seconds: float
    peak_pss_bytes: int
    peak_processes: int
    samples: int


class Meter:
    """`with Meter(tree) as meter: ...`, then `meter.usage()`.

    A thread of this process reads the tree every `interval_s` seconds, which takes it 15-20 ms of CPU where Ray
    is in the tree. Keep this process out of the tree, or that is measured too. A peak between two readings is
    missed.
    """

    def __init__(self, tree: ProcessTree, interval_s: float = 0.2) -> None:
        self._tree = tree
        self._interval_s = interval_s
        self._readings: list[Reading] = []
        self._stop = Event()
        self._thread = Thread(target=self._sample, name="meter", daemon=True)
        self._began_at = self._ended_at = 0.0

    def __enter__(self) -> Self:
        self._readings.append(self._tree.read())
        self._began_at = monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended_at = monotonic()
        self._stop.set()
        self._thread.join()
        self._readings.append(self._tree.read())

    def usage(self) -> Usage:
        """The cost between entering and leaving."""
        return Usage(
            seconds=self._ended_at - self._began_at,
            cpu_seconds=self._readings[-1].cpu_seconds - self._readings[0].cpu_seconds,
            peak_pss_bytes=max(reading.pss_bytes for reading in self._readings),
            peak_processes=max(reading.processes for reading in self._readings),
            samples=len(self._readings),
        )

    def _sample(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._readings.append(self._tree.read())
