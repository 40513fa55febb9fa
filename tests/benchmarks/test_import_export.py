import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.generate import write_export
from benchmarks.import_report import Measured, as_object, middle
from benchmarks.measured_import import Measurement, measure_import

RUN = Measurement(
    json_bytes=2_000_000,
    conversations=60,
    rows_written=100,
    seconds=2.0,
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
    figures = as_object(Measured("x.json", 2, 1, RUN))
    assert figures["megabytes_per_second"] == 1.0
    assert figures["cpu_ms_per_megabyte"] == 1500.0
    assert figures["work_cpu_ms_per_megabyte"] == 1000.0
    assert figures["pss_above_idle_bytes"] == 100_000_000


@pytest.mark.ray
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_real_import_is_measured(tmp_path: Path) -> None:
    facts = write_export(tmp_path / "x.json", 2)
    measured = measure_import(tmp_path / "x.json", tmp_path / "chunks.db", workers=1)
    assert measured.json_bytes == pytest.approx(facts.bytes, abs=2)
    assert measured.conversations == facts.conversations
    assert measured.rows_written > 0
    assert 0 < measured.start_cpu_seconds < measured.cpu_seconds < 10
    assert 100e6 < measured.idle_pss_bytes < measured.peak_pss_bytes
    assert measured.spilled_bytes == measured.fallback_bytes == 0
    assert measured.again_rows_written == 0
