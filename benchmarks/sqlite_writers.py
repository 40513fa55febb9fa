"""Each worker writes for itself, or one writes for all? `python -m benchmarks.sqlite_writers`.

Writes the same batches of rows into one SQLite file by 1, 2, 4 and 8 processes at the same time, and prints the rows
per second of all of them together and how long one batch took, waiting for its turn included. The row with
one process is what one writer for all could do at best, before any row has travelled to it.
"""

import argparse
import multiprocessing
import tempfile
import time
from contextlib import closing
from multiprocessing.pool import Pool
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from ray_import.chunks.rows import PRODUCT, ChunkRow, ConversationRows, ImportJob
from ray_import.destinations.sqlite.sink import SqliteSink

CHUNK_BYTES = 6000
CONVERSATIONS_PER_BATCH = 30
CHUNKS_PER_CONVERSATION = 2


def conversation(number: int, words: str) -> ConversationRows:
    """A conversation of two chunks, about what 34 KB of JSON become."""
    name = f"conversation-{number}"
    chunks = tuple(
        ChunkRow(
            f"{name}-{i}",
            "bench",
            PRODUCT,
            name,
            "main",
            name,
            words,
            "medium",
            i,
            2,
            len(words) // 4,
            4,
            "[]",
            "[]",
            None,
            False,
            "b",
        )
        for i in range(CHUNKS_PER_CONVERSATION)
    )
    return ConversationRows(name, PRODUCT, name, name, None, None, 9, 8, chunks)


def write_batches(job: tuple[Path, range]) -> list[float]:
    """Writes the batches with these numbers; the seconds that each took."""
    path, numbers = job
    words = ("some words of a chat, " * (CHUNK_BYTES // 22 + 1))[:CHUNK_BYTES]
    took = []
    with closing(SqliteSink(path, create=False)) as sink:
        for number in numbers:
            first = number * CONVERSATIONS_PER_BATCH
            rows = [conversation(i, words) for i in range(first, first + CONVERSATIONS_PER_BATCH)]
            began = time.perf_counter()
            sink.write(ImportJob("b", "bench", 0.0), "settings", rows, [])
            took.append(time.perf_counter() - began)
    return took


def measure(processes: int, batches: int, folder: Path) -> tuple[float, list[float]]:
    """The seconds of the whole, and those of each batch."""
    path = folder / f"{processes}.db"
    SqliteSink(path).close()
    share = batches // processes
    jobs = [(path, range(i * share, (i + 1) * share)) for i in range(processes)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(abs, range(processes))  # all of them are up
        return _timed(pool, jobs)


def _timed(pool: Pool, jobs: list[tuple[Path, range]]) -> tuple[float, list[float]]:
    began = time.perf_counter()
    took = pool.map(write_batches, jobs, chunksize=1)
    return time.perf_counter() - began, [seconds for each in took for seconds in each]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=800)
    batches = parser.parse_args().batches
    table = Table("writers", "rows/s", "MB of text/s", "batch: median ms", "99 % ms", "longest ms")
    for processes in (1, 2, 4, 8):
        with tempfile.TemporaryDirectory() as folder:
            seconds, took = measure(processes, batches, Path(folder))
        rows = len(took) * CONVERSATIONS_PER_BATCH * CHUNKS_PER_CONVERSATION
        took.sort()
        table.add_row(
            str(processes),
            f"{rows / seconds:,.0f}",
            f"{rows * CHUNK_BYTES / seconds / 1e6:,.0f}",
            *(f"{1e3 * value:,.1f}" for value in (median(took), took[int(len(took) * 0.99)], took[-1])),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
