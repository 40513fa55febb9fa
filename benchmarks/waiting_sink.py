"""What more workers gain where the destination is slow: `python -m benchmarks.waiting_sink --workers 1 2 4`.

Each write waits (50 ms) before it goes into SQLite, as for an answer from far away; a write is a batch. The exports of
a few users go through the readers, the loop and the pool of `reimport`. The speed is that between the first fifth and
the last tenth of the batches: readers are up then, and no worker lacks work yet. The driver's CPU is that of its
process, Ray's threads in it among them.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from ray_import.cluster.environment import prepare_environment
from ray_import.destinations.base import RunUser
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.bulk_run import UserImportFactory
from ray_import.pipeline.engine import Run
from ray_import.pipeline.executor import BatchOutcome
from ray_import.pipeline.progress import AllOf
from ray_import.pipeline.users import UserSource
from ray_import.records import Batch
from ray_import.settings import FlowLimits, ImportSettings
from tests.support.user_exports import Users, write_users

prepare_environment()  # before anything imports Ray

from ray_import.cluster.pool import WorkerPool  # noqa: E402
from ray_import.cluster.readers import WORKER_CPUS, RayReaders  # noqa: E402
from ray_import.cluster.run import ACTIVE_PER_WORKER  # noqa: E402
from ray_import.cluster.session import Session, ray_session  # noqa: E402
from tests.support.cluster.dials import DialledDestination, Dials  # noqa: E402

WINDOW = (0.2, 0.9)


@dataclass(frozen=True, slots=True)
class Cost:
    """One run: how fast it was in the middle, and what the driver did for a batch."""

    workers: int
    writes_per_second: float
    batch_bytes: float
    driver_ms: float

    @property
    def megabytes_per_second(self) -> float:
        """Of JSON."""
        return self.writes_per_second * self.batch_bytes / 1e6


class Watched:
    """The pool, and when each batch was done."""

    def __init__(self, pool: WorkerPool) -> None:
        self.pool = pool
        self.done_at: list[float] = []

    @property
    def budget_bytes(self) -> int:
        """See `Workers.budget_bytes`."""
        return self.pool.budget_bytes

    def has_room(self, size_bytes: int) -> bool:
        """See `Workers.has_room`."""
        return self.pool.has_room(size_bytes)

    def submit(self, batch: Batch, work: BatchContext) -> None:
        """See `Workers.submit`."""
        self.pool.submit(batch, work)

    def wait(self, timeout_seconds: float, also: Sequence[Any] = ()) -> Sequence[BatchOutcome]:
        """See `Workers.wait`."""
        done = self.pool.wait(timeout_seconds, also)
        self.done_at.extend([time.perf_counter()] * len(done))
        return done

    def writes_per_second(self) -> float:
        """In the middle of the run."""
        first, last = (int(share * len(self.done_at)) for share in WINDOW)
        return (last - first) / (self.done_at[last] - self.done_at[first])


def measure(session: Session, users: Users, workers: int, wait_seconds: float, batch_bytes: int, folder: Path) -> Cost:
    """All users into a new file, by so many workers."""
    settings = ImportSettings(flow=FlowLimits(batch_bytes=batch_bytes))
    path = folder / f"{workers}-{batch_bytes}.db"
    destination = DialledDestination(f"sqlite:///{path}", path, Dials(seconds_per_write=wait_seconds))
    with closing(destination.open()) as sink:
        known = [RunUser(*user) for user in users.sources.items()]
        sources = {user: UserSource(user, source) for user, source in users.sources.items()}
        imports = UserImportFactory(RayReaders(session.node_id, settings), sink, settings, sources, {})
        with closing(
            WorkerPool(session, workers, settings.flow, destination, sink, cpus_per_worker=WORKER_CPUS)
        ) as pool:
            while not all(lane.up for lane in pool._dispatch._lanes):
                pool.wait(1.0)
            watched = Watched(pool)
            run = Run(known, imports, watched, lambda _: None, AllOf(()), ACTIVE_PER_WORKER * workers)
            cpu_began = time.process_time()
            run.to_the_end()
            cpu, batches = time.process_time() - cpu_began, len(watched.done_at)
            if {user.state for user in run.users} != {"complete"}:
                raise RuntimeError("an import did not end as complete")
            return Cost(workers, watched.writes_per_second(), run.bytes_read / batches, 1000 * cpu / batches)


def main(arguments: Sequence[str] | None = None) -> None:
    """What more workers gain where the destination is slow."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.waiting_sink", description=main.__doc__)
    options.add_argument("--users", type=int, default=4)
    options.add_argument("--mb", type=float, default=40, help="of JSON, of all users together")
    options.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    options.add_argument("--batch-kb", type=int, nargs="+", default=[256])
    options.add_argument("--wait-ms", type=float, default=50, help="before each write")
    chosen = options.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ray-import-waits-") as name:
        folder = Path(name)
        users = write_users(folder, [1000 * chosen.mb / chosen.users] * chosen.users)
        with ray_session(max(chosen.workers), 512 * 1024 * 1024) as session:
            for batch_kb in chosen.batch_kb:
                costs = [
                    measure(session, users, workers, chosen.wait_ms / 1000, batch_kb * 1024, folder)
                    for workers in chosen.workers
                ]
                _print(costs, batch_kb)
    print(machine.in_a_line())


def _print(costs: Sequence[Cost], batch_kb: int) -> None:
    print(f"batches of {batch_kb} KB:")
    for cost in costs:
        print(
            f"{cost.workers:4} workers  {cost.writes_per_second:6.1f} writes/s  {cost.megabytes_per_second:5.1f} MB/s"
            f"  {cost.writes_per_second / costs[0].writes_per_second:.2f} times the first"
            f"  driver {cost.driver_ms:.1f} ms of CPU a batch"
        )


if __name__ == "__main__":
    main()
