"""`ray-import run`: from options to a finished import."""

import shlex
import shutil
import signal
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import closing, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Self

from ray_import.chunks.rows import Import
from ray_import.cluster.environment import inside_job, joins_cluster, prepare_environment
from ray_import.errors import ConfigError, Interrupted
from ray_import.importing.loop import run_import
from ray_import.importing.sources import open_sources
from ray_import.importing.summary import Summary
from ray_import.importing.work import Work
from ray_import.settings import ImportSettings
from ray_import.sink.destination import is_absolute, parse_destination
from ray_import.terminal.options import checked_user
from ray_import.terminal.progress import progress_on
from ray_import.terminal.streams import stderr


def import_with_ray(
    paths: Sequence[Path], to: str, user_id: str, settings: ImportSettings, workers: int | None
) -> Summary:
    """Runs one import on Ray, showing its progress. Raises an ImporterError where it failed.

    What can be wrong is looked for in the order of its cost: options, source, destination, Ray.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers {workers} cannot be: 1 at least.")
    of = Import(str(uuid.uuid4()), checked_user(user_id), time.time())
    destination = parse_destination(to)
    if inside_job() and not is_absolute(to):
        raise ConfigError(
            f"--to {to} is relative, and a job's working directory is a copy that is thrown away.",
            "Name the destination absolutely: sqlite:////data/chunks.db, say.",
        )
    sources = open_sources(paths, settings.read)
    # Ray takes half a second to import: not before all else is known to be right.
    prepare_environment()
    from ray_import.cluster.executor import RayExecutor  # noqa: PLC0415
    from ray_import.cluster.session import available_cpus, ray_session  # noqa: PLC0415

    work = Work(of, settings)
    # Ray prints its own troubles to standard output, which is for results.
    with closing(destination.open()) as sink, redirect_stdout(sys.stderr), _Interruption() as interruption:
        stderr.print("joining Ray …" if joins_cluster() else "starting Ray …", style="dim")
        lanes_bytes = settings.flow.bytes_per_worker * (workers or available_cpus())
        with ray_session(workers, lanes_bytes) as session, progress_on(stderr) as reporter:
            interruption.listen()
            lanes = session.lanes(workers)
            if workers is not None and lanes < workers:
                stderr.print(f"{lanes} workers instead of {workers}: the cluster has no more CPUs here.")
            summary = run_import(
                sources,
                work,
                sink,
                destination.url,
                lambda: RayExecutor(session, lanes, work, destination, sink),
                reporter,
            )
            interruption.ignore()
            return summary


def look_command(to: str) -> str:
    """A command that shows the newest chunk in destination `to`, with what this machine has."""
    path = parse_destination(to).path
    query = "SELECT content FROM conversation_chunks ORDER BY created_at DESC LIMIT 1"
    if shutil.which("sqlite3"):
        return f'sqlite3 {shlex.quote(str(path))} "{query}"'
    script = f"import sqlite3, sys; print(*next(sqlite3.connect(sys.argv[1]).execute('{query}')))"
    return f'{shlex.quote(sys.executable)} -c "{script}" {shlex.quote(str(path))}'


class _Interruption:
    """Ctrl-C, SIGTERM (`ray job stop`, a shutdown) and SIGHUP as one KeyboardInterrupt, and no second one.

    While the import is ended cleanly, and Ray goes down, nothing interrupts that.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __enter__(self) -> Self:
        self._before = [signal.getsignal(number) for number in self._SIGNALS]
        self.listen()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in zip(self._SIGNALS, self._before, strict=True):
            signal.signal(number, handler)
        if kind is KeyboardInterrupt:
            raise Interrupted("Interrupted before the import began.") from None

    def listen(self) -> None:
        """To be called again once Ray is up: `ray.init` sets a handler of its own."""
        for number in self._SIGNALS:
            signal.signal(number, self._interrupt)

    def ignore(self) -> None:
        """From here on there is nothing to interrupt."""
        for number in self._SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        self.ignore()
        raise KeyboardInterrupt
