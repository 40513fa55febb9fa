"""Standard output for results, standard error for everything else."""

import codecs
import io
import json
import os
import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console

from ray_import.errors import ResultsNotWritten

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
import shutil
import subprocess
from collections.abc import Iterable
from itertools import tee

_ERRORS = "ray_import.ascii"
_IN_ASCII = {"…": "..."}
_UNWRAPPED = 1_000_000
_ESCAPED = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}
"""Control characters that JSON allows in strings; a terminal may obey them."""


class ReaderGone(Exception):
    """Nobody reads standard output any more (`extract … | head`): nothing is wrong, and nothing more to say.

    It is no BrokenPipeError, which click and rich would end the process with 1 for.
    """


class _Output(io.FileIO):
    """A standard stream. Where it is a pipe that is full and does not block, writing waits."""

    def write(self, data: "ReadableBuffer", /) -> int:
        while (written := super().write(data)) is None:  # which the types do not know
            select.select([], [self], [])
        return written


class _Told(_Output):
    """Standard error: what cannot be written is dropped, so that an import goes on when its log is full or gone."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


class _Results(_Output):
    """Standard output: the first failure is raised, and what comes after it is dropped.

    Raises ReaderGone where it is a pipe that nobody reads any more, else ResultsNotWritten.
    """

    _failed = False

    def write(self, data: "ReadableBuffer", /) -> int:
        if self._failed:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except BrokenPipeError:
            self._failed = True
            raise ReaderGone from None
        except OSError as error:
            self._failed = True
            raise ResultsNotWritten(
                f"The results could not be written to standard output: {error.strerror}.",
                "Free some space or redirect the output; imported conversations stay in the destination.",
            ) from None


class _Lines(Console):
    """A terminal, or a pipe or log, where no line is wrapped and none ends in blanks: so that it can be searched."""

    def print(self, *objects: Any, **options: Any) -> None:
        if self.is_terminal:
            super().print(*objects, **options)
            return
        self.size = (_UNWRAPPED, 25)
        with self.capture() as captured:
            super().print(*objects, **options)
        self.file.write("\n".join(line.rstrip(" ") for line in captured.get().split("\n")))
        self.file.flush()


# No markup: a file's name may hold brackets.
stderr = _Lines(stderr=True, highlight=False, markup=False)
stdout = _Lines(highlight=False, markup=False)


def print_json(value: object) -> None:
    """One JSON object on standard output, and nothing else there. Where nobody reads it, that changes nothing.

    Raises ResultsNotWritten.
    """
    try:
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2)
    except TypeError:  # a name that is no UTF-8
        text = json.dumps(value, indent=2).encode()
    with suppress(ReaderGone):
        write_json(text)
        sys.stdout.flush()


def write_json(text: bytes) -> None:
    """Writes JSON and the end of the line to standard output; on a terminal, with all control characters escaped."""
    if sys.stdout.isatty():
        text = text.decode().translate(_ESCAPED).encode()
    sys.stdout.buffer.write(text + b"\n")


def set_up() -> None:
    """Makes standard streams that fail as a command's should: to be called first.

    A closed one becomes /dev/null: nothing else that is opened may take its number. A character that the encoding
    lacks is written in ASCII.
    """
    codecs.register_error(_ERRORS, _in_ascii)
    if sys.stdin is None:
        sys.stdin = os.fdopen(_nowhere(), "r")
    sys.stdout = _text(sys.stdout, _Results)
    sys.stderr = _text(sys.stderr, _Told)


def flush() -> None:
    """Writes out what is buffered, as far as somebody reads it: to be called last. Raises ResultsNotWritten."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(ReaderGone):
            stream.flush()


def _text(stream: Any, kind: type[_Output]) -> io.TextIOWrapper:
    raw = kind(_nowhere() if stream is None else stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding="utf-8" if stream is None else stream.encoding,
        errors=_ERRORS,
        line_buffering=kind is _Told or raw.isatty(),
    )


def _nowhere() -> int:
    """/dev/null under the lowest number that is free, for child processes, too."""
    number = os.open(os.devnull, os.O_RDWR)
    os.set_inheritable(number, True)
    return number


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_IN_ASCII.get(one) or one.encode("ascii", "backslashreplace").decode() for one in missing), error.end


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
