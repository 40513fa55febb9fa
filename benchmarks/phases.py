"""How a measured process and the one that measures it keep step. Imports no Ray, for peers without one."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import orjson

from benchmarks.process_tree import ProcessTree
from ray_import.cluster.environment import OF_OWN_RAY

USER = "benchmark"
MARKER_VARIABLE = "RAY_IMPORT_BENCHMARK"
END_PATIENCE_S = 60


def pause(phase: str, **facts: object) -> None:
    """Tells the measuring process where this one is, and waits for it."""
    sys.stdout.write(orjson.dumps({"phase": phase, **facts}).decode() + "\n")
    sys.stdout.flush()
    if not sys.stdin.readline():
        raise SystemExit("the measuring process is gone")


class Child:
    """The measured process, which calls `pause` at each of its phases."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def reach(self, phase: str) -> dict[str, Any]:
        """Waits until the child pauses there; gives what it says."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The import ended before '{phase}' with exit code {self._process.wait()}.")
        said: dict[str, Any] = orjson.loads(line)
        if said.pop("phase") != phase:
            raise RuntimeError(f"The import said {line!r} instead of '{phase}'.")
        return said

    def go_on(self) -> None:
        """Lets it leave its pause."""
        assert self._process.stdin
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def end(self) -> None:
        """Lets it leave its last pause, and waits until it has ended."""
        self.go_on()
        if self._process.wait(timeout=END_PATIENCE_S):
            raise RuntimeError(f"The import ended with exit code {self._process.returncode}.")


@contextmanager
def running(module: str, *arguments: object) -> Iterator[tuple[Child, ProcessTree]]:
    """`python -m MODULE ARGUMENTS`, with what a Ray of its own wants in its environment, and its process tree."""
    marker = uuid4().hex
    command: Sequence[str] = [sys.executable, "-m", module, *map(str, arguments)]
    environment = (
        os.environ
        | OF_OWN_RAY
        | {
            MARKER_VARIABLE: marker,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
        }
    )
    environment.pop("RAY_ADDRESS", None)  # it gets a Ray of its own
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        try:
            yield Child(process), ProcessTree(process.pid, marker)
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin:
        process.stdin.close()  # a child that waits for its line ends
    try:
        process.wait(timeout=END_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()  # its Ray ends with it
