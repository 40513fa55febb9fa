"""What more workers gain where the destination is slow: `python -m benchmarks.waiting_sink --workers 1 2 4`.

Each write waits (50 ms) before it goes into SQLite, as for an answer from far away; a write is a batch. The exports of
a few users go through the readers, the loop and the pool of `reimport`. Seconds count from the moment that all workers
are up; the driver's CPU is that of its process, Ray's threads in it among them.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine
from benchmarks.user_exports import Users, write_users
from ray_import.bulk.loop import Run
from ray_import.bulk.progress import RunProgress
from ray_import.bulk.user_import import Imports
from ray_import.cluster.environment import prepare_environment
from ray_import.settings import FlowLimits, ImportSettings
from ray_import.sink.port import RunUser

prepare_environment()  # before anything imports Ray

from ray_import.cluster.pool import WorkerPool  # noqa: E402
from ray_import.cluster.reading import WORKER_CPUS, RayReaders  # noqa: E402
from ray_import.cluster.session import Session, ray_session  # noqa: E402
from tests.cluster.dials import DialledDestination, Dials  # noqa: E402

ACTIVE_PER_WORKER = 2


@dataclass(frozen=True, slots=True)
class Cost:
    """One run: how many batches in how many seconds, and what the driver did for them."""

    workers: int
    batches: int
    bytes_read: int
    seconds: float
    driver_cpu_seconds: float

    @property
    def writes_per_second(self) -> float:
        """Batches are written in one piece each."""
        return self.batches / self.seconds

    @property
    def driver_ms(self) -> float:
        """CPU of the driver, per batch."""
        return 1000 * self.driver_cpu_seconds / self.batches


class Silent:
    """Shows nothing."""

    def show(self, progress: RunProgress) -> None:
        """See `RunReporter.show`."""


def measure(session: Session, users: Users, workers: int, wait_seconds: float, batch_bytes: int, folder: Path) -> Cost:
    """All users into a new file, by so many workers."""
    settings = ImportSettings(flow=FlowLimits(batch_bytes=batch_bytes))
    path = folder / f"{workers}-{batch_bytes}.db"
    destination = DialledDestination(f"sqlite:///{path}", path, Dials(seconds_per_write=wait_seconds))
    with closing(destination.open()) as sink:
        known = sink.open_run("run", "bench", settings.rows_hash, [RunUser(*user) for user in users.sources.items()])
        imports = Imports(RayReaders(session.node_id, settings), sink, settings, users.sources, {})
        with closing(
            WorkerPool(session, workers, settings.flow, destination, sink, cpus_per_worker=WORKER_CPUS)
        ) as pool:
            while not all(lane.up for lane in pool._dispatch._lanes):
                pool.wait(1.0)
            run = Run("run", known, imports, pool, sink, Silent(), ACTIVE_PER_WORKER * workers)
            began, cpu_began = time.perf_counter(), time.process_time()
            run.to_the_end()
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
            if {user.state for user in run.users} != {"complete"}:
                raise RuntimeError("an import did not end as complete")
            return Cost(workers, pool._next_number, run.bytes_read, seconds, cpu)


def main(arguments: Sequence[str] | None = None) -> None:
    """What more workers gain where the destination is slow."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.waiting_sink", description=main.__doc__)
    options.add_argument("--users", type=int, default=8)
    options.add_argument("--mb", type=float, default=60, help="of JSON, of all users together")
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
        megabytes = cost.bytes_read / cost.seconds / 1e6
        print(
            f"{cost.workers:4} workers  {cost.writes_per_second:6.1f} writes/s  {megabytes:5.1f} MB/s"
            f"  {cost.writes_per_second / costs[0].writes_per_second:.2f} times the first"
            f"  driver {cost.driver_ms:.1f} ms of CPU a batch"
        )


if __name__ == "__main__":
    main()
