"""Waits between attempts: exponential backoff with jitter, and `Retry-After`.

Whether to retry is in an error's type."""

import random
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential backoff with full jitter: each wait is a random part of a ceiling that doubles, so that many clients
    do not return at the same moment. A server's `Retry-After` is honoured up to `longest_asked_seconds`."""

    first_seconds: float
    longest_seconds: float
    longest_asked_seconds: float

    def seconds_after(self, attempt: int, retry_after_seconds: float = 0.0) -> float:
        """Returns the wait after `attempt` failed (the first one is 1), at least as long as the server asked for."""
        doublings = min(attempt - 1, 30)  # beyond, the power only grows; every ceiling is reached by then
        ceiling = min(self.longest_seconds, self.first_seconds * 2.0**doublings)
        jitter = random.uniform(0.0, ceiling)  # noqa: S311 - no secret
        return max(jitter, min(retry_after_seconds, self.longest_asked_seconds))


def retry_after_seconds(header: str) -> float:
    """Returns the seconds of a `Retry-After` header, a number or a date (RFC 9110, §10.2.3). Returns 0 where it is
    neither, or the date has passed."""
    text = header.strip()
    if _DECIMAL.fullmatch(text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0
