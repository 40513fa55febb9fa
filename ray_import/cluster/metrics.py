"""What a run tells Ray's metrics, and so Prometheus: a few numbers, none of them by user, batch or source.

Names and labels are constant, since Ray never lets go of a series. For the same reason the driver tells all of them,
at the ticks of the progress, of what workers measure as well: each worker would have series of its own, and so would
each that takes its place. A batch costs nothing here but a few additions in the pool.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ray.util.metrics import Counter, Gauge, Histogram

from ray_import.importing.progress import Progress
from ray_import.records import BatchResult

STATES = ("pending", "running", "complete", "partial", "failed", "skipped")
LATENCY_BUCKETS_SECONDS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 240]
MOST_UNTOLD = 10_000
"""Latencies that nobody has asked for yet; of more, the newest."""


def _latencies() -> deque[float]:
    return deque(maxlen=MOST_UNTOLD)


@dataclass(slots=True)
class PoolTotals:
    """What a pool has added up since it began; of latencies, what was not told yet."""

    work_seconds: float = 0.0
    sink_seconds: float = 0.0
    tried_again: int = 0
    sink_retries: int = 0
    look_ups: deque[float] = field(default_factory=_latencies)
    writes: deque[float] = field(default_factory=_latencies)

    def add(self, result: BatchResult) -> None:
        """Adds what a batch took. One that the destination was not asked about, or has not written, has no latency."""
        self.work_seconds += result.seconds - result.sink_seconds
        self.sink_seconds += result.sink_seconds
        self.sink_retries += result.sink_retries
        if result.look_up_seconds:
            self.look_ups.append(result.look_up_seconds)
        if result.write_seconds:
            self.writes.append(result.write_seconds)


class Measured(Protocol):
    """A pool, as far as it is measured."""

    @property
    def bytes_in_flight(self) -> int:
        """The payloads that are held for batches not finished yet."""

    @property
    def totals(self) -> PoolTotals:
        """What it has added up."""


class Reads(Protocol):
    """Readers, as far as they are measured."""

    @property
    def read_seconds(self) -> float:
        """For how long all readers together have worked."""


class MetricsReporter:
    """A reporter that keeps the metrics up to date."""

    def __init__(self, pool: Measured, readers: Reads) -> None:
        self._pool = pool
        self._readers = readers
        self._users = Gauge("import_users", "Users of the run, by state.", ("state",))
        self._in_flight = Gauge(
            "import_bytes_in_flight", "Bytes of JSON that workers hold or that are queued for them."
        )
        self._read = Total("import_read_bytes", "Bytes of JSON read.")
        self._conversations = Total("import_conversations", "Conversations seen.")
        self._chunks = Total("import_chunks_written", "Chunks written.")
        self._rejects = Total("import_rejects", "Items rejected.")
        self._retries = Total("import_retries", "Retries of batches and of calls to the destination.", "what")
        self._seconds = Total("import_stage_seconds", "Seconds spent by readers and workers, by stage.", "stage")
        self._latency = Histogram(
            "import_destination_seconds",
            "Seconds until the destination answered for a batch, retries included.",
            LATENCY_BUCKETS_SECONDS,
            ("call",),
        )

    def show(self, progress: Progress) -> None:
        """See `Reporter.show`."""
        for state in STATES:
            self._users.set(progress.states[state], {"state": state})
        self._in_flight.set(self._pool.bytes_in_flight)
        self._read.is_now({"": progress.bytes_read})
        self._conversations.is_now({"": progress.conversations})
        self._chunks.is_now({"": progress.chunks_written})
        self._rejects.is_now({"": progress.rejects})
        totals = self._pool.totals
        self._retries.is_now({"batch": totals.tried_again, "destination": totals.sink_retries})
        work, sink = totals.work_seconds, totals.sink_seconds
        self._seconds.is_now({"read": self._readers.read_seconds, "work": work, "sink": sink})
        for call, untold in (("look_up", totals.look_ups), ("write", totals.writes)):
            while untold:
                self._latency.observe(untold.popleft(), {"call": call})


class Total(Counter):
    """A counter that is told totals. With a `label`, one for each of the label's values."""

    def __init__(self, name: str, description: str, label: str = "") -> None:
        super().__init__(name, description, (label,) if label else None)
        self._label = label
        self._told: dict[str, float] = {}

    def is_now(self, totals: Mapping[str, float]) -> None:
        """Adds what is new. A user who is tried again takes counts back: the counter waits until they are passed.

        What has not happened yet is told as 0, which `inc` refuses: of a series that begins with its first event, a
        rate misses that event.
        """
        for value, total in totals.items():
            new = total - self._told.get(value, 0.0)
            if new > 0 or value not in self._told:
                self._record(max(new, 0.0), {self._label: value} if self._label else None)
                self._told[value] = max(total, 0.0)
