"""What a run tells Ray's metrics, and so Prometheus: a few numbers, none of them by user, batch or source.

Names and labels are constant, since Ray never lets go of a series. Counters only grow; the driver updates all of them
at the ticks of the progress, so a batch costs nothing here but three additions in the pool.
"""

from dataclasses import dataclass
from typing import Protocol

from ray.util.metrics import Counter, Gauge

from ray_import.bulk.progress import RunProgress

STATES = ("pending", "running", "complete", "partial", "failed", "skipped")
STAGES = ("work", "sink")


@dataclass(slots=True)
class PoolTotals:
    """What a pool has added up since it began."""

    work_seconds: float = 0.0
    sink_seconds: float = 0.0
    tried_again: int = 0


class Measured(Protocol):
    """A pool, as far as it is measured."""

    @property
    def bytes_in_flight(self) -> int:
        """The payloads that are held for batches not finished yet."""

    @property
    def totals(self) -> PoolTotals:
        """What it has added up."""


class MetricsReporter:
    """A reporter that keeps the metrics up to date."""

    def __init__(self, pool: Measured) -> None:
        self._pool = pool
        self._users = Gauge("import_users", "Users of the run, by state.", ("state",))
        self._in_flight = Gauge("import_bytes_in_flight", "JSON that workers hold, or are about to get.")
        self._counters = {
            "bytes_read": Counter("import_read_bytes", "JSON that was read."),
            "conversations": Counter("import_conversations", "Conversations that were seen."),
            "chunks_written": Counter("import_chunks_written", "Chunks that were written."),
            "rejects": Counter("import_rejects", "Items that could not be imported."),
            "tried_again": Counter("import_batches_tried_again", "Batches that were sent to a worker once more."),
        }
        self._seconds = Counter("import_stage_seconds", "Seconds of workers, by stage.", ("stage",))
        self._told: dict[str, float] = {}

    def show(self, progress: RunProgress) -> None:
        """See `RunReporter.show`."""
        for state in STATES:
            self._users.set(progress.states[state], {"state": state})
        self._in_flight.set(self._pool.bytes_in_flight)
        totals = self._pool.totals
        for name, counter in self._counters.items():
            now = totals.tried_again if name == "tried_again" else getattr(progress, name)
            self._grow(counter, name, now)
        for stage, seconds in zip(STAGES, (totals.work_seconds, totals.sink_seconds), strict=True):
            self._grow(self._seconds, stage, seconds, {"stage": stage})

    def _grow(self, counter: Counter, name: str, now: float, tags: dict[str, str] | None = None) -> None:
        """Adds what is new. A user who is tried again takes counts back: the counter waits until they are passed."""
        new = now - self._told.get(name, 0.0)
        if new > 0:
            counter.inc(new, tags)
            self._told[name] = now
