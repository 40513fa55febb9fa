"""Workers of this process, for tests and for data that benchmarks compare with."""

from collections.abc import Sequence
from typing import Any

from ray_import.destinations.base import Sink
from ray_import.errors import ImporterError
from ray_import.pipeline.batch import BatchContext, import_batch
from ray_import.pipeline.executor import BatchOutcome
from ray_import.records import Batch


class InProcessWorkers:
    """See `Workers`: one that works on a batch while it is submitted."""

    workers = 1
    budget_bytes = 2**40

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._done: list[BatchOutcome] = []

    def has_room(self, size_bytes: int) -> bool:  # noqa: ARG002 - the port's
        """See `Workers.has_room`."""
        return not self._done

    def submit(self, batch: Batch, work: BatchContext) -> None:
        """See `Workers.submit`."""
        try:
            result = import_batch(batch.payload, batch.frames, work, self._sink)
        except ImporterError as error:
            self._done.append(BatchOutcome(work, len(batch.frames), batch.size_bytes, error=error))
        else:
            self._done.append(BatchOutcome(work, len(batch.frames), batch.size_bytes, result))

    def wait(self, timeout_seconds: float, also: Sequence[Any] = ()) -> list[BatchOutcome]:  # noqa: ARG002
        """See `Workers.wait`."""
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        """Nothing is left running."""
