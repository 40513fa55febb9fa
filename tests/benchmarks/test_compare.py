from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import results
from benchmarks.compare import Compared, as_objects, refuse_other_rows, table
from benchmarks.measured_peer import PeerRun
from benchmarks.plots import draw, series_of

OURS = PeerRun(
    json_bytes=10_000_000,
    whole_seconds=5.0,
    seconds=1.0,
    first_chunk_seconds=4.0,
    whole_cpu_seconds=9.0,
    cpu_seconds=2.0,
    peak_pss_bytes=600_000_000,
    rows="a",
)
TIGHT = replace(OURS, whole_seconds=3.0, seconds=2.0, cpu_seconds=1.0, peak_pss_bytes=60_000_000)
SLOW_ROUND = {"ours": replace(OURS, seconds=10.0), "tight": replace(TIGHT, seconds=20.0)}
QUICK_ROUND = {"ours": replace(OURS, seconds=0.5), "tight": TIGHT}
COMPARED = Compared(10, 2, ({"ours": OURS, "tight": TIGHT}, SLOW_ROUND, QUICK_ROUND))


def test_ratios_are_taken_within_rounds() -> None:
    assert COMPARED.middle("ours", lambda run: run.seconds) == 1.0
    assert COMPARED.middle("tight", lambda run: run.seconds) == 2.0
    assert COMPARED.ratio("tight", lambda run: run.seconds) == 2.0
    assert COMPARED.ratio("ours", lambda run: run.seconds) == 1.0


def test_other_rows_are_refused() -> None:
    refuse_other_rows({"ours": OURS, "tight": TIGHT})
    with pytest.raises(RuntimeError, match="rows of tight are"):
        refuse_other_rows({"ours": OURS, "tight": replace(TIGHT, rows="b")})


def test_the_table_has_a_column_for_each_peer() -> None:
    console = Console(file=StringIO(), width=130)
    console.print(table(COMPARED))
    assert isinstance(console.file, StringIO)
    lines = {
        cells[1].strip(): cells[2:4] for line in console.file.getvalue().splitlines() if (cells := line.split("│"))[1:]
    }
    assert [cell.strip() for cell in lines["MB/s"]] == ["10.0", "5.0"]
    assert [cell.strip() for cell in lines["CPU ms per MB"]] == ["200.0", "100.0"]
    assert [cell.strip() for cell in lines["peak memory"]] == ["1.00", "0.10"]


def test_figures_are_written_and_read_again(tmp_path: Path) -> None:
    results.write(tmp_path / "results.json", as_objects(COMPARED))
    ours, tight = results.read([tmp_path / "results.json"])
    assert (ours["label"], ours["megabytes_per_second"], ours["seconds_ratio"]) == ("ray_import", 10.0, 1.0)
    assert (tight["megabytes"], tight["workers"], tight["runs"], tight["pss_ratio"]) == (10, 2, 3, 0.1)
    assert [one["seconds"] for one in tight["rounds"]] == [2.0, 20.0, 2.0]


FIGURES = [
    {"label": label, "megabytes": size, "peak_pss_bytes": peak}
    for label, size, peak in (("a", 10, 5e6), ("a", 1, 3e6), ("once", 1, 1e6), ("a", 10, 4e6))
]


def test_a_line_has_its_sizes_in_order_and_the_last_of_each() -> None:
    assert series_of(FIGURES, "peak_pss_bytes", 1e6) == {"a": [(1, 3.0), (10, 4.0)]}


def test_a_plot_is_the_same_every_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("one.svg", "two.svg"):
        draw(tmp_path / name, series_of(FIGURES, "peak_pss_bytes", 1e6), "peak memory, MB", logarithmic=True)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert b"peak memory, MB" in (tmp_path / "one.svg").read_bytes()
