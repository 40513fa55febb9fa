"""A run over many users on a Ray that is up: its machines, readers and workers, until the last user has ended."""

import sys
import time
from collections.abc import Callable
from contextlib import closing

from ray_import.cluster.autoscaler import Machines
from ray_import.cluster.environment import available_cpus
from ray_import.cluster.job_metadata import JobMetadata
from ray_import.cluster.metrics import MetricsReporter
from ray_import.cluster.pool import WorkerPool
from ray_import.cluster.readers import WORKER_CPUS, RayReaders
from ray_import.cluster.session import Session
from ray_import.cluster.worker_slot import Recycling
from ray_import.pipeline.bulk_run import BulkRun
from ray_import.pipeline.engine import Run
from ray_import.pipeline.progress import AllOf, Reporter
from ray_import.pipeline.report import RunReport

ACTIVE_PER_WORKER = 2
"""While one export is opened, another one's batches are worked on."""
READ_HERE_PER_CPU = 4
"""Files of this machine are read on it alone: to read more of them at a time costs memory and brings nothing."""
RECYCLE_AFTER_BATCHES = 2_000


def import_users(
    session: Session,
    opened: BulkRun,
    workers: int | None,
    max_connections: int | None,
    reporters: tuple[Reporter, ...],
    tell: Callable[[str], None],
) -> RunReport:
    """Imports all users that have not ended. With as many workers as there are CPUs, at most `workers`, and never more
    than `max_connections`: also of machines that come later. Raises ClusterError."""
    machines = Machines.of(session, opened.destination, workers, max_connections)
    # Then workers need no other machine, and none would be asked for: readers would wait for it.
    all_here = opened.destination.on_this_machine and session.cpus == 0
    readers = RayReaders(session.node_id, opened.settings, all_here=all_here)
    most_here = READ_HERE_PER_CPU * available_cpus() if opened.reads_here or all_here else sys.maxsize

    def lanes() -> int:
        most = session.lanes if opened.destination.on_this_machine else session.lanes_anywhere
        return min(most(workers), max_connections or sys.maxsize)

    if machines.have_to_come:
        tell("waiting for a machine …")
    with (
        machines.asked_for(),
        closing(
            WorkerPool(
                session,
                lanes(),
                opened.settings.flow,
                opened.destination,
                opened.sink,
                Recycling(RECYCLE_AFTER_BATCHES),
                WORKER_CPUS,
                machines.patience,
                tell,
            )
        ) as pool,
    ):
        told = AllOf((*reporters, MetricsReporter(pool, readers), JobMetadata(opened.id)))

        def resize() -> int:
            pool.resize(lanes())
            return min(ACTIVE_PER_WORKER * pool.workers, most_here)

        began = time.monotonic()
        silent_after_seconds = opened.settings.read.pace.silent_after_seconds
        run = Run(
            opened.users,
            opened.imports(readers),
            pool,
            opened.save,
            told,
            resize(),
            resize,
            silent_after_seconds=silent_after_seconds,
            known_bytes=opened.known_bytes(),
        )
        run.to_the_end()
        seconds = time.monotonic() - began
    return opened.report(run.users, run.bytes_read, seconds, pool.workers)
