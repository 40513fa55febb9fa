"""Batches in which an earlier run died: imported in a child process, and halved down to the conversation to blame."""

from collections.abc import Iterator
from typing import Protocol

from ray_import.bulk.ports import Done
from ray_import.errors import ImporterError
from ray_import.importing.batching import split_batch
from ray_import.importing.dispatch import Dispatch, Fate, QueuedBatch, Verdict
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

    def import_batch(self, batch: Batch, work: Work) -> Iterator[Done]:
        """Gives the batch, or the parts that it was split into, as they are done with."""
        dispatch = Dispatch(1, 1, 0)
        dispatch.add(QueuedBatch(batch, work, suspect=True))
        while dispatch.in_flight:
            dispatch.lane_up(0)
            placed = dispatch.place()
            if placed is None:  # cannot be: the lane is free, and a batch waits
                raise RuntimeError("a batch that is never placed")
            queued = placed[1]
            try:
                result = self._in_child(queued)
            except ChildDied as died:
                verdict = dispatch.lane_died_of(0, died.death)
                if verdict is not None:
                    yield from self._carried_out(verdict, dispatch)
            except ImporterError as error:
                dispatch.done(0, queued)
                yield _done(queued, error=error)
            else:
                dispatch.done(0, queued)
                yield _done(queued, result)

    def close(self) -> None:
        """Ends the child, if there is one."""
        child, self._child = self._child, None
        if child is not None:
            child.close()

    def _in_child(self, queued: QueuedBatch) -> BatchResult:
        if self._child is None:
            self._child = ChildProcess(self._destination)
        batch, limit_seconds = queued.batch, self._limit_seconds * queued.limit_share
        task = Task(batch.payload, batch.frames, queued.work, queued.sent > 0, limit_seconds)
        queued.sent += 1
        try:
            return self._child.import_batch(task)
        except ChildDied:
            self.close()
            raise

    def _carried_out(self, verdict: Verdict, dispatch: Dispatch) -> Iterator[Done]:
        queued = verdict.queued
        if verdict.fate is Fate.SPLIT:
            for half in split_batch(queued.batch):
                share = queued.share_of_part(len(half.frames))
                dispatch.add(QueuedBatch(half, queued.work, suspect=True, limit_share=share, sent=1))
            return
        reason = "too_slow" if queued.slow and queued.work.retries else "kills_worker"
        try:
            result = reject_whole(queued.batch.payload, queued.batch.frames, reason, queued.work, self._sink)
        except ImporterError as error:
            yield _done(queued, error=error)
        else:
            yield _done(queued, result)


def _done(queued: QueuedBatch, result: BatchResult | None = None, error: ImporterError | None = None) -> Done:
    return Done(queued.work, queued.conversations, queued.size_bytes, result, error)
