"""Runs a command that starts Ray in a child process, so that its end is reported also where Ray ends that process.

Ray's C++ code ends the driver with exit code 1, without an exception, when the raylet of its machine or the head is
gone, and it may abort. The supervisor then ends what the child held in the destination, and reports the failure.
"""

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from types import FrameType
from typing import Any

from ray_import.cli.options import failure_in_json, print_error
from ray_import.cli.output import flush, stderr
from ray_import.destinations.registry import parse_destination
from ray_import.errors import ClusterError, ImporterError, Interrupted
from ray_import.pipeline.lease import this_process

PR_SET_PDEATHSIG = 1
"""Of prctl(2), Linux: the signal that a process gets when its parent dies."""

AGAIN = "Committed conversations are kept; run it again to resume."
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_to_supervisor: int | None = None
_may_begin: bool | None = None
"""Whether this process is a command that may be supervised: then, whether its results are to be JSON."""


def supervised(command: Callable[[], None], *, as_json: bool) -> None:
    """Runs `command` in a child process and ends this one with its exit code; with 3 where the child was ended."""

    def begun() -> None:
        begin()
        command()

    supervised_once_begun(begun, as_json=as_json)


def supervised_once_begun(command: Callable[[], None], *, as_json: bool) -> None:
    """Runs `command` in this process until it calls `begin`, if it ever does, and from there on in a child process."""
    global _may_begin  # noqa: PLW0603 - one command a process
    _may_begin = as_json
    for number, handler in ((signal.SIGINT, _interrupt_once), (signal.SIGTERM, _stop), (signal.SIGHUP, _stop)):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
    code: object = 0
    try:
        command()
    except SystemExit as end:
        code = end.code
        raise
    except BaseException:
        code = 1
        raise
    finally:
        # Before Ray is shut down at the interpreter's end, which may end the process, too.
        _tell({"exit_code": code if isinstance(code, int) else 0 if code is None else 1})


def begin() -> None:
    """Returns in a child process; the parent supervises it, and ends by SystemExit with its exit code, or with 3 where
    the child was ended. Outside of a command, and at the second time, it does nothing.

    No connection to a destination may be open, nor may other threads run. Signals that ask to stop are forwarded. On
    Linux the child is killed when this process is.
    """
    global _may_begin, _to_supervisor  # noqa: PLW0603 - one command a process
    as_json, _may_begin = _may_begin, None
    if as_json is None:
        return
    flush()
    reading, writing = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)  # none may be lost between fork and handler
    supervisor = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _die_with(supervisor)
        _to_supervisor = writing
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    os.close(writing)
    _forward_signals(child)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    _, status = os.waitpid(child, 0)
    with open(reading, "rb") as pipe:  # noqa: PTH123 - a descriptor
        told = _told(pipe.read())
    if "exit_code" not in told:
        _report(told, os.waitstatus_to_exitcode(status), as_json=as_json)
    sys.exit(told.get("exit_code", ClusterError.exit_code))


def writes_to(to: str) -> None:
    """Tells the supervisor, if there is one, the destination and the name under which this process holds imports."""
    _tell({"to": to, "holder": this_process()})


def _tell(what: dict[str, object]) -> None:
    if _to_supervisor is not None:
        with suppress(OSError):
            os.write(_to_supervisor, json.dumps(what).encode() + b"\n")


def _told(lines: bytes) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for line in lines.splitlines():
        with suppress(ValueError):
            told |= json.loads(line)
    return told


def _die_with(supervisor: int) -> None:
    with suppress(OSError, AttributeError):  # no Linux
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(ClusterError.exit_code)


def _interrupt_once(_number: int, _frame: FrameType | None) -> None:
    """In the child. A terminal sends Ctrl-C to both processes, and the supervisor forwards its own: the second one must
    not disturb the end that the first has begun."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _stop(_number: int, _frame: FrameType | None) -> None:
    """For SIGTERM and SIGHUP while no import runs that could end in order."""
    for number in _FORWARDED:
        signal.signal(number, signal.SIG_IGN)
    raise Interrupted("The import was interrupted.", AGAIN)


def _forward_signals(child: int) -> None:
    def forward(number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    for number in _FORWARDED:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or the background of a script
            signal.signal(number, forward)


def _report(told: dict[str, Any], code: int, *, as_json: bool) -> None:
    """Ends the imports and runs of the child as interrupted, and says why: never raises."""
    for number in _FORWARDED:
        signal.signal(number, signal.SIG_IGN)
    if told:
        with suppress(ImporterError), closing(parse_destination(told["to"]).open(create=False)) as sink:
            sink.let_go(told["holder"])
    error = _why(code)
    with suppress(ImporterError), failure_in_json(as_json):
        stderr.show_cursor()
        print_error(error)
        raise error
    flush()


def _why(code: int) -> ClusterError:
    if code < 0 and -code in _FORWARDED:
        return ClusterError("The import was interrupted.", AGAIN)
    if code < 0:
        name = signal.Signals(-code).name
        return ClusterError(f"The process of the import was ended by {name}; out of memory, perhaps.", AGAIN)
    return ClusterError("Ray ended the import: its raylet on this machine, or the head, is gone.", AGAIN)
