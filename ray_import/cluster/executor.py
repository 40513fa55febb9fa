"""The Executor port over a pool of Ray actors: for one import, whose export this process reads."""

from ray_import.cluster.payloads import put_payload
from ray_import.cluster.pool import WorkerPool
from ray_import.cluster.session import Session
from ray_import.importing.work import Work
from ray_import.records import Batch, BatchResult
from ray_import.sink.port import Destination, Sink


class RayExecutor:
    """See `Executor`."""

    def __init__(self, session: Session, workers: int, work: Work, destination: Destination, sink: Sink) -> None:
        """Starts `workers` actors and waits until the first is up. Raises ClusterError."""
        self._work = work
        self._pool = WorkerPool(session, workers, work.settings.flow, destination, sink)

    @property
    def workers(self) -> int:
        """See `Executor.workers`."""
        return self._pool.workers

    @property
    def in_flight(self) -> int:
        """See `Executor.in_flight`."""
        return self._pool.in_flight

    @property
    def bytes_in_flight(self) -> int:
        """The payloads that are held for batches not finished yet."""
        return self._pool.bytes_in_flight

    def has_room(self, size_bytes: int) -> bool:
        """See `Executor.has_room`."""
        return self._pool.has_room(size_bytes)

    def submit(self, batch: Batch) -> None:
        """See `Executor.submit`."""
        self._pool.submit(put_payload(batch.payload), len(batch.payload), batch.frames, self._work)

    def wait(self, timeout_seconds: float) -> list[BatchResult]:
        """See `Executor.wait`."""
        results = []
        for finished in self._pool.wait(timeout_seconds):
            if finished.error is not None:
                raise finished.error
            if finished.result is not None:
                results.append(finished.result)
        return results

    def close(self) -> None:
        """See `Executor.close`."""
        self._pool.close()
