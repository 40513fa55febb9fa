import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.exports import Variant
from benchmarks.import_report import Case, Measured, as_object, middle, table
from benchmarks.measured_import import Measurement, measure_import
from tests.support.generate import write_export

RUN = Measurement(
    json_bytes=2_000_000,
    conversations=60,
    rejected=0,
    rows_written=100,
    ray_seconds=3.0,
    seconds=2.0,
    first_chunk_seconds=0.6,
    start_seconds=0.5,
    cpu_seconds=3.0,
    start_cpu_seconds=1.0,
    idle_pss_bytes=500_000_000,
    peak_pss_bytes=600_000_000,
    spilled_bytes=0,
    fallback_bytes=0,
    again_seconds=1.0,
    again_cpu_seconds=0.5,
    again_rows_written=0,
)


def test_the_median_is_taken_figure_by_figure() -> None:
    runs = [RUN, replace(RUN, seconds=9.0, cpu_seconds=2.0), replace(RUN, seconds=3.0, cpu_seconds=9.0)]
    assert middle(runs) == replace(RUN, seconds=3.0)


def test_derived_figures() -> None:
    figures = as_object(Measured(Case(Variant(2, exports=20), 2), 1, RUN))
    assert figures["name"] == "2 MB of JSON in 20 exports, 2 workers"
    assert figures["label"] == "ray_import, JSON in 20 exports, 2 workers"
    assert figures["megabytes_per_second"] == 1.0
    assert figures["cpu_ms_per_megabyte"] == 1500.0
    assert figures["work_cpu_ms_per_megabyte"] == 1000.0
    assert figures["pss_above_idle_bytes"] == 100_000_000


def test_columns_are_told_as_ratios_to_the_first() -> None:
    twice_as_fast = replace(RUN, seconds=1.0)
    cases = [Measured(Case(Variant(2), workers), 1, run) for workers, run in ((1, RUN), (2, twice_as_fast))]
    console = Console(file=StringIO(), width=130)
    console.print(table(cases))
    assert isinstance(console.file, StringIO)
    [ratios] = [line for line in console.file.getvalue().splitlines() if "x first column: MB/s" in line]
    assert [cell.strip() for cell in ratios.split("│")[2:4]] == ["1.00", "2.00"]


@pytest.mark.ray
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_real_import_is_measured(tmp_path: Path) -> None:
    facts = write_export(tmp_path / "x.json", 2)
    measured = measure_import([tmp_path / "x.json"], f"sqlite:///{tmp_path}/chunks.db", workers=1)
    assert measured.json_bytes == pytest.approx(facts.bytes, abs=2)
    assert measured.conversations == facts.conversations
    assert measured.rows_written > 0
    assert measured.start_seconds < measured.first_chunk_seconds < measured.seconds + 0.5
    assert measured.rejected == 0
    assert 0 < measured.start_cpu_seconds < measured.cpu_seconds < 10
    assert 100e6 < measured.idle_pss_bytes < measured.peak_pss_bytes
    assert measured.spilled_bytes == measured.fallback_bytes == 0
    assert measured.again_rows_written == 0
