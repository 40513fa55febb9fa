"""The Executor port over a pool of Ray actors, with the bytes in flight bounded."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ray_import.cluster.failures import LOST, to_ours
from ray_import.cluster.session import Session
from ray_import.cluster.worker import ImportWorker
from ray_import.errors import ClusterError
from ray_import.importing.batching import split_batch
from ray_import.importing.dispatch import Dispatch, Load
from ray_import.importing.work import Work, reject_whole
from ray_import.records import Batch, BatchResult, Frame
from ray_import.sink.destination import Destination
from ray_import.sink.port import Sink

START_TIMEOUT_SECONDS = 120
MAX_BUSY_TRIES = 3
MAX_SILENT = 30
"""Tries of about a second each in which a worker that died has not come back."""


@dataclass(slots=True)
class _Held:
    """A batch that was taken: its payload in the object store, which the driver owns, so that no
    worker's death loses it."""

    load: Load
    payload: Any  # ObjectRef of a buffer
    frames: tuple[Frame, ...]
    sent: int = 0
    busy: int = 0


@dataclass(frozen=True, slots=True)
class _Call:
    lane: int
    held: _Held | None  # None: asks whether the worker is back


class RayExecutor:
    """One actor a lane. Ray restarts an actor that dies; what it had, the dispatch decides about.

    Ray's own retries are off (`max_task_retries=0`): they cannot tell the guilty batch from its
    neighbours, and never give up on it.
    """

    def __init__(self, session: Session, workers: int, work: Work, destination: Destination, sink: Sink) -> None:
        """Starts `workers` actors on this machine and waits until the first is up. Raises ClusterError."""
        flow = work.settings.flow
        self._work = work
        self._sink = sink
        self._held_by_number: dict[int, _Held] = {}
        self._calls: dict[Any, _Call] = {}
        self._dispatch = Dispatch(
            workers,
            flow.batches_per_worker,
            min(session.budget_bytes, workers * flow.bytes_per_worker),
        )
        self._next_part = -1
        self._make_actor = _actor_factory(session, work, destination)
        self._actors = [self._make_actor(lane) for lane in range(workers)]
        self._silent = [0] * workers
        for lane in range(workers):
            self._ask_whether_up(lane)
        self._wait_for_first()

    @property
    def workers(self) -> int:
        """See `Executor.workers`."""
        return len(self._actors)

    @property
    def in_flight(self) -> int:
        """See `Executor.in_flight`."""
        return self._dispatch.in_flight

    @property
    def bytes_in_flight(self) -> int:
        """The payloads that are held for batches not finished yet."""
        return self._dispatch.bytes_in_flight

    def has_room(self, size_bytes: int) -> bool:
        """See `Executor.has_room`."""
        return self._dispatch.has_room(size_bytes)

    def submit(self, batch: Batch) -> None:
        """See `Executor.submit`."""
        self._hold(batch, suspect=False)
        self._send()

    def wait(self, timeout_seconds: float) -> list[BatchResult]:
        """See `Executor.wait`."""
        if not self._calls:
            return []
        done, _ = ray.wait(list(self._calls), num_returns=1, timeout=timeout_seconds, fetch_local=False)
        if done:
            done, _ = ray.wait(list(self._calls), num_returns=len(self._calls), timeout=0, fetch_local=False)
        results: list[BatchResult] = []
        for ref in done:
            call = self._calls.pop(ref, None)  # None: its worker died by another call of this turn
            if call is not None:
                results.extend(self._settle(ref, call))
        self._send()
        return results

    def close(self) -> None:
        """See `Executor.close`."""
        for actor in self._actors:
            ray.kill(actor)

    def _wait_for_first(self) -> None:
        try:
            done, _ = ray.wait(list(self._calls), num_returns=1, timeout=START_TIMEOUT_SECONDS, fetch_local=False)
            if not done:
                raise ClusterError(
                    f"No worker came up in {START_TIMEOUT_SECONDS} s.",
                    "The cluster has no free CPU on this machine: wait for other jobs, or ask for fewer --workers.",
                )
            self.wait(0)
        except BaseException:
            self.close()
            raise

    def _ask_whether_up(self, lane: int) -> None:
        """A worker that (re)starts fails what it is sent at once: nothing goes there before it answers."""
        if self._silent[lane] >= MAX_SILENT:
            raise ClusterError(f"Worker {lane} does not come up again after {MAX_SILENT} tries.")
        self._silent[lane] += 1
        call = self._actors[lane].ready.options(name="worker_ready").remote()
        self._calls[call] = _Call(lane, None)

    def _hold(self, batch: Batch, *, suspect: bool) -> None:
        load = Load(batch.number, len(batch.payload), len(batch.frames), suspect=suspect)
        # As a buffer it is read where it lies: as bytes, Ray would copy it to the worker's heap.
        payload = ray.put(pickle.PickleBuffer(batch.payload))
        self._held_by_number[batch.number] = _Held(load, payload, batch.frames, sent=int(suspect))
        self._dispatch.add(load)

    def _send(self) -> None:
        while (placed := self._dispatch.place()) is not None:
            lane, load = placed
            held = self._held_by_number[load.number]
            # One constant name a kind: names become labels of metrics, which Ray never lets go of.
            method = self._actors[lane].import_batch.options(name="import_batch")
            call = method.remote(held.payload, load.number, held.frames, held.sent > 0)
            held.sent += 1
            self._calls[call] = _Call(lane, held)

    def _settle(self, ref: Any, call: _Call) -> list[BatchResult]:
        try:
            result = ray.get(ref)
        except LOST as error:
            return self._lost(call.lane, died=isinstance(error, ray.exceptions.ActorDiedError))
        except ray.exceptions.RayError as error:
            ours = to_ours(error)
            if call.held is None or not ours.retry or call.held.busy >= MAX_BUSY_TRIES:
                raise ours from None
            call.held.busy += 1
            self._dispatch.again(call.lane, call.held.load)
            return []
        if call.held is None:
            self._silent[call.lane] = 0
            self._dispatch.lane_up(call.lane)
            return []
        self._dispatch.done(call.lane, call.held.load)
        del self._held_by_number[call.held.load.number]
        return [result]

    def _lost(self, lane: int, *, died: bool) -> list[BatchResult]:
        """The worker of `lane` is gone: forgets its calls, decides about its batches, asks for it again."""
        self._calls = {ref: call for ref, call in self._calls.items() if call.lane != lane}
        verdict = self._dispatch.lane_lost(lane)
        if died:
            self._actors[lane] = self._make_actor(lane)
        self._ask_whether_up(lane)
        for load in verdict.to_split:
            for half in split_batch(self._take_back(load), self._next_part - 1):
                self._hold(half, suspect=True)
            self._next_part -= 2
        return [self._reject(self._take_back(load)) for load in verdict.to_reject]

    def _take_back(self, load: Load) -> Batch:
        held = self._held_by_number.pop(load.number)
        return Batch(load.number, bytes(ray.get(held.payload)), held.frames)

    def _reject(self, batch: Batch) -> BatchResult:
        return reject_whole(batch.payload, batch.number, batch.frames, "kills_worker", self._work, self._sink)


def _actor_factory(session: Session, work: Work, destination: Destination) -> Callable[[int], Any]:
    """Makes the actor of a lane. A SQLite file is on this machine, so its writers are too."""
    remote = ray.remote(ImportWorker)
    here = NodeAffinitySchedulingStrategy(node_id=session.node_id, soft=False)

    def make(lane: int) -> Any:
        return remote.options(
            name=f"import-worker-{lane}",
            num_cpus=min(1, session.cpus),  # a head that runs no work has none to give
            max_restarts=-1,
            max_task_retries=0,
            scheduling_strategy=here,
        ).remote(lane, work, destination)

    return make
