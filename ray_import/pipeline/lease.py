"""One import of a user at a time: it holds the user's job as long as it gives signs of life."""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from functools import cache
from pathlib import Path

from ray_import.chunks.rows import ImportJob
from ray_import.destinations.base import LEASE_SECONDS, RunKey, Running, Sink
from ray_import.destinations.heartbeat import BEAT_EVERY_SECONDS, PATIENCE_AT_THE_END_SECONDS, BeatingThread
from ray_import.errors import ImportRunning, LeaseLost


def begin(sink: Sink, job: ImportJob, source: str) -> None:
    """Begins the job of an import. Raises ImportRunning where one of the same user is alive.

    That one was killed on this machine is seen at once; of another machine's it is known when its last sign of life is
    LEASE_SECONDS old.
    """
    running = _unless_dead(sink, lambda: sink.start_job(job, source, this_process()))
    if running is not None:
        raise _is_running(f"An import of {job.user_id}", running)


def begin_run(sink: Sink, run_id: str, key: RunKey) -> None:
    """Begins a run over many users, or goes on with it. Raises ImportRunning where one over the same users is alive,
    which is known as in `begin`."""
    running = _unless_dead(sink, lambda: sink.start_run(run_id, key, this_process()))
    if running is not None:
        raise _is_running("A run over these users", running)


def _unless_dead(sink: Sink, start: Callable[[], Running | None]) -> Running | None:
    running = start()
    if running is not None and is_dead(running.holder):
        sink.let_go(running.holder)
        running = start()
    return running


def _is_running(what: str, running: Running) -> ImportRunning:
    begun = running.started_at[:16].replace("T", " ")
    return ImportRunning(
        f"{what} is already running: {running.id}, started {begun} (UTC), last heartbeat"
        f" {running.silent_seconds:.0f} s ago.",
        f"Wait until it ends. If its process has died, its lease expires {LEASE_SECONDS} s after the last heartbeat.",
    )


def let_go(open_sink: Callable[[], Sink]) -> None:
    """Ends all that this process holds, as interrupted, so that nobody has to wait for the end of its leases.

    Whoever asked this process to stop does not wait for a destination that is away, however: then the leases run out.
    """

    def tell() -> None:
        with suppress(Exception), closing(open_sink()) as sink:  # the leases run out, too
            sink.let_go(this_process())

    thread = threading.Thread(target=tell, name="let-go", daemon=True)
    thread.start()
    thread.join(PATIENCE_AT_THE_END_SECONDS)


def lost(what: str = "import") -> LeaseLost:
    """What to raise when a job, or a run, turns out to be another's."""
    return LeaseLost(
        f"This {what} lost its lease: it sent no heartbeat for {LEASE_SECONDS} s, and another one has taken over.",
        "Committed conversations are kept; wait until the other one ends.",
    )


def this_process() -> str:
    """The process by its host, its number there, and when it began: numbers are used again."""
    return _named(os.getpid())


@cache
def _named(number: int) -> str:
    """Looked up once: under another name a process would lose all that it holds."""
    return f"{_here()}/{number}/{_state_and_begin(number)[1]}"


def is_dead(holder: str) -> bool:
    """Whether a process was here and is no more, though its parent may not have heard of that; False for those of other
    hosts, which cannot be seen."""
    here, number, began = (["", "", *holder.rsplit("/", 2)])[-3:]
    if here != _here() or not number.isdecimal():
        return False
    with suppress(PermissionError):  # somebody else's, but it lives
        try:
            os.kill(int(number), 0)
        except ProcessLookupError:
            return True
    state, its_begin = _state_and_begin(int(number))
    return state == "Z" or bool(began and its_begin and its_begin != began)  # when one began may be hidden


def _here() -> str:
    """The host, for all that may share its name: its boot, and the name space of its process numbers (containers)."""
    boot = name_space = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with suppress(OSError):
        name_space = str(Path("/proc/self/ns/pid").readlink())
    return f"{socket.gethostname()}/{boot}/{name_space}"


def _state_and_begin(process_id: int) -> tuple[str, str]:
    """See proc(5), /proc/PID/stat: state and starttime; both empty where there is no /proc."""
    with suppress(OSError):
        fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(") ")[2].split()
        return fields[0], fields[19]
    return "", ""


class Heartbeat(BeatingThread[Sink]):
    """Gives the signs of life of all imports and runs over many users that this process holds. One that has lost its
    place learns of it when it tells its counts."""

    def __init__(self, open_sink: Callable[[], Sink], every_seconds: float = BEAT_EVERY_SECONDS) -> None:
        super().__init__(open_sink, lambda sink: sink.beat(this_process()), every_seconds)
