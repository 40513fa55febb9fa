"""`ray-import run`: from options to a finished import."""

import shlex
import shutil
import signal
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

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
    from ray_import.cluster.session import ray_session  # noqa: PLC0415

    work = Work(of, settings)
    with closing(destination.open()) as sink, _interruptible():
        stderr.print("joining Ray …" if joins_cluster() else "starting Ray …", style="dim")
        with ray_session(workers) as session, progress_on(stderr) as reporter, _terminated_like_interrupted():
            lanes = session.lanes(workers)
            if workers is not None and lanes < workers:
                stderr.print(f"{lanes} workers instead of {workers}: the cluster has no more CPUs here.")
            return run_import(
                sources,
                work,
                sink,
                destination.url,
                lambda: RayExecutor(session, lanes, work, destination, sink),
                reporter,
            )


def look_command(to: str) -> str:
    """A command that shows the newest chunk in destination `to`, with what this machine has."""
    path = parse_destination(to).path
    query = "SELECT content FROM conversation_chunks ORDER BY created_at DESC LIMIT 1"
    if shutil.which("sqlite3"):
        return f'sqlite3 {shlex.quote(str(path))} "{query}"'
    script = f"import sqlite3, sys; print(*next(sqlite3.connect(sys.argv[1]).execute('{query}')))"
    return f'{shlex.quote(sys.executable)} -c "{script}" {shlex.quote(str(path))}'


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C while Ray is being started, when there is no import yet that could end with it."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("Interrupted before the import began.") from None


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM (`ray job stop`, a shutdown) ends an import as Ctrl-C does: cleanly.

    Only once Ray is up: `ray.init` sets a handler of its own.
    """

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
