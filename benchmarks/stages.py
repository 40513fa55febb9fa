"""What each step of an import costs, in CPU milliseconds per MB of JSON: `python -m benchmarks.stages EXPORT`.

One process, no Ray. Batch by batch, as a worker gets them, each step is done alone on what the step before has made.
The last line is the worker's own code doing all of it.
"""

import argparse
import gc
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from ray_import.chatgpt.decode import decode
from ray_import.chatgpt.extract import content_hash, extract
from ray_import.chunks.chunker import chunk_conversation
from ray_import.chunks.rows import ImportJob, rows_of
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.pipeline.batch import BatchContext, import_batch
from ray_import.pipeline.batching import batches_of
from ray_import.pipeline.sources import open_sources
from ray_import.records import Batch, Conversation
from ray_import.settings import ImportSettings

OF = ImportJob("benchmark", "somebody", 1_790_000_000.0)
SETTINGS = ImportSettings()
Made = TypeVar("Made")


class Stopwatch:
    """CPU seconds by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, step: str, work: Callable[[], Made]) -> Made:
        """Does `work`, adding its CPU time to `step`."""
        began = time.process_time()
        made = work()
        self.seconds[step] = self.seconds.get(step, 0.0) + time.process_time() - began
        return made


def step_by_step(batch: Batch, sink: SqliteSink, watch: Stopwatch) -> None:
    """All steps of a batch, each on the whole of it."""
    raws = [batch.payload[frame.start : frame.start + frame.length] for frame in batch.frames]
    hashes = watch.timed("hash", lambda: [content_hash(raw) for raw in raws])
    watch.timed("look up", lambda: sink.known(OF.user_id, SETTINGS.rows_hash, hashes))
    watch.timed("(orjson builds all)", lambda: [decode(raw) for raw in raws])
    found = watch.timed("extract", lambda: [extract(raw) for raw in raws])
    conversations = [one for one in found if isinstance(one, Conversation)]
    chunks = watch.timed("chunk", lambda: [list(chunk_conversation(c, SETTINGS.chunks)) for c in conversations])
    triples = list(zip(conversations, hashes, chunks, strict=True))
    rows = watch.timed("rows", lambda: [rows_of(*triple, OF) for triple in triples])
    watch.timed("write", lambda: sink.write(OF, SETTINGS.rows_hash, rows, []))


def measure(export: Path, folder: Path) -> tuple[dict[str, float], float]:
    """CPU seconds by step, and the megabytes of JSON."""
    watch = Stopwatch()
    sources = open_sources([export], SETTINGS.read)
    batches = batches_of(sources.conversations(), SETTINGS.flow.batch_bytes)
    payload_bytes = 0
    gc.disable()
    with closing(SqliteSink(folder / "steps.db")) as steps, closing(SqliteSink(folder / "whole.db")) as whole:
        work = BatchContext(OF, SETTINGS)
        while (batch := watch.timed("read, cut, batch", lambda: next(batches, None))) is not None:
            payload_bytes += len(batch.payload)
            step_by_step(batch, steps, watch)
            args = (batch.payload, batch.frames, work, whole)
            watch.timed("(a worker, all in all)", lambda args=args: import_batch(*args))  # type: ignore[misc]
            gc.collect(0)
    return watch.seconds, payload_bytes / 1e6


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path)
    with tempfile.TemporaryDirectory() as folder:
        seconds, megabytes = measure(parser.parse_args().export, Path(folder))
    table = Table("step", "ms per MB")
    for step, spent in seconds.items():
        table.add_row(step, f"{1000 * spent / megabytes:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
