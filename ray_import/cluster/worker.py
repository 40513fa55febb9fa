"""The actor: opens the destination once, then works on batch after batch."""

import gc
import resource
import sys
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from ray_import.cluster.deaths import WorkerProcess
from ray_import.destinations.base import Destination, Sink
from ray_import.pipeline.batch import BatchContext, ended_after, import_batch
from ray_import.records import BatchResult, Frame

_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024


class ImportWorker:
    """One worker process. Rows go from here to the destination; only counts go back."""

    def __init__(self, number: int, destination: Destination) -> None:
        self._number = number
        self._destination = destination
        self._is_ready = False

    @cached_property
    def _sink(self) -> Sink:
        # Not in the constructor: an error there reaches the driver without its type.
        return self._destination.open(create=False)

    def __repr__(self) -> str:
        return f"ImportWorker({self._number})"

    def ready(self) -> WorkerProcess:
        """Answers once the worker can work, and tells where it lives. Raises SinkError where it cannot.

        Within the patience of an opening: while it is asked, nobody knows that it is there.
        """
        _ = self._sink
        gc.freeze()  # what Ray and the imports hold stays for good: no collection need go through it again
        gc.disable()
        self._is_ready = True
        return WorkerProcess.of_this()

    def import_batch(
        self, payload: Any, frames: Sequence[Frame], replay: bool, work: BatchContext, limit_seconds: float
    ) -> tuple[BatchResult, int] | None:
        """See `ray_import.pipeline.batch.import_batch`; the payload lies in the object store, and is not kept.

        Gives the result, and how many bytes of memory the process has held at the most. None where it has not said that
        it is ready: Ray has started it in the place of one that had nothing to do, and that nobody has missed.
        A batch that takes more than `limit_seconds` of CPU time ends the process.
        """
        if not self._is_ready:
            return None
        with ended_after(limit_seconds):
            result = import_batch(memoryview(payload), frames, work, self._sink, replay=replay)
        gc.collect()  # never in the middle of a batch
        return result, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_BYTES
