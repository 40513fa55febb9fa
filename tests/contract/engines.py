"""Both engines over any destination, in this process: the import of one user, and a run over many."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray_import.chunks.rows import ImportJob
from ray_import.destinations.base import RunKey, RunUser, Sink
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.bulk_run import UserImportFactory
from ray_import.pipeline.engine import Run
from ray_import.pipeline.lease import begin_run, lost, this_process
from ray_import.pipeline.one_user import import_user
from ray_import.pipeline.progress import NoReporter
from ray_import.pipeline.report import Summary
from ray_import.pipeline.sources import open_sources
from ray_import.pipeline.users import UserSource
from ray_import.settings import ImportOptions, ImportSettings
from tests.support.in_process import InProcessWorkers
from tests.unit.pipeline.inline import Clock, Dials, InlineReaders, InlineWorkers, Shown

STARTED_AT = 1_790_000_000.0


def imported(export: Path, sink: Sink, settings: ImportSettings, import_id: str = "import-1") -> Summary:
    """What `ray-import run` does for the user `ana`."""
    work = BatchContext(ImportJob(import_id, "ana", STARTED_AT), settings)
    source = open_sources([export], settings.read)
    return import_user(source, work, sink, "x", lambda: InProcessWorkers(sink), NoReporter())


def reimported(
    exports: dict[str, Path],
    sink: Any,
    settings: ImportSettings,
    run_id: str = "run-1",
    options: ImportOptions = ImportOptions(),  # noqa: B008 - it is frozen
) -> list[RunUser]:
    """What `ray-import reimport` does for these users; gives them as the destination has them."""
    begin_run(sink, run_id, RunKey("users.jsonl", settings.rows_hash))
    users = sink.add_users(run_id, [RunUser(user_id, str(path)) for user_id, path in exports.items()])
    dials, clock = Dials(), Clock()
    readers = InlineReaders(settings, dials, {str(path): user_id for user_id, path in exports.items()}, clock)
    workers = InlineWorkers(sink, clock, dials, room=2, tick_seconds=0.01, budget_bytes=1024 * 1024)
    named = {user_id: UserSource(user_id, str(path)) for user_id, path in exports.items()}
    imports = UserImportFactory(readers, sink, settings, named, sink.versions(settings.rows_hash), options)

    def save(some: Sequence[RunUser]) -> None:
        if not sink.save_users(run_id, this_process(), some):
            raise lost()

    Run(users, imports, workers, save, Shown(), most_active=2, clock=clock).to_the_end()
    sink.complete_run(run_id, this_process())
    saved: list[RunUser] = sink.run_users(run_id)
    return saved
