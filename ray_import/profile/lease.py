"""One run of a user's profile at a time: it holds the user as long as it gives signs of life."""

import logging
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Self

from ray_import.errors import ImportRunning, LeaseLost
from ray_import.sink.port import LEASE_SECONDS, Running, Sink
from ray_import.sink.profiles import ProfileStore

BEAT_EVERY_SECONDS = 5.0
PATIENCE_AT_THE_END_SECONDS = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Holder:
    """This process by its name in the destination, and how to tell that another one of this machine is dead."""

    name: str
    is_dead: Callable[[str], bool]


def begin(store: ProfileStore, user_id: str, run_id: str, holder: Holder, started_at: str) -> None:
    """Begins a run. Raises ImportRunning where another one of the user is alive.

    A dead process of this machine is seen at once, one of another machine once its lease has expired.
    """
    running = store.start_profile(user_id, run_id, holder.name, started_at)
    if running is not None and holder.is_dead(running.holder):
        log.info("profile_taken_over run=%s", running.id)
        store.release_profiles(running.holder)
        running = store.start_profile(user_id, run_id, holder.name, started_at)
    if running is not None:
        raise _is_running(user_id, running)


def _is_running(user_id: str, running: Running) -> ImportRunning:
    begun = running.started_at[:16].replace("T", " ")
    return ImportRunning(
        f"A profile of {user_id} is already being made: run {running.id}, started {begun} (UTC), last heartbeat"
        f" {running.silent_seconds:.0f} s ago.",
        f"Wait until it ends. If its process has died, its lease expires {LEASE_SECONDS} s after the last heartbeat.",
    )


class Heartbeats:
    """A thread that gives signs of life of all runs of this process, on a connection of its own.

    `check` raises LeaseLost once a run has turned out to be another's.
    """

    def __init__(
        self, open_sink: Callable[[], Sink], holder: Holder, every_seconds: float = BEAT_EVERY_SECONDS
    ) -> None:
        self._open_sink = open_sink
        self._holder = holder
        self._every_seconds = every_seconds
        self._runs: dict[str, str] = {}
        self._lost: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="profile-heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_AT_THE_END_SECONDS)

    def add(self, user_id: str, run_id: str) -> None:
        """This run has begun."""
        self._runs[run_id] = user_id

    def remove(self, run_id: str) -> None:
        """This run has ended."""
        self._runs.pop(run_id, None)

    def check(self, run_id: str) -> None:
        """Raises LeaseLost if another run has taken this one's place."""
        if run_id in self._lost:
            raise LeaseLost(
                f"This run lost its lease: it sent no heartbeat for {LEASE_SECONDS} s, and another one has taken over.",
                "Stored answers are kept; wait until the other one ends.",
            )

    def _run(self) -> None:
        while not self._stop.wait(self._every_seconds):
            # Whatever goes wrong: a run that works must not lose its place by it.
            with suppress(Exception), closing(self._open_sink()) as sink:
                while not self._stop.is_set():
                    self._beat(sink)
                    self._stop.wait(self._every_seconds)

    def _beat(self, store: ProfileStore) -> None:
        for run_id, user_id in list(self._runs.items()):
            if not store.beat_profile(user_id, run_id, self._holder.name) and run_id in self._runs:
                self._lost.add(run_id)
