"""The Executor port over InlineWorkers: for one import."""

from ray_import.importing.work import Work
from ray_import.inline.workers import InlineWorkers
from ray_import.records import Batch, BatchResult


class InlineExecutor:
    """See `Executor`."""

    workers = InlineWorkers.workers

    def __init__(self, workers: InlineWorkers, work: Work) -> None:
        self._workers = workers
        self._work = work

    @property
    def in_flight(self) -> int:
        """See `Executor.in_flight`."""
        return self._workers.in_flight

    def has_room(self, size_bytes: int) -> bool:
        """See `Executor.has_room`."""
        return self._workers.has_room(size_bytes)

    def submit(self, batch: Batch) -> None:
        """See `Executor.submit`."""
        self._workers.submit(batch.payload, len(batch.payload), batch.frames, self._work)

    def wait(self, timeout_seconds: float) -> list[BatchResult]:
        """See `Executor.wait`."""
        done = self._workers.wait(timeout_seconds)
        for one in done:
            if one.error is not None:
                raise one.error
        return [one.result for one in done if one.result is not None]

    def close(self) -> None:
        """See `Executor.close`."""
        self._workers.close()
