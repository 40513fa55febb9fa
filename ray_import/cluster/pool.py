"""A pool of Ray actors that work on batches, of one import or of many, with the bytes in flight bounded.

Batches that kill workers are halved, or rejected.
"""

import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import ray

from ray_import.cluster.failures import LOST, payload_lost, to_ours
from ray_import.cluster.metrics import PoolTotals
from ray_import.cluster.session import Session
from ray_import.cluster.worker_slot import SELDOM_RECYCLED, Recycling, actor_factory
from ray_import.cluster.worker_slots import FOR_WHAT_IS_THERE, StartupTimeouts, WorkerSlots
from ray_import.destinations.base import Destination, Sink
from ray_import.errors import ImporterError, PayloadLost, SinkBusy
from ray_import.pipeline.batch import BatchContext, reject_whole
from ray_import.pipeline.batching import split_batch
from ray_import.pipeline.executor import BatchOutcome
from ray_import.pipeline.scheduler import Fate, QueuedBatch, Scheduler, Verdict
from ray_import.records import Batch, BatchResult
from ray_import.settings import FlowLimits


def put_payload(payload: bytes) -> Any:
    """Puts it there as a buffer, which a worker reads where it lies: bytes Ray would copy to the worker's heap.

    Raises ClusterError.
    """
    try:
        return ray.put(pickle.PickleBuffer(payload))
    except ray.exceptions.RayError as error:
        raise to_ours(error) from None


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


MAX_BUSY_TRIES = 3


class WorkerPool:
    """One actor a lane. Ray restarts an actor that dies; what it had, the dispatch decides about.

    Ray's own retries are off (`max_task_retries=0`): they cannot tell the guilty batch from its
    neighbours, and never give up on it.
    """

    def __init__(
        self,
        session: Session,
        workers: int,
        flow: FlowLimits,
        destination: Destination,
        sink: Sink,
        recycling: Recycling = SELDOM_RECYCLED,
        cpus_per_worker: float = 1,
        patience: StartupTimeouts = FOR_WHAT_IS_THERE,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Starts `workers` actors and waits until the first is up. `tell` is told of those that cannot begin.

        Raises ClusterError.
        """
        self._sink = sink
        self._flow = flow
        self._calls: dict[Any, QueuedBatch] = {}
        self._done: list[BatchOutcome] = []
        self._dispatch = Scheduler(0, flow.batches_per_worker, 0)
        self._totals = PoolTotals()
        self._most_bytes = session.budget_bytes
        make_actor = actor_factory(session, destination, cpus_per_worker)
        self._lanes = WorkerSlots(self._dispatch, make_actor, recycling, patience, tell)
        try:
            self.resize(workers)
            self._lanes.wait_for_first()
        except BaseException:
            self.close()
            raise

    @property
    def workers(self) -> int:
        """How many there are, or are to come up."""
        return self._lanes.wanted

    @property
    def in_flight(self) -> int:
        """How many batches were taken and not given back."""
        return self._dispatch.in_flight

    @property
    def bytes_in_flight(self) -> int:
        """The payloads that are held for batches not finished yet."""
        return self._dispatch.bytes_in_flight

    @property
    def totals(self) -> PoolTotals:
        """Where the workers' time went, and what was tried again."""
        return self._totals

    @property
    def budget_bytes(self) -> int:
        """How much may be in flight in all."""
        return self._dispatch.budget_bytes

    def has_room(self, size_bytes: int) -> bool:
        """Whether a batch of that size may be submitted now; always true when nothing is in flight."""
        return self._dispatch.has_room(size_bytes)

    def submit(self, batch: Batch, work: BatchContext) -> None:
        """Takes a batch. A payload that is bytes is put into the object store. Raises ClusterError."""
        if isinstance(batch.payload, bytes):
            batch = replace(batch, payload=put_payload(batch.payload))
        self._dispatch.add(QueuedBatch(batch, work))
        self._send()

    def resize(self, workers: int) -> None:
        """Makes them so many, or fewer; see `WorkerSlots.resize`."""
        self._lanes.resize(workers)
        self._dispatch.budget_bytes = min(self._most_bytes, workers * self._flow.bytes_per_worker)

    def wait(self, timeout_seconds: float, also: Sequence[Any] = ()) -> list[BatchOutcome]:
        """Waits until something is done, or one of `also` is ready, at most so long; gives what is done.

        Raises ClusterError or SinkBusy where no worker has been up for too long.
        """
        for ref in self._ready(timeout_seconds, also):
            if ref in self._lanes.asked:
                self._lanes.settle(ref)
            elif (call := self._calls.pop(ref, None)) is not None:  # its worker may have died by another call
                self._settle(ref, call)
        self._lanes.refuse_to_wait_for_ever()
        for verdict in self._lanes.take_verdicts():
            self._carry_out(verdict)
        self._send()
        done, self._done = self._done, []
        return done

    def _ready(self, timeout_seconds: float, also: Sequence[Any]) -> list[Any]:
        calls = [*self._lanes.asked, *self._calls]
        if not calls and not also:
            time.sleep(timeout_seconds)  # nothing can come, but it may be time for something else
            return []
        ready, _ = ray.wait([*calls, *also], num_returns=1, timeout=timeout_seconds, fetch_local=False)
        if ready and calls:
            ready, _ = ray.wait(calls, num_returns=len(calls), timeout=0, fetch_local=False)
        return ready

    def close(self) -> None:
        """Stops the work at once."""
        self._lanes.close()

    def _send(self) -> None:
        while (placed := self._dispatch.place()) is not None:
            lane, queued = placed
            batch = queued.batch
            # One constant name a kind: names become labels of metrics, which Ray never lets go of.
            method = self._lanes.actor(lane).import_batch.options(name="import_batch")
            is_replay, limit_seconds = queued.sent > 0, self._limit_seconds(queued)
            call = method.remote(batch.payload, batch.frames, is_replay, queued.work, limit_seconds)
            self._totals.tried_again += is_replay
            queued.sent += 1
            queued.lane, queued.sent_at = lane, time.monotonic()
            self._calls[call] = queued

    def _limit_seconds(self, queued: QueuedBatch) -> float:
        return self._flow.max_batch_seconds * queued.limit_share

    def _exceeds_limit(self, queued: QueuedBatch) -> bool:
        """Whether a batch has been on its worker for longer than that may compute. Ray does not report the signal that
        has ended a process; a worker that dies by itself after so long counts as a slow one, too."""
        return time.monotonic() - queued.sent_at >= self._limit_seconds(queued)

    def _settle(self, ref: Any, queued: QueuedBatch) -> None:
        try:
            done = ray.get(ref)
        except ray.exceptions.RayTaskError as error:  # raised in the worker, which is well
            self._failed(queued, to_ours(error))
        except LOST as error:
            self._forget_calls(queued.lane)
            self._lanes.lost(queued.lane, error, slow=self._exceeds_limit(queued))
        except ray.exceptions.RayError as error:
            self._failed(queued, to_ours(error))
        else:
            self._came_back(queued, done)
        self._lanes.end_if_idle(queued.lane)

    def _came_back(self, queued: QueuedBatch, done: tuple[BatchResult, int] | None) -> None:
        if done is None:
            for one in (queued, *self._forget_calls(queued.lane)):
                one.sent -= 1  # the worker has done nothing with it
            self._lanes.restarted(queued.lane)
            return
        result, held_bytes = done
        self._totals.add(result)
        self._finish(queued, _done(queued, result))
        self._lanes.recycle(queued.lane, held_bytes)

    def _forget_calls(self, lane: int) -> list[QueuedBatch]:
        of_lane = [queued for queued in self._calls.values() if queued.lane == lane]
        self._calls = {ref: queued for ref, queued in self._calls.items() if queued.lane != lane}
        return of_lane

    def _failed(self, queued: QueuedBatch, error: ImporterError) -> None:
        if isinstance(error, SinkBusy) and queued.busy < MAX_BUSY_TRIES:
            queued.busy += 1
            self._dispatch.again(queued.lane, queued)
        else:
            self._finish(queued, _done(queued, error=error))

    def _finish(self, queued: QueuedBatch, done: BatchOutcome) -> None:
        self._dispatch.done(queued.lane, queued)
        self._done.append(done)

    def _carry_out(self, verdict: Verdict) -> None:
        queued = verdict.queued
        try:
            if verdict.fate is Fate.SPLIT:
                for half in in_halves(queued):
                    self._dispatch.add(half)
            elif verdict.fate is Fate.REJECT:
                self._done.append(_done(queued, rejected(queued, self._sink)))
            else:
                raise PayloadLost("Workers were lost repeatedly at one part of this export.", "Run it again.")
        except ImporterError as error:
            self._done.append(_done(queued, error=error))


def _done(queued: QueuedBatch, result: BatchResult | None = None, error: ImporterError | None = None) -> BatchOutcome:
    return BatchOutcome(queued.work, queued.conversations, queued.size_bytes, result, error)
