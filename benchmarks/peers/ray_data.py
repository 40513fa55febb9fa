"""Ray Data over the same byte ranges: an actor pool in which each actor reads and writes for itself.

Only places in the file travel, so nothing is copied; and Ray Data's own object store settings stay. Needs `ray[data]`.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray
import ray.data

from benchmarks.peers.byte_ranges import Worker, ranges
from benchmarks.peers.job import Job, Phases, take_part


class RangeWorker:
    """An actor of the pool. Ray Data calls it from changing threads, and a SQLite connection stays in one."""

    def __init__(self, job: Job) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._worker = self._thread.submit(Worker, job).result()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Imports the ranges of a batch, and gives their places back."""
        for begin, end in zip(batch["begin"], batch["end"], strict=True):
            self._thread.submit(self._worker.take, (int(begin), int(end))).result()
        return batch


def import_export(job: Job) -> Phases:
    """Maps ranges to nothing, for their rows."""
    ray.init(
        address="local",
        num_cpus=job.workers,
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    yield
    places = [{"begin": begin, "end": end} for begin, end in ranges(job.export)]
    done = ray.data.from_items(places, override_num_blocks=len(places)).map_batches(
        RangeWorker, fn_constructor_args=(job,), compute=ray.data.ActorPoolStrategy(size=job.workers)
    )
    done.materialize()
    yield
    ray.shutdown()


if __name__ == "__main__":
    take_part(import_export)
