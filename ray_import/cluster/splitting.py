"""What becomes of batches that kill workers: they are halved, or rejected."""

from dataclasses import replace

import ray

from ray_import.cluster.failures import payload_lost
from ray_import.cluster.payloads import put_payload
from ray_import.importing.batching import split_batch
from ray_import.importing.dispatch import QueuedBatch
from ray_import.importing.work import reject_whole
from ray_import.records import Batch, BatchResult
from ray_import.sink.port import Sink


def in_halves(queued: QueuedBatch) -> list[QueuedBatch]:
    """The halves as suspects, both payloads in the object store. Raises ClusterError."""
    halves = [replace(half, payload=put_payload(half.payload)) for half in split_batch(_here(queued.batch))]
    return [
        QueuedBatch(half, queued.work, suspect=True, limit_share=queued.share_of_part(len(half.frames)), sent=1)
        for half in halves
    ]


def rejected(queued: QueuedBatch, sink: Sink) -> BatchResult:
    """Rejects what is in the batch. Raises ClusterError and SinkError."""
    batch = _here(queued.batch)
    if queued.slow:
        return reject_whole(batch.payload, batch.frames, "too_slow", queued.work, sink)
    return reject_whole(batch.payload, batch.frames, "kills_worker", queued.work, sink)


def _here(batch: Batch) -> Batch:
    """The batch with its payload in this process. Raises PayloadLost."""
    try:
        return replace(batch, payload=bytes(ray.get(batch.payload)))
    except ray.exceptions.RayError:
        raise payload_lost() from None
