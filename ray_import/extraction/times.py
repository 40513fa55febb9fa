"""Times as exports have them, to seconds since 1970 in UTC (extraction.md §2)."""

from datetime import UTC, datetime

EARLIEST = datetime(2015, 1, 1, tzinfo=UTC).timestamp()
LATEST = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
MILLISECONDS_ABOVE = 1e11


def parse_time(value: object) -> float | None:
    """Takes numbers, numeric strings and ISO 8601; None for all else, and outside 2015-2100."""
    seconds = value if type(value) is float else _seconds(value)
    if seconds is None:
        return None
    if seconds > MILLISECONDS_ABOVE:
        seconds /= 1000
    return seconds if EARLIEST <= seconds < LATEST else None


def _seconds(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < LATEST * 1000 else None  # some whole numbers are no float
    if not isinstance(value, str) or "_" in value:  # which Python takes for part of a number
        return None
    try:
        return float(value)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
