"""A run over many users in this process: one user after the other, without Ray."""

import time
from collections.abc import Callable
from contextlib import closing

from ray_import.bulk.local_reading import LocalReaders
from ray_import.bulk.loop import Run
from ray_import.bulk.opened import OpenedRun
from ray_import.bulk.report import RunReport
from ray_import.importing.progress import Reporter
from ray_import.inline.marks import Marks
from ray_import.inline.workers import InlineWorkers


def import_users(opened: OpenedRun, marks: Marks, reporter: Reporter, tell: Callable[[str], None]) -> RunReport:
    """Imports all users that have not ended. Raises SinkError and its kinds where the destination fails all of them."""
    settings = opened.settings
    imports = opened.imports(LocalReaders(settings))
    began = time.monotonic()
    with closing(InlineWorkers(opened.destination, opened.sink, settings.flow, marks, tell)) as workers:
        run = Run(
            opened.users, imports, workers, opened.save, reporter, most_active=1, known_bytes=opened.known_bytes()
        )
        run.to_the_end()
    return opened.report(run.users, run.bytes_read, time.monotonic() - began, workers.workers)
