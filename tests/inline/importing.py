"""Imports without Ray in a process of their own, which may hang or die: `python -m tests.inline.importing JSON`."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ray_import.chunks.rows import ImportJob
from ray_import.destinations.base import Destination
from ray_import.inline.crash_marks import Marks
from ray_import.inline.workers import InlineWorkers
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.one_user import import_user
from ray_import.pipeline.progress import NoReporter
from ray_import.pipeline.report import Summary
from ray_import.pipeline.sources import open_sources
from ray_import.settings import FlowLimits, ImportSettings
from tests.support.cluster.dials import DialledDestination, Dials

LIMIT_SECONDS = 1


@dataclass(slots=True)
class Told:
    """What an import said beside its summary."""

    lines: list[str] = field(default_factory=list)


def imported(
    export: Path, destination: Destination, marks: Path, told: Told | None = None, batch_bytes: int = 64 * 1024
) -> Summary:
    """Imports `export` in this process."""
    settings = ImportSettings(flow=FlowLimits(batch_bytes=batch_bytes, max_batch_seconds=LIMIT_SECONDS))
    sources = open_sources([export], settings.read)
    work = BatchContext(
        ImportJob(f"import-{time.monotonic_ns()}", "ada", 1_760_000_000.0), settings, source=sources.label
    )
    lines = (told or Told()).lines
    with closing(destination.open()) as sink:
        return import_user(
            sources,
            work,
            sink,
            destination.url,
            lambda: InlineWorkers(destination, sink, settings.flow, Marks(marks), lines.append),
            NoReporter(),
        )


def dialled(database: Path, dials: dict[str, Any]) -> DialledDestination:
    """The destination `database` with these dials."""
    dials = {name: Path(value) if name.endswith("_once") else value for name, value in dials.items()}
    return DialledDestination(f"sqlite:///{database}", database, Dials(**dials))


def started(export: Path, database: Path, marks: Path, **dials: object) -> "subprocess.Popen[bytes]":
    """Starts the import in a process of its own."""
    told = {"export": str(export), "database": str(database), "marks": str(marks), "dials": dials}
    return subprocess.Popen([sys.executable, "-m", "tests.inline.importing", orjson.dumps(told).decode()])


def killed_when_marked(process: "subprocess.Popen[bytes]", marks: Path, settled: float = 0.0) -> None:
    """Kills the process when it has been in one and the same batch for so many CPU seconds."""
    mark, since = b"", 0.0
    while process.poll() is None:
        found = line_of_mark(marks)
        if not found or found.endswith(b'"items":[]}'):
            continue
        now = cpu_seconds(process.pid)
        if found != mark:
            mark, since = found, now
        if now - since >= settled:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return
    raise AssertionError(f"it has ended by itself: {process.returncode}")


def line_of_mark(marks: Path) -> bytes:
    """What a mark says, if there is one."""
    for path in marks.glob("*.mark"):
        with suppress(FileNotFoundError):
            line, end, _ = path.read_bytes().partition(b"\n")
            return line if end else b""
    return b""


def cpu_seconds(process_id: int) -> float:
    """Of user and system: proc(5), /proc/PID/stat."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Imports what the argument says."""
    told = orjson.loads(sys.argv[1])
    imported(Path(told["export"]), dialled(Path(told["database"]), told["dials"]), Path(told["marks"]))


if __name__ == "__main__":
    main()
