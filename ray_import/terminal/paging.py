"""Long texts on a terminal go through a pager: `PAGER`, else `less`."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from itertools import tee

from rich.console import Console

_NOT_STARTED = (126, 127)
"""What the shell ends with where a command is no program, or is not found."""


def paged(console: Console, pieces: Iterable[str]) -> None:
    """Writes text that is rendered already to the pager, or to the terminal where there is none or none that starts.

    An empty `PAGER`, or `cat`, means no pager. `less` ends at once if all fits the screen, and shows colours, unless
    `LESS` says otherwise.
    """
    command = os.environ.get("PAGER", "less" if shutil.which("less") else "")
    if command.strip() in ("", "cat") or console.is_dumb_terminal:
        _print(console, pieces)
        return
    pieces, again = tee(pieces)
    console.file.flush()
    environment = {"LESS": "-FRX", "LV": "-c", **os.environ}
    pager = subprocess.Popen(command, shell=True, stdin=subprocess.PIPE, env=environment)  # noqa: S602 - the user's own
    with suppress(BrokenPipeError, KeyboardInterrupt):
        _write(pager, pieces)
    while pager.poll() is None:
        with suppress(KeyboardInterrupt):  # it is meant for the pager, which does not end by it
            pager.wait()
    if pager.returncode in _NOT_STARTED:
        _print(console, again)


def _print(console: Console, pieces: Iterable[str]) -> None:
    for piece in pieces:
        console.file.write(piece)
    console.file.flush()


def _write(pager: "subprocess.Popen[bytes]", pieces: Iterable[str]) -> None:
    if pager.stdin is None:
        return
    with pager.stdin as pipe:
        for piece in pieces:
            pipe.write(piece.encode(errors="replace"))
