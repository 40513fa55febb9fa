"""What storing messages costs in SQLite: `python -m benchmarks.messages EXPORT --repeat 9`.

One process, no Ray. Imports with and without messages take turns, each in a fresh process and a new file, and ratios
are taken between neighbours. With `--before FOLDER`, a checkout of an earlier version imports in each round, too.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import orjson
from rich.console import Console
from rich.table import Table

MEGABYTE = 1e6
_IMPORT = """
import gc, json, sys, time
from pathlib import Path
from ray_import.settings import ImportSettings
export, database, messages = sys.argv[1:]
if messages == "before":  # the names of version 0.1
    from ray_import.chunks.rows import Import as ImportJob
    from ray_import.importing.batching import batches_of
    from ray_import.importing.sources import open_sources
    from ray_import.importing.work import Work as BatchContext, import_batch
    from ray_import.sink.sqlite import SqliteSink
else:
    from ray_import.chunks.rows import ImportJob
    from ray_import.destinations.sqlite.sink import SqliteSink
    from ray_import.pipeline.batch import BatchContext, import_batch
    from ray_import.pipeline.batching import batches_of
    from ray_import.pipeline.sources import open_sources
settings = ImportSettings() if messages == "before" else ImportSettings(messages=messages == "with")
work = BatchContext(ImportJob("benchmark", "somebody", 1_790_000_000.0), settings)
sink = SqliteSink(Path(database))
gc.freeze()
gc.disable()  # with a collection after each batch, as in a worker
wall, cpu = time.perf_counter(), time.process_time()
for batch in batches_of(open_sources([export], settings.read).conversations(), settings.flow.batch_bytes):
    number = [batch.number] if hasattr(batch, "number") else []  # earlier versions have one
    import_batch(batch.payload, *number, batch.frames, work, sink)
    gc.collect()
sink.close()
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu, Path(database).stat().st_size]))
"""
"""Runs in every version."""


@dataclass(frozen=True, slots=True)
class Run:
    """One import."""

    wall_seconds: float
    cpu_seconds: float
    file_bytes: int


def run(export: Path, how: str, tree: Path) -> Run:
    """Imports `export` with the code in `tree`: `with` messages, `without`, or as it was `before` there were any."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", _IMPORT, str(export), f"{folder}/chunks.db", how],
            cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)}, stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
    return Run(*orjson.loads(done.stdout))


def measure(export: Path, repeat: int, before: Path | None) -> list[dict[str, Run]]:
    """The runs of each round, by how they were made."""
    own = Path(__file__).parent.parent
    trees = {"without": own, "with": own} | ({} if before is None else {"before": before.absolute()})
    return [{how: run(export.absolute(), how, tree) for how, tree in trees.items()} for _ in range(repeat)]


def main() -> None:
    """Prints medians, and medians of the ratios within each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--before", type=Path, help="Folder of a checkout of an earlier version.")
    options = parser.parse_args()
    megabytes = options.export.stat().st_size / MEGABYTE
    rounds = measure(options.export, options.repeat, options.before)
    table = Table("", "ms wall per MB", "ms CPU per MB", "file, MB per MB")
    figures = [
        lambda one: 1000 * one.wall_seconds,
        lambda one: 1000 * one.cpu_seconds,
        lambda one: one.file_bytes / MEGABYTE,
    ]
    for how in rounds[0]:
        medians = [median(figure(one[how]) for one in rounds) / megabytes for figure in figures]
        table.add_row(how, *(f"{value:.2f}" for value in medians))
    for how, to in [("with", "without"), ("without", "before")]:
        if to in rounds[0]:
            ratios = [median(figure(one[how]) / figure(one[to]) for one in rounds) for figure in figures]
            table.add_row(f"{how} / {to}", *(f"{ratio:.2f}" for ratio in ratios))
    Console().print(table)


if __name__ == "__main__":
    main()
