"""Progress as a person sees it: of one user in counts, speed and share, of many in users as well."""

import io
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ray_import.cli.progress import (
    LINE_EVERY_SECONDS,
    SAY_AFTER_SECONDS,
    TICK_SECONDS,
    BarReporter,
    LineReporter,
    UserLines,
    UsersReporter,
    _bar_on,
    progress_on,
    users_progress_on,
)
from ray_import.cli.progress_text import clock_time, described, of_users, per_second
from ray_import.pipeline.progress import Progress, Rates
from tests.unit.pipeline.inline import Clock


def at(seconds: float, share: float | None = 0.25, **states: int) -> Progress:
    return Progress(Counter(states or {"running": 1}), 50_000_000, 1234, 5678, 2, seconds, active=3, bytes_share=share)


def of_users_at(*moments: Progress) -> str:
    """The line of the last moment."""
    rates = Rates()
    for moment in moments:
        rates.add(moment)
    return of_users(moments[-1], rates).line


def test_a_moment_is_told_in_counts_and_speed() -> None:
    assert described(at(2.0)) == "50.0 MB, 1,234 conversations, 5,678 chunks, 25 MB/s, 2 rejects"


def test_the_step_that_the_others_wait_for_is_told() -> None:
    told = described(replace(at(2.0), bottleneck="writing"))
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
        reporter.show(at(6.0, share=None))
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
            read = int(25_000_000 * seconds)
            reporter.show(replace(at(seconds, share=read / 2e8), bytes_read=read, bottleneck="writing"))
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
        reporter.show(at(2.0, share=None))
    assert "%" not in out.getvalue()
    assert "1,234 conversations" in out.getvalue()


def test_of_users_counts_users_and_bytes_when_both_are_known() -> None:
    states = {"complete": 1000, "pending": 197, "partial": 1, "failed": 2, "skipped": 34}
    assert of_users_at(at(2.0, share=0.5, **states)) == (
        "importing 84 % of users, 50 % of bytes: 1,037 of 1,234 users, 1 partial, 2 failed, 34 skipped, 3 active,"
        " 50.0 MB, 1,234 conversations, 5,678 chunks, 25 MB/s, 2 rejects"
    )


def test_of_users_shows_users_alone_when_a_size_is_unknown() -> None:
    assert of_users_at(at(2.0, share=None, pending=7)).startswith(
        "importing 0 % of users: 0 of 7 users, 3 active, 50.0"
    )
    assert of_users_at(at(0.0, share=None)).startswith("importing 0 % of users: 0 of 1 users, ")


def test_of_users_gives_users_per_second_and_slow_sources_when_there_are_any() -> None:
    later = replace(at(12.0, complete=5, pending=5), slow=2)
    assert ": 5 of 10 users, 0.5 users/s, 3 active, 2 with slow sources, " in of_users_at(at(2.0, pending=10), later)


def test_of_users_says_so_when_nothing_changes_for_ten_seconds() -> None:
    first = at(1.0, pending=10)
    assert "no progress" not in of_users_at(first, replace(first, seconds=10.9))
    assert "3 active, no progress for 10 s, 50.0 MB" in of_users_at(first, replace(first, seconds=11.0))
    moved = replace(first, seconds=30.0, conversations=1235)
    assert "no progress" not in of_users_at(first, moved)
    ended = at(1.0, complete=10)
    assert "no progress" not in of_users_at(ended, replace(ended, seconds=60.0))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-:--"), (0.0, "00:00"), (0.2, "00:01"), (83, "01:23"), (3599.5, "1:00:00"), (90_000, "25:00:00")],
)
def test_clock_time_is_minutes_and_seconds_and_hours_when_there_are_any(seconds: float | None, text: str) -> None:
    assert clock_time(seconds) == text


@pytest.mark.parametrize(("rate", "text"), [(0.0123, "0.012"), (1.24, "1.2"), (9.7, "10"), (1234.5, "1,234")])
def test_per_second_has_two_digits_when_the_rate_is_small(rate: float, text: str) -> None:
    assert per_second(rate) == text


class Run:
    """A run over many users on a console of the tests, by a clock that the test moves."""

    def __init__(self, *, width: int | None = None) -> None:
        self.out = io.StringIO()
        self.clock = Clock()
        console = Console(
            file=self.out, force_terminal=width is not None, width=width or 40, color_system=None, markup=False
        )
        self.display = UserLines(console) if width is None else BarReporter(_bar_on(console), of_users)
        self.reporter = UsersReporter(self.display, self.clock)
        self.said_at: list[float] = []
        """When each line was there."""

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK_SECONDS)):
            self.clock.now += TICK_SECONDS
            self.reporter.tick()
            self.said_at += [self.clock.now - 1000.0] * (len(self.lines) - len(self.said_at))

    @property
    def lines(self) -> list[str]:
        return self.out.getvalue().splitlines()

    @property
    def bar(self) -> str:
        """The bar as it is now."""
        self.out.truncate(0)
        self.display._bar.refresh()  # type: ignore[union-attr]
        return self.out.getvalue().split("\x1b[2K")[-1].strip()


def test_a_log_says_what_a_run_waits_for_when_it_takes_long() -> None:
    run = Run()
    run.reporter.waits_for("connecting to the destination")
    run.pass_time(0.5)
    assert run.lines == []
    run.reporter.waits_for("listing supabase://exports/[users]")
    run.pass_time(11.5)
    run.reporter.waits_for("starting Ray", say_after_seconds=0)
    assert run.lines == [
        "listing supabase://exports/[users] …",
        "listing supabase://exports/[users] … 5 s",
        "listing supabase://exports/[users] … 10 s",
        "starting Ray …",
    ]


@given(st.lists(st.floats(0, 20), min_size=1, max_size=6))
def test_a_log_has_a_line_within_a_second_and_then_every_five_when_a_run_waits(phases: list[float]) -> None:
    run = Run()
    for number, seconds in enumerate(phases):
        run.reporter.waits_for(f"phase {number}")
        run.pass_time(seconds)
    ends_at = run.clock.now - 1000.0
    moments = [0.0, *run.said_at, ends_at]
    silences = [after - before for before, after in pairwise(moments)]
    assert silences[0] <= SAY_AFTER_SECONDS + TICK_SECONDS
    assert max(silences) <= LINE_EVERY_SECONDS + TICK_SECONDS
    assert len(run.lines) <= 1 + ends_at / SAY_AFTER_SECONDS


def test_a_log_has_a_line_when_a_run_begins_and_every_five_seconds_when_it_shows_nothing_more() -> None:
    run = Run()
    run.reporter.show(at(0.2, pending=7))
    assert len(run.lines) == 1
    run.pass_time(12)
    assert [line.split(", 50.0 MB")[0] for line in run.lines] == [
        "importing 0 % of users, 25 % of bytes: 0 of 7 users, 3 active",
        "importing 0 % of users, 25 % of bytes: 0 of 7 users, 3 active",
        "importing 0 % of users, 25 % of bytes: 0 of 7 users, 3 active, no progress for 10 s",
    ]


def test_a_log_has_a_line_every_five_seconds_and_no_more_when_a_run_gets_further() -> None:
    run = Run()
    for tenths in range(2, 122):
        run.reporter.show(at(tenths / 10, share=tenths / 1200, complete=tenths // 12, pending=100 - tenths // 12))
        run.clock.now += 0.1
    assert len(run.lines) == 3
    assert run.lines[2].startswith(
        "importing 8 % of users, 8 % of bytes, 01:50 left: 8 of 100 users, 0.8 users/s, 3 active, 50.0 MB"
    )


def test_a_terminal_shows_a_bar_when_a_run_waits_and_the_same_one_when_it_imports() -> None:
    run = Run(width=160)
    run.reporter.waits_for("listing supabase://[x]")
    assert re.fullmatch(r"listing supabase://\[x\] … ━+ +0 s", run.bar)
    run.pass_time(7)
    assert re.fullmatch(r"listing supabase://\[x\] … ━+ +7 s", run.bar)
    for seconds, share in ((1.0, 0.25), (3.0, 0.5)):
        run.reporter.show(at(seconds, share=share, complete=3, pending=4))
    assert re.fullmatch(r"importing ━+ +43 % of users, 50 % of bytes 00:04 3 of 7 users, 3 active, .*", run.bar)
    run.pass_time(30)
    assert "3 active, no progress for 32 s" in run.bar
    run.display.close()


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_bar_of_a_run_keeps_the_percents_when_the_terminal_is_narrow(width: int) -> None:
    run = Run(width=width)
    for seconds, share in ((1.0, 0.25), (3.0, 0.5)):
        run.reporter.show(at(seconds, share=share, complete=3, pending=4))
    assert len(run.bar) <= width
    assert "43 % of users, 50 % of bytes 00:04" in run.bar
    run.display.close()


def test_the_bar_of_a_run_leaves_nothing_when_it_ends_before_an_import() -> None:
    out = io.StringIO()
    with users_progress_on(Console(file=out, force_terminal=True, width=80)) as reporter:
        reporter.waits_for("reading the list of users")
    assert "reading the list" in out.getvalue()
    assert out.getvalue().endswith("\x1b[1A\x1b[2K"), out.getvalue()


def test_a_log_of_a_run_gets_lines_when_it_is_not_a_terminal() -> None:
    out = io.StringIO()
    with users_progress_on(Console(file=out, width=40)) as reporter:
        reporter.waits_for("starting Ray", say_after_seconds=0)
        reporter.show(at(0.2, complete=3, pending=4))
    assert out.getvalue().splitlines()[0] == "starting Ray …"
    assert "43 % of users" in out.getvalue()
