"""What the destinations cost: `python -m benchmarks.sinks --mb 60 --repeat 5`. Linux only.

The rows of a made-up export are made first; then the sinks alone are measured, by one client, in batches as a worker
has them: all of it new, once more (all known), and again as newer copies, which replace what is there. The sinks take
turns; medians are printed. The Postgres is the tests' (a small one, without fsync). "function" calls the function that
Supabase's REST interface calls, with the same JSON, by psycopg: no gateway can do better. "Supabase" is the official
client and the tests' stand-in, which is Python and not PostgREST: see the row of the gateway's own CPU.
"""

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.process_tree import ProcessTree
from benchmarks.sink_cases import Cases, Opened
from ray_import.chatgpt.extract import content_hash, extract
from ray_import.chunks.chunker import chunk_conversation
from ray_import.chunks.rows import ChunkRow, ConversationRows, ImportJob, iso_time, rows_of
from ray_import.destinations.base import Sink
from ray_import.pipeline.batching import batches_of
from ray_import.pipeline.sources import open_sources
from ray_import.records import Conversation
from ray_import.settings import ImportSettings
from tests.support.generate import write_export

USER = "bench"
SETTINGS = ImportSettings()
FIRST, LATER = ImportJob("first", USER, 1_790_000_000.0), ImportJob("later", USER, 1_790_100_000.0)
NEWER = iso_time(1_800_000_000.0)
PHASES = ("first", "again", "newer")
REFERENCE = "Postgres"

Batch = list[ConversationRows]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one phase took; CPU seconds of this process, of the database's and of the gateway's."""

    seconds: float
    client: float
    database: float
    gateway: float


def made_batches(megabytes: float) -> list[Batch]:
    """The rows of a made-up export, in batches as workers get them."""
    with tempfile.TemporaryDirectory() as folder:
        export = Path(folder) / "export.json"
        write_export(export, megabytes)
        raws = batches_of(open_sources([export], SETTINGS.read).conversations(), SETTINGS.flow.batch_bytes)
        return [_rows(batch.payload[one.start : one.start + one.length] for one in batch.frames) for batch in raws]


def _rows(raws: Iterable[bytes]) -> Batch:
    found = ((extract(raw), content_hash(raw)) for raw in raws)
    return [
        rows_of(one, raw_hash, list(chunk_conversation(one, SETTINGS.chunks)), FIRST)
        for one, raw_hash in found
        if isinstance(one, Conversation)
    ]


def newer(rows: ConversationRows) -> ConversationRows:
    """The same conversation as a later export has it."""
    chunks = tuple(chunk._replace(import_id=LATER.id) for chunk in rows.chunks)
    messages = tuple(message._replace(import_id=LATER.id) for message in rows.messages)
    return dataclasses.replace(
        rows, content_hash=f"{rows.content_hash}-2", update_time=NEWER, chunks=chunks, messages=messages
    )


def put_in(sink: Sink, job: ImportJob, batches: Sequence[Batch]) -> int:
    """As a worker does it: asks for what is known, and writes the rest; gives the rows that were written."""
    written = 0
    for batch in batches:
        known = sink.known(USER, SETTINGS.rows_hash, [rows.content_hash for rows in batch])
        rest = [rows for rows in batch if rows.content_hash not in known]
        if rest:
            written += sum(one.written for one in sink.write(job, SETTINGS.rows_hash, rest, []))
    return written


def measured(opened: Opened, work: Callable[[], int], expected: int) -> Cost:
    """Does it, and looks at the clocks before and after."""
    before = _clocks(opened)
    written = work()
    after = _clocks(opened)
    if written != expected:
        raise RuntimeError(f"{written} rows were written instead of {expected}.")
    return Cost(*(late - early for early, late in zip(before, after, strict=True)))


def _clocks(opened: Opened) -> tuple[float, float, float, float]:
    return time.perf_counter(), time.process_time(), _cpu(opened.database), _cpu(opened.gateway)


def _cpu(tree: ProcessTree | None) -> float:
    return tree.read().cpu_seconds if tree else 0.0


def measure(cases: Cases, name: str, batches: Sequence[Batch], newer_batches: Sequence[Batch]) -> dict[str, Cost]:
    """All phases on a new destination of that name."""
    rows = sum(len(one.chunks) for batch in batches for one in batch)
    with cases.opened(name) as opened:
        return {
            "first": measured(opened, lambda: put_in(opened.sink, FIRST, batches), rows),
            "again": measured(opened, lambda: put_in(opened.sink, LATER, batches), 0),
            "newer": measured(opened, lambda: put_in(opened.sink, LATER, newer_batches), rows),
        }


def middle(costs: Sequence[Cost]) -> Cost:
    """The median of each figure by itself."""
    return Cost(*(median(getattr(cost, field.name) for cost in costs) for field in dataclasses.fields(Cost)))


@dataclass(frozen=True, slots=True)
class Size:
    """What was written."""

    conversations: int
    rows: int
    text: float

    @classmethod
    def of(cls, batches: Sequence[Batch]) -> "Size":
        """Text is that of the contents, in MB of UTF-8."""
        chunks: list[ChunkRow] = [chunk for batch in batches for rows in batch for chunk in rows.chunks]
        text = sum(len(chunk.content.encode()) for chunk in chunks) / 1e6
        return cls(sum(map(len, batches)), len(chunks), text)


def table(phase: str, costs: dict[str, Cost], size: Size) -> Table:
    """One phase: a column for each sink."""
    what = f"{size.conversations:,} conversations, {size.rows:,} rows, {size.text:.1f} MB of text"
    drawn = Table(title=f"{phase}: {what}")
    drawn.add_column("")
    for name in costs:
        drawn.add_column(name, justify="right")

    def line(name: str, figure: Callable[[Cost], float], form: str = ",.1f") -> None:
        drawn.add_row(name, *(f"{figure(cost):{form}}" for cost in costs.values()))

    def share(part: float, whole: float) -> float:
        return 100 * part / whole

    line("rows/s", lambda c: size.rows / c.seconds, ",.0f")
    line("MB of text/s", lambda c: size.text / c.seconds)
    line("client, CPU ms per MB of text", lambda c: 1e3 * c.client / size.text)
    line("gateway, CPU ms per MB of text", lambda c: 1e3 * c.gateway / size.text)
    line("database, CPU ms per MB of text", lambda c: 1e3 * c.database / size.text)
    line("database's share of all CPU, %", lambda c: share(c.database, c.client + c.gateway + c.database), ".0f")
    line("database's CPU in % of the time", lambda c: share(c.database, c.seconds), ".0f")
    if reference := costs.get(REFERENCE):
        line(f"rows/s, {REFERENCE} being 1", lambda c: reference.seconds / c.seconds, ".2f")
        line(f"{REFERENCE} is so many times as fast", lambda c: c.seconds / reference.seconds, ".2f")
    return drawn


def main() -> None:
    """Prints a table for each phase."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=float, default=60, help="megabytes of JSON")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--already", type=int, default=0, help="conversations of the user that are in at first")
    parser.add_argument("--only", nargs="+", choices=Cases.NAMES, default=Cases.NAMES)
    options = parser.parse_args()
    batches = made_batches(options.mb)
    newer_batches = [[newer(rows) for rows in batch] for batch in batches]
    runs: dict[str, list[dict[str, Cost]]] = {name: [] for name in options.only}
    with Cases(options.already) as cases:
        for _ in range(options.repeat):
            for name in options.only:
                runs[name].append(measure(cases, name, batches, newer_batches))
    console = Console(width=110)
    for phase in PHASES:
        costs = {name: middle([run[phase] for run in of_case]) for name, of_case in runs.items()}
        console.print(table(phase, costs, Size.of(batches)))
    console.print(f"Medians of {options.repeat}. {machine.in_a_line()}", highlight=False)
    console.print('"Supabase" is a stand-in in Python, not PostgREST; "function" is the most that a gateway can reach.')


if __name__ == "__main__":
    main()
