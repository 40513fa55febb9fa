"""Backoff, and the header by which a server asks for a pause."""

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.retry import Backoff, retry_after_seconds

BACKOFF = Backoff(first_seconds=0.5, longest_seconds=15.0, longest_asked_seconds=60.0)


@given(attempt=st.integers(1, 10_000))
def test_backoff_stays_below_a_ceiling_that_doubles_when_attempts_fail(attempt: int) -> None:
    ceiling = min(15.0, 0.5 * 2 ** min(attempt - 1, 30))
    assert 0 <= BACKOFF.seconds_after(attempt) <= ceiling


def test_backoff_spreads_clients_when_they_failed_at_the_same_moment() -> None:
    waits = sorted(BACKOFF.seconds_after(10) for _ in range(200))
    assert waits[0] < 3.0
    assert waits[-1] > 12.0


@pytest.mark.parametrize(("asked", "least"), [(20.0, 20.0), (59.0, 59.0), (86_400.0, 60.0)])
def test_backoff_waits_as_long_as_the_server_asks_when_that_is_within_bounds(asked: float, least: float) -> None:
    assert BACKOFF.seconds_after(1, asked) == least


@pytest.mark.parametrize(("header", "seconds"), [("0", 0.0), ("7", 7.0), (" 7 ", 7.0), ("1.5", 1.5)])
def test_retry_after_is_read_when_it_is_a_number(header: str, seconds: float) -> None:
    assert retry_after_seconds(header) == seconds


def test_retry_after_is_read_when_it_is_a_date() -> None:
    assert 50 < retry_after_seconds(formatdate(time.time() + 60, usegmt=True)) <= 60
    assert retry_after_seconds(formatdate(time.time() - 60, usegmt=True)) == 0


@pytest.mark.parametrize("header", ["", "soon", "-5", "inf", "nan", "1e9", "٣", "9" * 40, "Mon, 99 Foo 2026", "\0"])
def test_retry_after_is_none_when_it_is_neither(header: str) -> None:
    assert retry_after_seconds(header) == 0


@given(header=st.text())
def test_retry_after_is_never_negative_when_a_server_sends_anything(header: str) -> None:
    assert retry_after_seconds(header) >= 0
