"""Standard output for results, standard error for everything else."""

import json
import os
import sys
from io import TextIOWrapper
from typing import TextIO

import orjson
from rich.console import Console


def nobody_reads(stream: TextIO) -> None:
    """What is still in the stream's buffer goes nowhere: else Python ends with 120 when it cannot write it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Told(Console):
    """Standard error: where nobody reads it, an import goes on in silence."""

    def on_broken_pipe(self) -> None:
        """Rich would end the process."""
        self.quiet = True
        nobody_reads(sys.stderr)


class _Results(Console):
    """Standard output: where nobody reads it, there is nothing more to do (see `errors_told`)."""

    def on_broken_pipe(self) -> None:
        """Rich would end the process with 1."""
        raise BrokenPipeError


# No markup: a file's name may hold brackets.
stderr = _Told(stderr=True, highlight=False, markup=False)
stdout = _Results(highlight=False, markup=False)


def print_json(value: object) -> None:
    """One JSON object on standard output, and nothing else there. Where nobody reads it, that changes nothing."""
    try:
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2)
    except TypeError:  # a name that is no UTF-8
        text = json.dumps(value, indent=2).encode()
    try:
        sys.stdout.buffer.write(text + b"\n")
        sys.stdout.flush()
    except BrokenPipeError:
        nobody_reads(sys.stdout)


def show_what_can_be_shown() -> None:
    """Characters that the terminal has not become `?` instead of an error: to be called first."""
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")


def flush() -> None:
    """Writes out what is buffered, as far as somebody reads it: to be called last."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            nobody_reads(stream)
