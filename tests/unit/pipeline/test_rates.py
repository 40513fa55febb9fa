"""How fast an import is, and how long it will take, by progress that the test makes up."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.pipeline.progress import WINDOW_SECONDS, Progress, Rate, Rates, percent


def at(seconds: float, ended: int, share: float | None = None, users: int = 1_000) -> Progress:
    states = Counter(complete=ended, pending=users - ended)
    return Progress(states, 0, 0, 0, 0, seconds, bytes_share=share)


def rates_of(*moments: Progress) -> Rates:
    rates = Rates()
    for moment in moments:
        rates.add(moment)
    return rates


@given(
    rate=st.floats(0.001, 1e6),
    start=st.floats(0, 1e9),
    steps=st.lists(st.floats(0.01, 30), min_size=1, max_size=300),
)
def test_rate_is_exact_when_the_amount_grows_evenly(rate: float, start: float, steps: list[float]) -> None:
    growing, seconds = Rate(), 0.0
    growing.add(seconds, start)
    for step in steps:
        seconds += step
        growing.add(seconds, start + rate * seconds)
    assert growing.per_second == pytest.approx(rate, rel=1e-3, abs=1e-5 * max(1.0, start / 1e4))
    assert len(growing._samples) <= WINDOW_SECONDS + 2


def test_rate_forgets_a_burst_when_it_is_older_than_the_window() -> None:
    rate = Rate()
    rate.add(0.0, 0)
    rate.add(2.0, 2_000)
    for seconds in range(3, 100):
        rate.add(float(seconds), 2_000 + seconds)
    assert rate.per_second == pytest.approx(1.0)


def test_rate_is_that_of_all_the_time_when_nothing_happened_in_the_window() -> None:
    rate = Rate()
    rate.add(0.0, 0)
    rate.add(10.0, 10)
    for seconds in range(11, 101):
        rate.add(float(seconds), 10)
    assert rate.per_second == pytest.approx(0.1)


@pytest.mark.parametrize(
    "moments", [[], [at(1.0, 0)], [at(1.0, 7)], [at(1.0, 7), at(9.0, 7)], [at(1.0, 5), at(1.0, 7)]]
)
def test_rates_claim_nothing_when_nothing_was_done_yet(moments: list[Progress]) -> None:
    rates = rates_of(*moments)
    assert (rates.users_per_second, rates.seconds_left) == (None, None)


def test_rates_count_only_what_this_run_did_when_it_resumes() -> None:
    rates = rates_of(at(0.2, 900), at(10.2, 910))
    assert rates.users_per_second == pytest.approx(1.0)
    assert rates.seconds_left == pytest.approx(90.0)


def test_time_left_is_by_bytes_when_their_share_is_known() -> None:
    rates = rates_of(at(0.0, 0, 0.0), at(10.0, 999, 0.1))
    assert rates.users_per_second == pytest.approx(99.9)
    assert rates.seconds_left == pytest.approx(90.0)


def test_time_left_ignores_the_time_before_when_sizes_become_known_late() -> None:
    rates = rates_of(at(0.0, 0), at(1000.0, 500), at(1001.0, 500, 0.5), at(1011.0, 500, 0.6))
    assert rates.seconds_left == pytest.approx(40.0)


def test_time_left_is_zero_when_all_is_done() -> None:
    assert rates_of(at(0.1, 1_000)).seconds_left == 0.0
    assert rates_of(at(0.1, 1_000, 1.0)).seconds_left == 0.0


def test_an_import_is_idle_since_it_last_got_further() -> None:
    rates = rates_of(at(1.0, 3), at(5.0, 4), at(65.0, 4))
    assert rates.idle_seconds == 60.0
    assert rates_of().idle_seconds == 0.0


@given(st.integers(0, 10**12), st.integers(1, 10**12))
def test_percent_is_100_only_when_all_is_done(done: int, total: int) -> None:
    done = min(done, total)
    found = percent(done / total)
    assert (found == 100) == (done / total >= 1)
    assert abs(found - 100 * done / total) <= 1


@pytest.mark.parametrize(("share", "expected"), [(0, 0), (0.004, 0), (0.375, 38), (0.9999, 99), (1, 100), (1.2, 100)])
def test_percent_is_rounded(share: float, expected: int) -> None:
    assert percent(share) == expected


@pytest.mark.parametrize(
    ("states", "ended", "share"),
    [
        ({}, 0, 0.0),
        ({"pending": 3, "running": 1}, 0, 0.0),
        ({"complete": 1, "partial": 1, "failed": 1, "skipped": 1, "running": 4}, 4, 0.5),
    ],
)
def test_progress_counts_a_user_as_ended_when_the_import_ended_well_or_not(
    states: dict[str, int], ended: int, share: float
) -> None:
    progress = Progress(Counter(states), 0, 0, 0, 0, 1.0)
    assert (progress.ended, progress.users_share) == (ended, share)
