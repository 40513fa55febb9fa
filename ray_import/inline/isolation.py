"""Batches in which an earlier run died: imported in a child process, and halved down to the conversation to blame.

The child process is a program of its own, so that no threads are forked.
"""

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import ray_import
from ray_import.destinations.base import Destination, Sink
from ray_import.errors import ImporterError
from ray_import.inline.child import Task
from ray_import.pipeline.batch import BatchContext, reject_whole
from ray_import.pipeline.batching import split_batch
from ray_import.pipeline.executor import BatchOutcome
from ray_import.pipeline.scheduler import Death, Fate, QueuedBatch, Scheduler, Verdict
from ray_import.records import Batch, BatchResult

ENDS_WITHIN_SECONDS = 5.0
_one_at_a_time = threading.Lock()
"""While a child is started, the environment of this process holds the password of its destination."""


class ChildDied(Exception):
    """The child is gone without an answer, because of `death`."""

    def __init__(self, death: Death) -> None:
        super().__init__(death)
        self.death = death


class ChildProcess:
    """A child with `destination` open. It is in a session of its own: what interrupts this process does not end it.

    A destination that is opened with a password of its own hands it to the child through the environment.
    """

    def __init__(self, destination: Destination) -> None:
        """Starts the child. Raises ImporterError where that fails, and what opening the destination raises."""
        try:
            with _one_at_a_time:
                destination.export_password(to_children=True)
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "ray_import.inline.child"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,  # a traceback may hold a user's words
                    env=_environment(),
                    start_new_session=True,
                )
        except OSError as error:
            raise _not_started(error.strerror or type(error).__name__) from None
        try:
            self._send(sys.path)
            self._send(destination)
            answer = self._answer()
        except (ChildDied, OSError):
            self.close()
            raise _not_started(f"it ended with {self._process.returncode}") from None
        except BaseException:
            self.close()
            raise
        if isinstance(answer, ImporterError):
            self.close()
            raise answer

    def import_batch(self, task: Task) -> BatchResult:
        """Imports the batch in the child. Raises ChildDied, and the ImporterError that the batch ended with."""
        try:
            self._send(task)
        except OSError:
            raise ChildDied(self._cause()) from None
        answer = self._answer()
        if isinstance(answer, ImporterError):
            raise answer
        if not isinstance(answer, BatchResult):
            raise TypeError(type(answer).__name__)
        return answer

    def close(self) -> None:
        """Ends the child at once."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self._process.wait()

    def _send(self, what: object) -> None:
        pipe = self._process.stdin
        if pipe is not None:
            pickle.dump(what, pipe, protocol=pickle.HIGHEST_PROTOCOL)
            pipe.flush()

    def _answer(self) -> object:
        pipe = self._process.stdout
        try:
            return pickle.load(pipe) if pipe is not None else None  # noqa: S301 - the child's own pipe
        except (EOFError, pickle.UnpicklingError):
            raise ChildDied(self._cause()) from None

    def _cause(self) -> Death:
        try:
            code = self._process.wait(ENDS_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            return Death.CRASH
        return Death.SLOW if code == -signal.SIGPROF else Death.CRASH


def _environment() -> dict[str, str]:
    """In which the child finds this very package, however this process has found it."""
    root = str(Path(ray_import.__file__).resolve().parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def _not_started(why: str) -> ImporterError:
    return ImporterError(
        f"A child process for a batch in which the last import ended could not be started: {why}.",
        "Run it again with --executor ray.",
    )


class Child(Protocol):
    def import_batch(self, task: Task) -> BatchResult:
        """Imports the batch in the child. Raises ChildDied, and the ImporterError that the batch ended with."""

    def close(self) -> None:
        """Ends the child at once."""


class Suspects:
    """Imports batches with care, by the rules of `Scheduler` with one worker: the child.

    A conversation that keeps ending the child, or takes it more CPU time than a batch may, is rejected as
    `kills_worker`: in this process it would end every run. When rejects are retried, one that takes too much CPU time
    stays `too_slow`.
    """

    def __init__(self, destination: Destination, sink: Sink, limit_seconds: float) -> None:
        self._destination = destination
        self._sink = sink
        self._limit_seconds = limit_seconds
        self._child: Child | None = None

    def import_batch(self, batch: Batch, work: BatchContext) -> Iterator[BatchOutcome]:
        """Gives the batch, or the parts that it was split into, as they are done with."""
        dispatch = Scheduler(1, 1, 0)
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

    def _carried_out(self, verdict: Verdict, dispatch: Scheduler) -> Iterator[BatchOutcome]:
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


def _done(queued: QueuedBatch, result: BatchResult | None = None, error: ImporterError | None = None) -> BatchOutcome:
    return BatchOutcome(queued.work, queued.conversations, queued.size_bytes, result, error)
