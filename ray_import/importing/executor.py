"""Who works on batches: the port, and the executor that does it here and now."""

from typing import Protocol

from ray_import.importing.work import Work, import_batch
from ray_import.records import Batch, BatchResult
from ray_import.sink.port import Sink


class Executor(Protocol):
    """Takes batches as long as there is room and gives results as they come, in any order.

    Raises an ImporterError that ends the import; what a lost worker had is done again without a word.
    """

    @property
    def workers(self) -> int:
        """How many batches are worked on at a time."""

    @property
    def in_flight(self) -> int:
        """How many batches were taken and not given back as results."""

    def has_room(self, size_bytes: int) -> bool:
        """Whether a batch of that size may be submitted now; always true when nothing is in flight."""

    def submit(self, batch: Batch) -> None:
        """Takes a batch."""

    def wait(self, timeout_seconds: float) -> list[BatchResult]:
        """Waits until something is done, at most so long; gives what is."""

    def close(self) -> None:
        """Stops the work at once."""


class InlineExecutor:
    """Works in this process: for tests, and wherever there is nobody else to work."""

    workers = 1

    def __init__(self, work: Work, sink: Sink) -> None:
        self._work = work
        self._sink = sink
        self._done: list[BatchResult] = []

    @property
    def in_flight(self) -> int:
        """See `Executor.in_flight`."""
        return len(self._done)

    def has_room(self, size_bytes: int) -> bool:  # noqa: ARG002 - the port's
        """See `Executor.has_room`."""
        return not self._done

    def submit(self, batch: Batch) -> None:
        """Does the work of `batch`."""
        self._done.append(import_batch(batch.payload, batch.number, batch.frames, self._work, self._sink))

    def wait(self, timeout_seconds: float) -> list[BatchResult]:  # noqa: ARG002 - the port's
        """See `Executor.wait`."""
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        """Nothing is left running."""
