"""What is told of a run whose process is gone without a word: killed, out of memory, or ended by Ray itself, which does
so a minute after it has lost its head.

A process of its own holds the message, and the other end of a pipe. Where the pipe closes and the message was not taken
back, it posts it.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress

from ray_import.bulk.alert import post

ENDS_WITHIN_SECONDS = 5.0


class LastWill:
    """A message for `url` in case that this process is gone; nothing where `url` is empty."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._holder: subprocess.Popen[bytes] | None = None

    def is_now(self, message: Mapping[str, object]) -> None:
        """This is to be told from now on. The first time, the process that holds it is started."""
        if not self._url:
            return
        if self._holder is None:
            self._holder = _started()
        self._hand_over({"url": self._url, "message": dict(message)})  # not as an argument: all can see these

    def take_back(self) -> None:
        """Nothing is to be told any more."""
        if self._holder is None:
            return
        self._hand_over(None)
        with suppress(OSError, subprocess.TimeoutExpired):
            self._holder.communicate(timeout=ENDS_WITHIN_SECONDS)

    def _hand_over(self, what: object) -> None:
        with suppress(OSError, ValueError):  # the holder was killed: a run goes on without
            if self._holder is not None and self._holder.stdin is not None:
                self._holder.stdin.write(json.dumps(what).encode() + b"\n")
                self._holder.stdin.flush()


def _started() -> "subprocess.Popen[bytes] | None":
    """In a session of its own, so that what ends the group of this process leaves it."""
    with suppress(OSError):
        return subprocess.Popen(
            [sys.executable, "-m", "ray_import.bulk.will"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    return None


def hold() -> None:
    """Reads until the other end is gone, and posts what was handed over last."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # `ray job stop` asks children as well: the run decides
    last = None
    for line in sys.stdin.buffer:
        with suppress(ValueError):  # a line that was not written to its end
            last = json.loads(line)
    if last is not None:
        post(last["url"], last["message"])


if __name__ == "__main__":
    hold()
