"""extraction.md §2: numbers, numeric strings and ISO strings are times; above 1e11 milliseconds; 2015-2100."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.chatgpt.extract import parse_time

THEN = 1_700_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1_700_000_000, THEN),
        (1_700_000_000.25, 1_700_000_000.25),
        ("1700000000", THEN),
        ("1700000000.25", 1_700_000_000.25),
        (" 1700000000\n", THEN),
        (1_700_000_000_250, 1_700_000_000.25),
        ("1700000000250", 1_700_000_000.25),
        ("2023-11-14T22:13:20Z", THEN),
        ("2023-11-14T22:13:20.250Z", 1_700_000_000.25),
        ("2023-11-14T22:13:20+00:00", THEN),
        ("2023-11-15T00:13:20+02:00", THEN),
        ("2023-11-14 22:13:20", THEN),
        (" 2023-11-14T22:13:20 ", THEN),
        ("2023-11-14", 1_699_920_000.0),
    ],
)
def test_a_number_a_numeric_string_and_an_iso_string_are_times_in_utc(value: object, seconds: float) -> None:
    assert parse_time(value) == seconds


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as here:
        here.setenv("TZ", "XYZ-9")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_from_utc")
def test_a_time_without_a_zone_is_utc_wherever_this_runs() -> None:
    assert datetime.fromtimestamp(THEN).hour == (22 + 9) % 24
    assert parse_time("2023-11-14T22:13:20") == THEN


@pytest.mark.parametrize(
    ("value", "is_time"),
    [
        (1_420_070_399.9, False),  # 2014-12-31T23:59:59.9
        (1_420_070_400, True),  # 2015-01-01
        (4_102_444_799.9, True),  # 2099-12-31T23:59:59.9
        (4_102_444_800, False),  # 2100-01-01
        (1_420_070_399_999, False),
        (1_420_070_400_000, True),
        (4_102_444_800_000, False),
        (100_000_000_000, False),
        ("2014-12-31T23:59:59Z", False),
        ("2015-01-01T00:00:00Z", True),
        ("2100-01-01T00:00:00Z", False),
        (0, False),
        (-1_700_000_000, False),
    ],
)
def test_what_lies_outside_2015_to_2100_is_no_time(value: object, is_time: bool) -> None:
    assert (parse_time(value) is not None) is is_time


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, "", "yesterday", "1700000000s", "1_700_000_000", "2023-13-01", 10**400, -(10**400),
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00", float("nan"), float("inf"), "nan", "-inf", "1e400", [], [THEN], {}, b"1700000000",
    ],
)  # fmt: skip
def test_all_else_is_no_time(value: object) -> None:
    assert parse_time(value) is None


@given(
    st.datetimes(datetime(2015, 1, 2), datetime(2099, 12, 30)),
    st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_every_way_to_write_a_moment_gives_the_same_seconds(moment: datetime, zone: timezone) -> None:
    seconds = moment.replace(tzinfo=UTC).timestamp()
    assert parse_time(moment.isoformat()) == seconds
    assert parse_time(moment.replace(tzinfo=UTC).astimezone(zone).isoformat()) == seconds
    assert parse_time(seconds) == parse_time(repr(seconds)) == seconds
    assert parse_time(seconds * 1000) == pytest.approx(seconds, abs=1e-3, rel=0)
