"""Progress as a person sees it: counts, speed and share, in lines that come now and then."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from ray_import.importing.progress import Progress
from ray_import.records import Counts
from ray_import.terminal.progress import BarReporter, LineReporter, described, progress_on


def at(seconds: float, *, total: int | None = 200_000_000) -> Progress:
    counts = Counts(seen=1234, rejected=2, chunks_written=5678)
    return Progress(50_000_000, total, seconds, counts)


def test_a_moment_is_told_in_counts_and_speed() -> None:
    assert described(at(2.0)) == "50.0 MB, 1,234 conversations, 5,678 chunks, 25 MB/s, 2 rejects"


def test_the_step_that_the_others_wait_for_is_told() -> None:
    told = described(replace(at(2.0), slowest="writing"))
    assert told == "50.0 MB, 1,234 conversations, 5,678 chunks, 25 MB/s, writing is slowest, 2 rejects"


def test_a_log_gets_a_line_every_five_seconds_and_no_more() -> None:
    out = io.StringIO()
    with progress_on(Console(file=out)) as reporter:
        assert isinstance(reporter, LineReporter)
        for tenths in range(121):
            reporter.show(at(tenths / 10))
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("importing 25 %: 50.0 MB, 1,234 conversations")


def test_where_the_size_is_not_known_no_share_is_claimed() -> None:
    out = io.StringIO()
    with progress_on(Console(file=out)) as reporter:
        reporter.show(at(6.0, total=None))
    assert "%" not in out.getvalue()


def test_a_terminal_gets_a_bar() -> None:
    out = io.StringIO()
    with progress_on(Console(file=out, force_terminal=True, width=120)) as reporter:
        assert isinstance(reporter, BarReporter)
        reporter.show(at(2.0))
    assert "25 %" in out.getvalue()
    assert "1,234 conversations" in out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_bar_keeps_percent_and_time_left_when_the_terminal_is_narrow(width: int) -> None:
    out = io.StringIO()
    with progress_on(Console(file=out, force_terminal=True, width=width, color_system=None)) as reporter:
        for seconds in (1.0, 2.0, 3.0):
            reporter.show(replace(at(seconds), bytes_read=int(25_000_000 * seconds), slowest="writing"))
    last = out.getvalue().split("\x1b[2K")[-1].splitlines()[0]
    assert re.search(r" 38 % (\d\d:\d\d|-:--) 75\.0 MB", last), last
    assert len(last) <= width


def test_the_bar_is_not_shown_when_nothing_is_read_yet() -> None:
    out = io.StringIO()
    with progress_on(Console(file=out, force_terminal=True, width=80)):
        pass
    assert out.getvalue() == ""


def test_the_bar_claims_no_share_when_the_size_is_not_known() -> None:
    out = io.StringIO()
    with progress_on(Console(file=out, force_terminal=True, width=100)) as reporter:
        reporter.show(at(2.0, total=None))
    assert "%" not in out.getvalue()
    assert "1,234 conversations" in out.getvalue()
