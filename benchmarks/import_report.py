"""The figures of several imports as a table for people and as objects for `--json`."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import median
from typing import Any

from rich.table import Table

from benchmarks.measured_import import Measurement

MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class Measured:
    """One export: the median of its runs, figure by figure."""

    name: str
    workers: int
    runs: int
    median: Measurement


def middle(runs: Sequence[Measurement]) -> Measurement:
    """The median of every figure by itself; `runs` are at least one."""
    figures = {field.name: [getattr(run, field.name) for run in runs] for field in fields(Measurement)}
    return Measurement(**{name: median(values) for name, values in figures.items()})


def as_object(export: Measured) -> dict[str, Any]:
    """What `--json` prints for it: all figures, in seconds and bytes, and those derived from them."""
    figures = export.median
    return {
        "name": export.name,
        "workers": export.workers,
        "runs": export.runs,
        **asdict(figures),
        "cpu_ms_per_megabyte": figures.cpu_ms_per_megabyte,
        "work_cpu_ms_per_megabyte": figures.work_cpu_ms_per_megabyte,
        "megabytes_per_second": figures.megabytes_per_second,
        "pss_above_idle_bytes": figures.pss_above_idle_bytes,
    }


LINES: tuple[tuple[str, Callable[[Measurement], str]], ...] = (
    ("conversations", lambda m: f"{m.conversations:,.0f}"),
    ("rows written", lambda m: f"{m.rows_written:,.0f}"),
    ("seconds, Ray being up", lambda m: f"{m.seconds:.2f}"),
    ("  of which to start the workers", lambda m: f"{m.start_seconds:.2f}"),
    ("MB/s", lambda m: f"{m.megabytes_per_second:.0f}"),
    ("CPU seconds", lambda m: f"{m.cpu_seconds:.2f}"),
    ("  of which to start the workers", lambda m: f"{m.start_cpu_seconds:.2f}"),
    ("CPU ms per MB", lambda m: f"{m.cpu_ms_per_megabyte:.2f}"),
    ("  without the workers' start", lambda m: f"{m.work_cpu_ms_per_megabyte:.2f}"),
    ("memory, Ray and idle workers, MB", lambda m: f"{m.idle_pss_bytes / MEGABYTE:.0f}"),
    ("peak above that, MB", lambda m: f"{m.pss_above_idle_bytes / MEGABYTE:.0f}"),
    ("spilled, MB", lambda m: f"{m.spilled_bytes / MEGABYTE:.0f}"),
    ("disk-backed fallback, MB", lambda m: f"{m.fallback_bytes / MEGABYTE:.0f}"),
    ("again: seconds", lambda m: f"{m.again_seconds:.2f}"),
    ("again: CPU seconds", lambda m: f"{m.again_cpu_seconds:.2f}"),
    ("again: rows written or deleted", lambda m: f"{m.again_rows_written:,.0f}"),
)


def table(measured: Sequence[Measured]) -> Table:
    """One column per export; MB are 10^6 bytes, of JSON unless memory is meant."""
    drawn = Table(title=f"Import into SQLite, {measured[0].workers} workers, median of {measured[0].runs}")
    drawn.add_column("")
    for export in measured:
        drawn.add_column(export.name, justify="right")
    for name, cell in LINES:
        drawn.add_row(name, *(cell(export.median) for export in measured))
    return drawn
