"""A pool of Ray actors that work on batches, of one import or of many, with the bytes in flight bounded."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ray_import.bulk.ports import Done
from ray_import.cluster.failures import LOST, payload_lost, to_ours
from ray_import.cluster.metrics import PoolTotals
from ray_import.cluster.payloads import put_payload
from ray_import.cluster.session import Session
from ray_import.cluster.worker import ImportWorker
from ray_import.errors import ClusterError, ImporterError, SinkBusy
from ray_import.importing.batching import split_batch
from ray_import.importing.dispatch import Dispatch, Load
from ray_import.importing.work import Work, reject_whole
from ray_import.records import Batch, BatchResult, Frame
from ray_import.settings import FlowLimits
from ray_import.sink.port import Destination, Sink

START_TIMEOUT_SECONDS = 120
MAX_BUSY_TRIES = 3
MAX_SILENT = 30
"""Tries of about a second each in which a worker that died has not come back, or of ten in which its destination was
away."""


@dataclass(frozen=True, slots=True)
class Recycling:
    """When a worker is replaced by a fresh one: after so many batches, or when it has held so much memory."""

    after_batches: int = 1_000_000
    from_bytes: int = 1024 * 1024 * 1024


@dataclass(slots=True)
class _Held:
    """A batch that was taken: its payload in the object store, of which the driver holds a reference, so that no
    worker's death loses it."""

    load: Load
    payload: Any  # ObjectRef of a buffer
    frames: tuple[Frame, ...]
    work: Work
    sent: int = 0
    busy: int = 0


@dataclass(frozen=True, slots=True)
class _Call:
    lane: int
    held: _Held | None  # None: asks whether the worker is back


@dataclass(slots=True)
class _Lane:
    """One worker as the pool knows it: how often it was asked in vain, and what it has done since it was started."""

    actor: Any
    silent: int = 0
    batches: int = 0
    retiring: bool = False
    given_up: bool = False


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
        recycling: Recycling = Recycling(),
        cpus_per_worker: float = 1,
        start_seconds: float = START_TIMEOUT_SECONDS,
    ) -> None:
        """Starts `workers` actors and waits until the first is up, at most so long. Raises ClusterError."""
        self._sink = sink
        self._flow = flow
        self._recycling = recycling
        self._held_by_number: dict[int, _Held] = {}
        self._calls: dict[Any, _Call] = {}
        self._dispatch = Dispatch(
            workers, flow.batches_per_worker, min(session.budget_bytes, workers * flow.bytes_per_worker)
        )
        self._next_number = 0
        self._totals = PoolTotals()
        self._has_been_up = False
        self._most_bytes = session.budget_bytes
        self._make_actor = _actor_factory(session, destination, cpus_per_worker)
        self._lanes = [_Lane(self._make_actor(lane)) for lane in range(workers)]
        for lane in range(workers):
            self._ask_whether_up(lane)
        self._wait_for_first(start_seconds)

    @property
    def workers(self) -> int:
        """How many there are, or are to come up."""
        return sum(not lane.given_up for lane in self._lanes)

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

    def submit(self, payload: Any, size_bytes: int, frames: tuple[Frame, ...], work: Work) -> None:
        """Takes a batch whose payload is in the object store."""
        self._hold(payload, size_bytes, frames, work, suspect=False)
        self._send()

    def grow_to(self, workers: int) -> None:
        """Starts more workers, first in the place of those that were given up, until there are so many."""
        for lane, known in enumerate(self._lanes):
            if known.given_up and self.workers < workers:
                self._start(lane)
        while self.workers < workers:
            left = self._most_bytes - len(self._lanes) * self._flow.bytes_per_worker
            lane = self._dispatch.add_lane(max(0, min(self._flow.bytes_per_worker, left)))
            self._lanes.append(_Lane(None, given_up=True))
            self._start(lane)

    def _start(self, lane: int) -> None:
        self._lanes[lane] = _Lane(self._make_actor(lane))
        self._ask_whether_up(lane)

    def wait(self, timeout_seconds: float, also: Sequence[Any] = ()) -> list[Done]:
        """Waits until something is done, or one of `also` is ready, at most so long; gives what is done."""
        refs = [*self._calls, *also]
        if not refs:
            time.sleep(timeout_seconds)  # nothing can come, but it may be time for something else
            return []
        done, _ = ray.wait(refs, num_returns=1, timeout=timeout_seconds, fetch_local=False)
        if done and self._calls:
            done, _ = ray.wait(list(self._calls), num_returns=len(self._calls), timeout=0, fetch_local=False)
        finished: list[Done] = []
        for ref in done:
            call = self._calls.pop(ref, None)  # None: its worker died by another call of this turn, or it is no call
            if call is not None:
                finished.extend(self._settle(ref, call))
        self._send()
        return finished

    def close(self) -> None:
        """Stops the work at once."""
        for lane in self._lanes:
            if not lane.given_up:
                ray.kill(lane.actor)

    def _wait_for_first(self, seconds: float) -> None:
        try:
            done, _ = ray.wait(list(self._calls), num_returns=1, timeout=seconds, fetch_local=False)
            if not done:
                raise ClusterError(
                    f"No worker came up in {seconds:.0f} s.",
                    "The cluster has no free CPU for it: wait for other jobs, or ask for fewer --workers.",
                )
            self.wait(0)
        except BaseException:
            self.close()
            raise

    def _ask_whether_up(self, lane: int) -> None:
        """A worker that (re)starts fails what it is sent at once: nothing goes there before it answers.

        One that does not come back, since its machine is gone, say, and the others have no room, is given up while
        there are others.
        """
        if self._lanes[lane].silent >= MAX_SILENT:
            if self.workers == 1:
                raise ClusterError(f"Worker {lane} does not come up again after {MAX_SILENT} tries.")
            ray.kill(self._lanes[lane].actor)
            self._lanes[lane].given_up = True
            return
        self._lanes[lane].silent += 1
        call = self._lanes[lane].actor.ready.options(name="worker_ready").remote()
        self._calls[call] = _Call(lane, None)

    def _hold(self, payload: Any, size_bytes: int, frames: tuple[Frame, ...], work: Work, *, suspect: bool) -> None:
        load = Load(self._next_number, size_bytes, len(frames), suspect=suspect)
        self._held_by_number[load.number] = _Held(load, payload, frames, work, sent=int(suspect))
        self._next_number += 1
        self._dispatch.add(load)

    def _send(self) -> None:
        while (placed := self._dispatch.place()) is not None:
            lane, load = placed
            held = self._held_by_number[load.number]
            # One constant name a kind: names become labels of metrics, which Ray never lets go of.
            method = self._lanes[lane].actor.import_batch.options(name="import_batch")
            call = method.remote(held.payload, load.number, held.frames, held.sent > 0, held.work)
            self._totals.tried_again += held.sent > 0
            held.sent += 1
            self._calls[call] = _Call(lane, held)

    def _settle(self, ref: Any, call: _Call) -> list[Done]:
        try:
            answer = ray.get(ref)
        except ray.exceptions.RayTaskError as error:  # raised in the worker, which is well
            return self._failed(call, to_ours(error))
        except LOST as error:
            return self._lost(call.lane, died=isinstance(error, ray.exceptions.ActorDiedError))
        except ray.exceptions.RayError as error:
            return self._failed(call, to_ours(error))
        if call.held is None:
            self._has_been_up = True
            self._lanes[call.lane].silent = 0
            self._dispatch.lane_up(call.lane)
            return []
        result, held_bytes = answer
        self._totals.add(result)
        self._let_go(call.lane, call.held)
        self._recycle(call.lane, held_bytes)
        return [_done(call.held, result, None)]

    def _failed(self, call: _Call, error: ImporterError) -> list[Done]:
        if call.held is None:
            # A destination that was there is waited for; one that never was is no use waiting for.
            if not isinstance(error, SinkBusy) or not self._has_been_up:
                raise error
            self._ask_whether_up(call.lane)
            return []
        if isinstance(error, SinkBusy) and call.held.busy < MAX_BUSY_TRIES:
            call.held.busy += 1
            self._dispatch.again(call.lane, call.held.load)
            return []
        self._let_go(call.lane, call.held)
        return [_done(call.held, None, error)]

    def _let_go(self, lane: int, held: _Held) -> None:
        self._dispatch.done(lane, held.load)
        del self._held_by_number[held.load.number]

    def _recycle(self, lane: int, held_bytes: int) -> None:
        """Replaces a worker that has done, or held, enough, as soon as nothing is queued on it."""
        worker = self._lanes[lane]
        worker.batches += 1
        if worker.batches >= self._recycling.after_batches or held_bytes >= self._recycling.from_bytes:
            worker.retiring = True
            self._dispatch.retire(lane)
        if worker.retiring and self._dispatch.is_idle(lane):
            ray.kill(worker.actor)
            self._start(lane)

    def _lost(self, lane: int, *, died: bool) -> list[Done]:
        """The worker of `lane` is gone: forgets its calls, decides about its batches, asks for it again."""
        self._calls = {ref: call for ref, call in self._calls.items() if call.lane != lane}
        verdict = self._dispatch.lane_lost(lane)
        if died:
            self._lanes[lane] = _Lane(self._make_actor(lane), silent=self._lanes[lane].silent)
        self._ask_whether_up(lane)
        finished = [one for load in verdict.to_split for one in self._split(self._held_by_number.pop(load.number))]
        return finished + [self._reject(self._held_by_number.pop(load.number)) for load in verdict.to_reject]

    def _split(self, held: _Held) -> list[Done]:
        batch = self._batch(held)
        if batch is None:
            return [_done(held, None, payload_lost())]
        for half in split_batch(batch, 0):
            self._hold(put_payload(half.payload), len(half.payload), half.frames, held.work, suspect=True)
        return []

    def _reject(self, held: _Held) -> Done:
        batch = self._batch(held)
        if batch is None:
            return _done(held, None, payload_lost())
        rejected = reject_whole(batch.payload, batch.number, batch.frames, "kills_worker", held.work, self._sink)
        return _done(held, rejected, None)

    def _batch(self, held: _Held) -> Batch | None:
        try:
            return Batch(held.load.number, bytes(ray.get(held.payload)), held.frames)
        except ray.exceptions.RayError:
            return None


def _done(held: _Held, result: BatchResult | None, error: ImporterError | None) -> Done:
    return Done(held.work, len(held.frames), held.load.size_bytes, result, error)


def _actor_factory(session: Session, destination: Destination, cpus: float) -> Callable[[int], Any]:
    """Makes the actor of a lane: where the destination is, if that is on one machine, else anywhere."""
    remote = ray.remote(ImportWorker)
    here = NodeAffinitySchedulingStrategy(node_id=session.node_id, soft=False)

    def make(lane: int) -> Any:
        return remote.options(
            name=f"import-worker-{lane}",
            num_cpus=min(cpus, session.cpus) if destination.on_this_machine else cpus,  # a head may have none
            max_restarts=-1,
            max_task_retries=0,
            scheduling_strategy=here if destination.on_this_machine else "SPREAD",
        ).remote(lane, destination)

    return make
