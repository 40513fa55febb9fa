"""Batches in which an earlier run died: imported in a child process, and halved down to the conversation to blame."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from ray_import.bulk.ports import Done
from ray_import.errors import ImporterError
from ray_import.importing.batching import split_batch
from ray_import.importing.dispatch import Dispatch, Fate, Load, Verdict
from ray_import.importing.work import Work, reject_whole
from ray_import.inline.child import Task
from ray_import.inline.child_process import ChildDied, ChildProcess
from ray_import.records import Batch, BatchResult
from ray_import.sink.port import Destination, Sink


class Child(Protocol):
    """See `ChildProcess`."""

    def import_batch(self, task: Task) -> BatchResult:
        """See `ChildProcess.import_batch`."""

    def close(self) -> None:
        """See `ChildProcess.close`."""


@dataclass(slots=True)
class _Part:
    load: Load
    batch: Batch
    replay: bool


class Suspects:
    """Imports batches with care, by the rules of `Dispatch` with one worker: the child.

    A conversation that keeps ending the child, or takes it more CPU time than a batch may, is rejected as
    `kills_worker`: in this process it would end every run. When rejects are retried, one that takes too much CPU time
    stays `too_slow`.
    """

    def __init__(self, destination: Destination, sink: Sink, limit_seconds: float) -> None:
        self._destination = destination
        self._sink = sink
        self._limit_seconds = limit_seconds
        self._child: Child | None = None
        self._next_number = 0

    def import_batch(self, batch: Batch, work: Work) -> Iterator[Done]:
        """Gives the batch, or the parts that it was split into, as they are done with."""
        dispatch = Dispatch(1, 1, 0)
        parts: dict[int, _Part] = {}
        self._add(dispatch, parts, batch, 1.0, replay=False)
        while dispatch.in_flight:
            dispatch.lane_up(0)
            placed = dispatch.place()
            if placed is None:  # cannot be: the lane is free, and a batch waits
                raise RuntimeError("a batch that is never placed")
            part = parts[placed[1].number]
            try:
                result = self._in_child(part, work)
            except ChildDied as died:
                verdict = dispatch.lane_died_of(0, died.death)
                if verdict is not None:
                    yield from self._carried_out(verdict, dispatch, parts, work)
            except ImporterError as error:
                dispatch.done(0, part.load)
                yield _done(part.batch, work, error=error)
            else:
                dispatch.done(0, part.load)
                yield _done(part.batch, work, result)

    def close(self) -> None:
        """Ends the child, if there is one."""
        child, self._child = self._child, None
        if child is not None:
            child.close()

    def _add(self, dispatch: Dispatch, parts: dict[int, _Part], batch: Batch, share: float, *, replay: bool) -> None:
        load = Load(self._next_number, len(batch.payload), len(batch.frames), suspect=True, limit_share=share)
        parts[load.number] = _Part(load, batch, replay)
        self._next_number += 1
        dispatch.add(load)

    def _in_child(self, part: _Part, work: Work) -> BatchResult:
        if self._child is None:
            self._child = ChildProcess(self._destination)
        limit_seconds = self._limit_seconds * part.load.limit_share
        task = Task(part.batch.payload, part.batch.frames, work, part.replay, limit_seconds)
        part.replay = True
        try:
            return self._child.import_batch(task)
        except ChildDied:
            self.close()
            raise

    def _carried_out(self, verdict: Verdict, dispatch: Dispatch, parts: dict[int, _Part], work: Work) -> Iterator[Done]:
        part = parts.pop(verdict.load.number)
        if verdict.fate is Fate.SPLIT:
            for half in split_batch(part.batch, 0):
                self._add(dispatch, parts, half, verdict.load.share_of_part(len(half.frames)), replay=True)
            return
        try:
            batch = part.batch
            reason = "too_slow" if part.load.slow and work.retries else "kills_worker"
            result = reject_whole(batch.payload, 0, batch.frames, reason, work, self._sink)
        except ImporterError as error:
            yield _done(part.batch, work, error=error)
        else:
            yield _done(part.batch, work, result)


def _done(batch: Batch, work: Work, result: BatchResult | None = None, error: ImporterError | None = None) -> Done:
    return Done(work, len(batch.frames), len(batch.payload), result, error)
