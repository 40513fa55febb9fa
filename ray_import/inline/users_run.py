"""A run over many users in this process: its readers and its worker, until the last user has ended."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ray_import.bulk.local_reading import LocalReaders
from ray_import.bulk.loop import Run
from ray_import.bulk.opened import OpenedRun
from ray_import.bulk.report import RunReport
from ray_import.importing.progress import AllOf, Reporter
from ray_import.inline.marks import Marks
from ray_import.inline.workers import InlineWorkers


def import_users(
    opened: OpenedRun, marks: Path | None, reporters: tuple[Reporter, ...], tell: Callable[[str], None]
) -> RunReport:
    """Imports all users that have not ended, one after the other. `marks` is the folder of `marks_folder`."""
    settings = opened.settings
    workers = InlineWorkers(opened.destination, opened.sink, settings.flow, Marks(marks), tell)
    with closing(workers):
        began = time.monotonic()
        run = Run(
            opened.users,
            opened.imports(LocalReaders(settings)),
            workers,
            opened.save,
            AllOf(reporters),
            1,
            silent_after_seconds=settings.read.pace.silent_after_seconds,
            known_bytes=opened.known_bytes(),
        )
        run.to_the_end()
        seconds = time.monotonic() - began
    return opened.report(run.users, run.bytes_read, seconds, workers.workers)
