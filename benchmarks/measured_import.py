"""One import in a process tree of its own, measured from outside."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from benchmarks.metering import Meter
from benchmarks.process_tree import ProcessTree, Reading

MARKER_VARIABLE = "RAY_IMPORT_BENCHMARK"
REST_CORES = 0.25  # Ray at rest uses 0.05-0.2 of a core
REST_INTERVAL_S = 0.5
REST_PATIENCE_S = 30
END_PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one import cost, from the moment that Ray was up to the last commit.

    `start_*` is the part of it that the workers' start took. `idle_pss_bytes` is Ray with idle workers,
    `peak_pss_bytes` the most while the import ran, both of the whole tree. `again_*` is the same import once
    more, which finds everything in.
    """

    json_bytes: int
    conversations: int
    rows_written: int
    seconds: float
    start_seconds: float
    cpu_seconds: float
    start_cpu_seconds: float
    idle_pss_bytes: int
    peak_pss_bytes: int
    spilled_bytes: int
    fallback_bytes: int
    again_seconds: float
    again_cpu_seconds: float
    again_rows_written: int

    @property
    def megabytes(self) -> float:
        return self.json_bytes / 1e6

    @property
    def cpu_ms_per_megabyte(self) -> float:
        return 1000 * self.cpu_seconds / self.megabytes

    @property
    def work_cpu_ms_per_megabyte(self) -> float:
        return 1000 * (self.cpu_seconds - self.start_cpu_seconds) / self.megabytes

    @property
    def megabytes_per_second(self) -> float:
        return self.megabytes / self.seconds

    @property
    def pss_above_idle_bytes(self) -> int:
        return self.peak_pss_bytes - self.idle_pss_bytes


class Child:
    """The running import; see `benchmarks.import_child` for its phases."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def reach(self, phase: str) -> dict[str, Any]:
        """Waits until the child pauses there; gives what it says."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The import ended before '{phase}' with exit code {self._process.wait()}.")
        said: dict[str, Any] = orjson.loads(line)
        if said.pop("phase") != phase:
            raise RuntimeError(f"The import said {line!r} instead of '{phase}'.")
        return said

    def go_on(self) -> None:
        assert self._process.stdin
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()


def measure_import(export: Path, database: Path, workers: int) -> Measurement:
    """Imports `export` into the new file `database`, twice, in a fresh process with a Ray of its own."""
    marker = uuid.uuid4().hex
    with _child(export, database, workers, marker) as (child, pid):
        tree = ProcessTree(pid, marker)
        child.reach("ray_up")
        before_start = at_rest(tree).cpu_seconds
        child.go_on()
        child.reach("idle")
        # Not read at once: the executor waits for the first of the workers only.
        idle = at_rest(tree)
        start_cpu_seconds = idle.cpu_seconds - before_start
        with Meter(tree) as meter:
            child.go_on()
            first = child.reach("imported")
        with Meter(tree) as again_meter:
            child.go_on()
            again = child.reach("repeated")
        child.go_on()
    return Measurement(
        json_bytes=first["json_bytes"],
        conversations=first["conversations"],
        rows_written=first["rows_written"],
        seconds=first["seconds"],
        start_seconds=first["start_seconds"],
        cpu_seconds=start_cpu_seconds + meter.usage().cpu_seconds,
        start_cpu_seconds=start_cpu_seconds,
        idle_pss_bytes=idle.pss_bytes,
        peak_pss_bytes=meter.usage().peak_pss_bytes,
        spilled_bytes=first["spilled_bytes"],
        fallback_bytes=first["fallback_bytes"],
        again_seconds=again["seconds"],
        again_cpu_seconds=again_meter.usage().cpu_seconds,
        again_rows_written=again["rows_written"],
    )


def at_rest(tree: ProcessTree) -> Reading:
    """Waits until the tree does nothing but keep itself alive: Ray's daemons go on starting after `init`."""
    patience_ends = time.monotonic() + REST_PATIENCE_S
    before, before_at = tree.read(), time.monotonic()
    while time.monotonic() < patience_ends:
        time.sleep(REST_INTERVAL_S)
        now, now_at = tree.read(), time.monotonic()
        if now.cpu_seconds - before.cpu_seconds < REST_CORES * (now_at - before_at):
            return now
        before, before_at = now, now_at
    raise RuntimeError(f"The process tree did not come to rest in {REST_PATIENCE_S} s.")


@contextmanager
def _child(export: Path, database: Path, workers: int, marker: str) -> Iterator[tuple[Child, int]]:
    command = [sys.executable, "-m", "benchmarks.import_child", str(export), str(database), str(workers)]
    environment = {**os.environ, MARKER_VARIABLE: marker}
    environment.pop("RAY_ADDRESS", None)  # it gets a Ray of its own
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        try:
            yield Child(process), process.pid
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin:
        process.stdin.close()  # a child that waits for its line ends
    try:
        process.wait(timeout=END_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()  # its Ray ends with it
