"""The program of the child process: imports the batches that its parent sends. Run by `ChildProcess`.

Standard input holds pickles: `sys.path`, the destination, and then batches. Standard output answers with a pickle each:
None once the destination is open, then a BatchResult for each batch; or the ImporterError that was raised.
"""

import os
import pickle
import signal
import sys
from dataclasses import dataclass
from typing import BinaryIO

from ray_import.destinations.base import Destination, Sink
from ray_import.errors import ImporterError
from ray_import.pipeline.batch import BatchContext, ended_after, import_batch
from ray_import.records import BatchResult, Frame


@dataclass(frozen=True, slots=True)
class Task:
    """A batch for the child. With `replay` it may have been imported in part before (see `import_batch`). More than
    `limit_seconds` of CPU time end the child."""

    payload: bytes
    frames: tuple[Frame, ...]
    work: BatchContext
    replay: bool
    limit_seconds: float


def serve(tasks: BinaryIO, answers: BinaryIO) -> None:
    """Answers until the parent closes `tasks`."""
    sys.path[:] = pickle.load(tasks)  # noqa: S301 - the parent's own pipe, here and below
    destination: Destination = pickle.load(tasks)  # noqa: S301
    try:
        sink = destination.open(create=False)
    except ImporterError as error:
        _answer(answers, error)
        return
    _answer(answers, None)
    while True:
        try:
            task: Task = pickle.load(tasks)  # noqa: S301
        except EOFError:
            return
        _answer(answers, _outcome(task, sink))
        del task  # it may be large


def _outcome(task: Task, sink: Sink) -> BatchResult | ImporterError:
    try:
        with ended_after(task.limit_seconds):
            return import_batch(task.payload, task.frames, task.work, sink, replay=task.replay)
    except ImporterError as error:
        return error
    except Exception as error:  # noqa: BLE001 - its text may hold a user's words: only its name is told
        return ImporterError(
            f"A batch failed with {type(error).__name__}.",
            "This is a fault in ray-import: run it again with --debug and report what it prints.",
        )


def _answer(answers: BinaryIO, what: object) -> None:
    pickle.dump(what, answers, protocol=pickle.HIGHEST_PROTOCOL)
    answers.flush()


def main() -> None:
    """Keeps standard output for answers: what libraries print goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
