"""One import of a user at a time: it holds the user's job as long as it gives signs of life."""

import os
import socket
import threading
from collections.abc import Callable, Collection
from contextlib import closing, suppress
from pathlib import Path
from typing import Self

from ray_import.chunks.rows import Import
from ray_import.errors import ImporterError, ImportRunning, LeaseLost
from ray_import.sink.port import LEASE_SECONDS, Sink

BEAT_EVERY_SECONDS = 5.0
ENDS_WITHIN_SECONDS = 2.0


def begin(sink: Sink, of: Import, source: str) -> None:
    """Begins the job of an import. Raises ImportRunning where one of the same user is alive.

    That one was killed on this machine is seen at once; of another machine's it is known when its last sign of life is
    LEASE_SECONDS old.
    """
    running = sink.start_job(of, source, this_process())
    if running is not None and is_dead(running.holder):
        sink.update_job(running.id, running.counts, "failed", "interrupted")
        running = sink.start_job(of, source, this_process())
    if running is not None:
        begun = running.started_at[:16].replace("T", " ")
        raise ImportRunning(
            f"An import of {of.user_id} is running: {running.id}, begun {begun} (UTC),"
            f" last sign of life {running.silent_seconds:.0f} s ago.",
            f"Wait for it to end. If it has died, it is taken over {LEASE_SECONDS} s after its last sign of life.",
        )


def lost() -> LeaseLost:
    """What to raise when a job turns out to be another's."""
    return LeaseLost(
        f"This import gave no sign of life for {LEASE_SECONDS} s, and another one has taken its place.",
        "What was in stays.",
    )


def this_process() -> str:
    """The process by host and number; where numbers have name spaces (containers), by that, too."""
    return f"{_here()}/{os.getpid()}"


def is_dead(holder: str) -> bool:
    """Whether a process was here and is no more, though its parent may not have heard of that; False for those of other
    hosts, which cannot be seen."""
    here, _, number = holder.rpartition("/")
    if here != _here() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    with suppress(OSError):  # where there is no /proc
        return Path(f"/proc/{number}/stat").read_text().rpartition(") ")[2].startswith("Z")
    return False


def _here() -> str:
    name_space = ""
    with suppress(OSError):
        name_space = str(Path("/proc/self/ns/pid").readlink())
    return f"{socket.gethostname()}/{name_space}"


class Heartbeat:
    """A thread that gives the signs of life while imports wait for whatever they wait for.

    On a connection of its own, which it opens by itself; where that fails, or is lost, it tries again. `running` tells
    the imports to give them for, each time.
    """

    def __init__(
        self,
        open_sink: Callable[[], Sink],
        running: Callable[[], Collection[str]],
        every_seconds: float = BEAT_EVERY_SECONDS,
    ) -> None:
        self._open_sink = open_sink
        self._running = running
        self._every_seconds = every_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(ENDS_WITHIN_SECONDS)  # it may be waiting for a destination that is away

    def _run(self) -> None:
        while not self._stop.wait(self._every_seconds):
            with suppress(ImporterError), closing(self._open_sink()) as sink:
                self._beat_on(sink)

    def _beat_on(self, sink: Sink) -> None:
        """One that has lost its place learns of it when it tells its counts."""
        while not self._stop.is_set():
            for import_id in self._running():
                sink.beat(import_id)
            self._stop.wait(self._every_seconds)
