"""The figures of several imports as a table for people, and as objects for `--json` and `--out`."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from statistics import median
from typing import Any

from rich.table import Table

from benchmarks import machine
from benchmarks.destinations import Kind
from benchmarks.exports import Variant
from benchmarks.measured_import import Measurement

MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class Case:
    """What is imported, by how many workers, and where to; `delay_seconds` is for Supabase."""

    variant: Variant
    workers: int
    to: Kind = "sqlite"
    delay_seconds: float = 0.0

    @property
    def name(self) -> str:
        """As its column is headed."""
        to = "" if self.to == "sqlite" else f", to {self.to}"
        late = f", {self.delay_seconds:g} s late" if self.delay_seconds else ""
        return f"{self.variant.name}, {self.workers} worker{'s' if self.workers > 1 else ''}{to}{late}"


@dataclass(frozen=True, slots=True)
class Measured:
    """One case: the median of its runs, figure by figure."""

    case: Case
    runs: int
    median: Measurement


def middle(runs: Sequence[Measurement]) -> Measurement:
    """The median of every figure by itself; `runs` are at least one."""
    figures = {field.name: [getattr(run, field.name) for run in runs] for field in fields(Measurement)}
    return Measurement(**{name: median(values) for name, values in figures.items()})


def as_object(one: Measured) -> dict[str, Any]:
    """What `--json` prints for it: all figures, in seconds and bytes, and those derived from them."""
    figures = one.median
    return {
        "name": one.case.name,
        "label": _label(one.case),
        **asdict(one.case.variant),
        "workers": one.case.workers,
        "runs": one.runs,
        **asdict(figures),
        "cpu_ms_per_megabyte": figures.cpu_ms_per_megabyte,
        "work_cpu_ms_per_megabyte": figures.work_cpu_ms_per_megabyte,
        "megabytes_per_second": figures.megabytes_per_second,
        "pss_above_idle_bytes": figures.pss_above_idle_bytes,
    }


def _label(case: Case) -> str:
    """What all sizes of a case have in common: the line in a plot."""
    return f"ray_import, {replace(case, variant=replace(case.variant, megabytes=0)).name.removeprefix('0 MB of ')}"


LINES: tuple[tuple[str, Callable[[Measurement], str]], ...] = (
    ("conversations", lambda m: f"{m.conversations:,.0f}"),
    ("  of which rejected", lambda m: f"{m.rejected:,.0f}"),
    ("rows written", lambda m: f"{m.rows_written:,.0f}"),
    ("seconds until Ray is up", lambda m: f"{m.ray_seconds:.2f}"),
    ("seconds, Ray being up", lambda m: f"{m.seconds:.2f}"),
    ("  of which to start the workers", lambda m: f"{m.start_seconds:.2f}"),
    ("  until the first chunk is in", lambda m: f"{m.first_chunk_seconds:.2f}".replace("nan", "")),
    ("MB/s", lambda m: f"{m.megabytes_per_second:.0f}"),
    ("CPU seconds", lambda m: f"{m.cpu_seconds:.2f}"),
    ("  of which to start the workers", lambda m: f"{m.start_cpu_seconds:.2f}"),
    ("CPU ms per MB", lambda m: f"{m.cpu_ms_per_megabyte:.2f}"),
    ("  without the workers' start", lambda m: f"{m.work_cpu_ms_per_megabyte:.2f}"),
    ("memory, Ray and idle workers, MB", lambda m: f"{m.idle_pss_bytes / MEGABYTE:.0f}"),
    ("peak above that, MB", lambda m: f"{m.pss_above_idle_bytes / MEGABYTE:.0f}"),
    ("peak of all processes, MB", lambda m: f"{m.peak_pss_bytes / MEGABYTE:.0f}"),
    ("spilled, MB", lambda m: f"{m.spilled_bytes / MEGABYTE:.0f}"),
    ("disk-backed fallback, MB", lambda m: f"{m.fallback_bytes / MEGABYTE:.0f}"),
    ("again: seconds", lambda m: f"{m.again_seconds:.2f}"),
    ("again: CPU seconds", lambda m: f"{m.again_cpu_seconds:.2f}"),
    ("again: rows written or deleted", lambda m: f"{m.again_rows_written:,.0f}"),
)


RATIOS: tuple[tuple[str, Callable[[Measurement], float]], ...] = (
    ("x first column: MB/s", lambda m: m.megabytes_per_second),
    ("x first column: CPU ms per MB", lambda m: m.cpu_ms_per_megabyte),
    ("x first column: peak above idle", lambda m: m.pss_above_idle_bytes),
)


def table(measured: Sequence[Measured]) -> Table:
    """One column per case; MB are 10^6 bytes, of JSON unless memory is meant."""
    drawn = Table(title=f"Import, median of {measured[0].runs}", caption=machine.in_a_line())
    drawn.add_column("", no_wrap=True)
    for one in measured:
        drawn.add_column(one.case.name, justify="right")
    for name, cell in LINES:
        drawn.add_row(name, *(cell(one.median) for one in measured))
    if any(one.case.variant.exports > 1 for one in measured):
        drawn.add_row("ms per export", *(f"{_ms_per_export(one):.1f}" for one in measured))
    if len(measured) > 1:
        for name, figure in RATIOS:
            first = figure(measured[0].median)
            drawn.add_row(name, *(f"{figure(one.median) / first:.2f}" for one in measured))
    return drawn


def _ms_per_export(one: Measured) -> float:
    return 1000 * one.median.seconds / one.case.variant.exports
