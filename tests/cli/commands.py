"""The command line as a person uses it: in a process of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

PLAIN = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200", "PYTHONUTF8": "1"}


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    code: int
    out: bytes
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON value: all of it."""
        return orjson.loads(self.out)

    @property
    def err_lines(self) -> list[str]:
        """Standard error, line by line."""
        return self.err.splitlines()


def environment() -> dict[str, str]:
    """This process's, without what the terminal or Ray would be told by it."""
    ours = ("RAY_", "COLUMNS", "FORCE_COLOR", "LINES")
    return {k: v for k, v in os.environ.items() if not k.startswith(ours)} | PLAIN


def started(folder: Path, *arguments: str | bytes | Path) -> "subprocess.Popen[bytes]":
    """Starts `ray-import` in `folder`."""
    return subprocess.Popen(
        [sys.executable, "-m", "ray_import", *arguments],
        cwd=folder, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(process: "subprocess.Popen[bytes]") -> Ended:
    """Waits for the end of what was started, reading all that it still says."""
    out, err = process.communicate(timeout=60)
    return Ended(process.returncode, out, err.decode(errors="surrogateescape"))


def ray_import(folder: Path, *arguments: str | bytes | Path) -> Ended:
    """Runs `ray-import` in `folder` to its end."""
    return ended(started(folder, *arguments))
