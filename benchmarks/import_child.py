"""The process whose tree is measured: `python -m benchmarks.import_child URL WORKERS EXPORT ...`.

It stops at every phase: prints a line of JSON, and goes on when it is given a line. So the measuring process
can look at it at rest; in here only the object stores' counters are read.
"""

import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event, Thread

from benchmarks.phases import USER, pause
from ray_import.chunks.rows import ImportJob
from ray_import.cluster.pool import WorkerPool
from ray_import.cluster.session import Session, ray_session
from ray_import.destinations.base import Destination
from ray_import.destinations.registry import parse_destination
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.one_user import import_user
from ray_import.pipeline.progress import NoReporter
from ray_import.pipeline.report import Summary
from ray_import.pipeline.sources import open_sources
from ray_import.settings import ImportSettings
from tests.support.object_store import read_disk_bytes

DISK_INTERVAL_S = 0.5


@dataclass(frozen=True, slots=True)
class Imported:
    """What one import says of itself. `seconds` has `start_seconds`, the workers' start, in it."""

    seconds: float
    start_seconds: float
    json_bytes: int
    conversations: int
    rejected: int
    rows_written: int
    status: str
    spilled_bytes: int
    fallback_bytes: int


@dataclass(slots=True)
class DiskPeak:
    """The most that the object stores had on disk so far."""

    spilled: int = 0
    fallback: int = 0

    def look(self) -> None:
        now = read_disk_bytes()
        self.spilled = max(self.spilled, now.spilled)
        self.fallback = max(self.fallback, now.fallback)


@contextmanager
def watched_disk() -> Iterator[DiskPeak]:
    """Looks at the object stores every half second, which costs about a hundredth of a CPU."""
    peak, stop = DiskPeak(), Event()

    def watch() -> None:
        while not stop.wait(DISK_INTERVAL_S):
            peak.look()

    thread = Thread(target=watch, name="disk", daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
        peak.look()


class KeptPool(WorkerPool):
    """Its workers outlive the import, for a process that has ended shows nobody its CPU time."""

    def close(self) -> None:
        """Does nothing yet."""

    def end(self) -> None:
        super().close()


class ImportRun:
    """One import of `exports`, in two steps, so that the workers can be looked at before they work."""

    def __init__(self, session: Session, exports: Sequence[Path], destination: Destination, workers: int) -> None:
        """Starts the workers, each of which opens the destination."""
        began = time.monotonic()
        settings = ImportSettings()
        self._sources = open_sources(exports, settings.read)
        self._work = BatchContext(ImportJob(uuid.uuid4().hex, USER, time.time()), settings)
        self._destination = destination
        self._sink = destination.open()
        self._pool = KeptPool(session, workers, settings.flow, destination, self._sink)
        self._start_seconds = time.monotonic() - began

    def run(self) -> Imported:
        """Imports, from the first byte to the last commit."""
        with watched_disk() as disk:
            began = time.monotonic()
            summary = import_user(
                self._sources,
                self._work,
                self._sink,
                self._destination.url,
                lambda: self._pool,
                NoReporter(),
            )
            seconds = time.monotonic() - began
        return _imported(summary, self._start_seconds, seconds, disk)

    def close(self) -> None:
        """Ends the workers."""
        self._pool.end()
        self._sink.close()


def _imported(summary: Summary, start_seconds: float, seconds: float, disk: DiskPeak) -> Imported:
    counts = summary.counts
    return Imported(
        seconds=start_seconds + seconds,
        start_seconds=start_seconds,
        json_bytes=summary.bytes_read,
        conversations=counts.seen,
        rejected=counts.rejected,
        rows_written=counts.chunks_written + counts.chunks_deleted,
        status=summary.status,
        spilled_bytes=disk.spilled,
        fallback_bytes=disk.fallback,
    )


def main(url: str, workers: str, *names: str) -> None:
    """Imports twice. Phases: ray_up, idle, imported, repeated."""
    destination = parse_destination(url)
    exports = [Path(name) for name in names]
    with ray_session(int(workers)) as session:
        pause("ray_up")
        first = ImportRun(session, exports, destination, int(workers))
        pause("idle")
        pause("imported", **asdict(first.run()))
        first.close()
        second = ImportRun(session, exports, destination, int(workers))
        pause("repeated", **asdict(second.run()))
        second.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
