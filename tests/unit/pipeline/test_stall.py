"""When a run counts as stalled, by a clock that the test moves."""

from collections import Counter
from dataclasses import replace

import pytest

from ray_import.pipeline.alerts import Stall
from ray_import.pipeline.progress import Progress
from tests.unit.pipeline.inline import Clock

AT = Progress(Counter(running=2, pending=3), 1_000, 10, 20, 0, 5.0, 2)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stall(clock: Clock) -> Stall:
    return Stall(600, clock)


def test_a_run_that_has_shown_nothing_stalls_as_well(stall: Stall, clock: Clock) -> None:
    clock.now += 599
    assert stall.look(None) is None
    clock.now += 1
    assert stall.look(None) == 600


def test_a_stall_is_told_once_and_the_next_one_again(stall: Stall, clock: Clock) -> None:
    told = []
    for progress in (AT, replace(AT, bytes_read=2_000)):
        for _ in range(30):
            told.append(stall.look(progress))
            clock.now += 100
    assert [seconds for seconds in told if seconds is not None] == [600, 600]


@pytest.mark.parametrize(
    "further",
    [
        replace(AT, bytes_read=1_001),
        replace(AT, conversations=11),
        replace(AT, bytes_read=500),  # a user is tried again
        *(replace(AT, states=Counter({"running": 1, "pending": 3, end: 1})) for end in (
            "complete", "partial", "failed", "skipped",
        )),
    ],
)  # fmt: skip
def test_whatever_gets_further_begins_the_time_anew(stall: Stall, clock: Clock, further: Progress) -> None:
    stall.look(AT)
    clock.now += 599
    assert stall.look(further) is None
    clock.now += 599
    assert stall.look(further) is None
    clock.now += 1
    assert stall.look(further) == 600


def test_time_and_users_that_begin_are_no_progress(stall: Stall, clock: Clock) -> None:
    stall.look(AT)
    clock.now += 600
    assert stall.look(replace(AT, seconds=605.0, active=5, states=Counter(running=5))) == 600
