"""A child process that imports batches which may end it: a program of its own, so that no threads are forked."""

import os
import pickle
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import ray_import
from ray_import.errors import ImporterError
from ray_import.importing.dispatch import Death
from ray_import.inline.child import Task
from ray_import.records import BatchResult
from ray_import.sink.port import Destination

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
                destination.hand_down_password(to_children=True)
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
