"""Allows one import per user at a time: it holds a lease on the user's job, kept alive by heartbeats."""

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
    """Takes the lease of an import. Raises ImportRunning if another import of the user holds it.

    That one was killed on this machine is seen at once; of another machine's it is known when its last sign of life is
    LEASE_SECONDS old.
    """
    running = _unless_dead(sink, lambda: sink.start_job(job, source, this_process()))
    if running is not None:
        raise _is_running(f"An import of {job.user_id}", running)


def begin_run(sink: Sink, run_id: str, key: RunKey) -> None:
    """Starts or resumes a run over many users. Raises ImportRunning if a run over the same users is alive, see
    `begin`."""
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
    """Ends everything that this process holds as interrupted, so that no other process has to wait for its leases.

    Whoever asked this process to stop does not wait for a destination that is away, however: then the leases run out.
    """

    def tell() -> None:
        with suppress(Exception), closing(open_sink()) as sink:  # the leases run out, too
            sink.let_go(this_process())

    thread = threading.Thread(target=tell, name="let-go", daemon=True)
    thread.start()
    thread.join(PATIENCE_AT_THE_END_SECONDS)


def lost(what: str = "import") -> LeaseLost:
    """Returns the error for a job or a run whose lease another process has taken over."""
    return LeaseLost(
        f"This {what} lost its lease: it sent no heartbeat for {LEASE_SECONDS} s, and another one has taken over.",
        "Committed conversations are kept; wait until the other one ends.",
    )


def this_process() -> str:
    """Identifies a process by host, PID and start time, because PIDs are reused."""
    return _named(os.getpid())


@cache
def _named(number: int) -> str:
    """Looked up once: under another name the process would lose its leases."""
    return f"{_here()}/{number}/{_state_and_begin(number)[1]}"


def is_dead(holder: str) -> bool:
    """Returns whether a process of this host has ended, a zombie included. False for processes of other hosts."""
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
    """Identifies the host: its name, its boot, and the PID namespace, because containers may share a name."""
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
    """Sends heartbeats for all imports and runs that this process holds. An import that lost its lease finds out at its
    next `update_job`."""

    def __init__(self, open_sink: Callable[[], Sink], every_seconds: float = BEAT_EVERY_SECONDS) -> None:
        super().__init__(open_sink, lambda sink: sink.beat(this_process()), every_seconds)
