"""The batches that a pool has taken, and what becomes of those that kill workers."""

from dataclasses import dataclass
from typing import Any

import ray

from ray_import.bulk.ports import Done
from ray_import.cluster.failures import payload_lost
from ray_import.cluster.payloads import put_payload
from ray_import.errors import ImporterError
from ray_import.importing.batching import split_batch
from ray_import.importing.dispatch import Load
from ray_import.importing.work import Work, reject_whole
from ray_import.records import Batch, BatchResult, Frame
from ray_import.sink.port import Sink


@dataclass(slots=True)
class Held:
    """A batch that was taken: its payload in the object store, of which the driver holds a reference, so that no
    worker's death loses it."""

    load: Load
    payload: Any  # ObjectRef of a buffer
    frames: tuple[Frame, ...]
    work: Work
    sent: int = 0
    busy: int = 0

    def done(self, result: BatchResult | None = None, error: ImporterError | None = None) -> Done:
        """How it ended."""
        return Done(self.work, len(self.frames), self.load.size_bytes, result, error)


def in_halves(held: Held) -> list[tuple[Any, Batch]]:
    """The halves with their payloads, both of which are in the object store. Raises ClusterError."""
    return [(put_payload(half.payload), half) for half in split_batch(_batch(held), 0)]


def rejected(held: Held, sink: Sink) -> BatchResult:
    """Rejects what is in it. Raises ClusterError and SinkError."""
    batch = _batch(held)
    if held.load.slow:
        return reject_whole(batch.payload, batch.number, batch.frames, "too_slow", held.work, sink)
    return reject_whole(batch.payload, batch.number, batch.frames, "kills_worker", held.work, sink)


def _batch(held: Held) -> Batch:
    try:
        return Batch(held.load.number, bytes(ray.get(held.payload)), held.frames)
    except ray.exceptions.RayError:
        raise payload_lost() from None
