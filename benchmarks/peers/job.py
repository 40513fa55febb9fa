"""What all peers share: the job, its phases, and the rules."""

import gc
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.phases import USER, pause
from ray_import.chunks.rows import ImportJob
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.pipeline.batch import BatchContext, import_batch
from ray_import.pipeline.batching import batches_of
from ray_import.records import RawConversation
from ray_import.settings import ImportSettings


@dataclass(frozen=True, slots=True)
class Job:
    """Import `export`, one JSON file, into the new file `database`."""

    export: Path
    database: Path
    workers: int


Phases = Iterator[None]
"""A peer gives twice: when it is ready to begin (its Ray is up, say), and when the last row is committed."""


class Rules:
    """Extraction, chunks, rows and their writing in this process, by the code of our own workers."""

    def __init__(self, job: Job) -> None:
        self._settings = ImportSettings()
        self._work = BatchContext(ImportJob("peer", USER, time.time()), self._settings)
        self._sink = SqliteSink(job.database)
        gc.freeze()  # as in our own workers: no collection in the middle of a batch
        gc.disable()

    def take(self, conversations: Iterable[RawConversation]) -> None:
        """Imports them, a transaction for each batch."""
        for batch in batches_of(conversations, self._settings.flow.batch_bytes):
            import_batch(batch.payload, batch.frames, self._work, self._sink)
            gc.collect()


def take_part(peer: Callable[[Job], Phases]) -> None:
    """The main program of a peer: `python -m benchmarks.peers.NAME EXPORT DATABASE WORKERS`, pausing twice."""
    export, database, workers = sys.argv[1:]
    phases = peer(Job(Path(export), Path(database), int(workers)))
    next(phases)
    pause("up")
    began = time.monotonic()
    next(phases)
    pause("done", seconds=time.monotonic() - began)
    next(phases, None)
