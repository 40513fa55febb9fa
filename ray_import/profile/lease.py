"""One run of a user's profile at a time: it holds the user as long as it gives signs of life."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from ray_import.destinations.base import LEASE_SECONDS, Running, Sink
from ray_import.destinations.heartbeat import BEAT_EVERY_SECONDS, BeatingThread
from ray_import.destinations.profiles import ProfileStore
from ray_import.errors import ImportRunning, LeaseLost

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


class Heartbeats(BeatingThread[Sink]):
    """Gives the signs of life of all profile runs of this process. `check` raises LeaseLost once a run has turned out
    to be another's."""

    def __init__(
        self, open_sink: Callable[[], Sink], holder: Holder, every_seconds: float = BEAT_EVERY_SECONDS
    ) -> None:
        super().__init__(open_sink, self._beat, every_seconds)
        self._holder = holder
        self._runs: dict[str, str] = {}
        self._lost: set[str] = set()

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

    def _beat(self, store: ProfileStore) -> None:
        for run_id, user_id in list(self._runs.items()):
            if not store.beat_profile(user_id, run_id, self._holder.name) and run_id in self._runs:
                self._lost.add(run_id)
