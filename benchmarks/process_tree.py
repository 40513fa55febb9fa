"""CPU time and memory of a process and all that it started. Linux only: it reads /proc.

Memory is the sum of PSS (proportional set size), in which a page that several processes share counts once:
Ray's object store, mapped by every worker, is not counted once per worker.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
KIBIBYTE = 1024


class ProcessKey(NamedTuple):
    """A process for good: a pid is given again, but not with the same start time (ticks since boot)."""

    pid: int
    started: int


class Entry(NamedTuple):
    """One line of the process table; CPU is user and system time."""

    key: ProcessKey
    parent: int
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Reading:
    """The tree at one moment. CPU is that of all processes seen so far, the ended ones included."""

    cpu_seconds: float
    pss_bytes: int
    processes: int


class ProcessTree:
    """The process `root`, its descendants, and all that have `marker` in their command line or environment.

    The marker finds daemons that were adopted by another process; a Ray session's name will do, or a variable
    set for the root. What once belonged to the tree stays in it. CPU time that a process used between its
    last reading and its end is lost, so read often.
    """

    def __init__(self, root: int, marker: str | None = None) -> None:
        self._root = root
        self._marker = marker.encode() if marker else None
        self._strangers: set[ProcessKey] = set()
        self._cpu_seconds: dict[ProcessKey, float] = {}

    def read(self) -> Reading:
        """CPU time first, then memory, which takes a few milliseconds per process."""
        members = self._members()
        self._cpu_seconds |= {entry.key: entry.cpu_seconds for entry in members}
        pss = sum(pss_bytes(entry.key.pid) for entry in members)
        return Reading(sum(self._cpu_seconds.values()), pss, len(members))

    def _members(self) -> list[Entry]:
        table = _process_table()
        children: dict[int, list[Entry]] = {}
        for entry in table:
            children.setdefault(entry.parent, []).append(entry)
        pending = [entry for entry in table if self._is_origin(entry.key)]
        members: dict[int, Entry] = {}
        while pending:
            entry = pending.pop()
            if entry.key.pid not in members:
                members[entry.key.pid] = entry
                pending += children.get(entry.key.pid, [])
        return list(members.values())

    def _is_origin(self, key: ProcessKey) -> bool:
        if key.pid == self._root or key in self._cpu_seconds:
            return True
        if self._marker is None or key in self._strangers:
            return False
        carries = _carries(key.pid, self._marker)
        if not carries and key.started < _uptime_ticks() - TICKS_PER_SECOND:
            self._strangers.add(key)  # a younger one may not have come to its exec
        return carries


def _process_table() -> list[Entry]:
    entries = (_entry(int(path.name)) for path in PROC.iterdir() if path.name.isdigit())
    return [entry for entry in entries if entry is not None]


def _entry(pid: int) -> Entry | None:
    try:
        stat = (PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None  # it has ended meanwhile
    # The second field, the name in brackets, may itself hold blanks and brackets. proc(5) counts from 1.
    fields = stat[stat.rindex(b")") + 2 :].split()
    cpu_ticks = int(fields[11]) + int(fields[12])
    return Entry(ProcessKey(pid, int(fields[19])), int(fields[1]), cpu_ticks / TICKS_PER_SECOND)


def _carries(pid: int, marker: bytes) -> bool:
    try:
        return any(marker in (PROC / str(pid) / name).read_bytes() for name in ("cmdline", "environ"))
    except OSError:
        return False


def pss_bytes(pid: int) -> int:
    try:
        for line in (PROC / str(pid) / "smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * KIBIBYTE
        return int(psutil.Process(pid).memory_full_info().pss)  # a kernel without the roll-up, or a zombie
    except (OSError, psutil.Error):
        return 0


def _uptime_ticks() -> float:
    return float((PROC / "uptime").read_text().split()[0]) * TICKS_PER_SECOND
