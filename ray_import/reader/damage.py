"""Past a conversation that is not JSON, to the next one.

Two things are tried, because damage is of two kinds. Where only a token is wrong (NaN, a control
character, bad UTF-8), the brackets still balance and say where the conversation ends. Where a bracket
or a quote is missing they lie; then the next place that looks like a conversation's beginning, and
that a real decoder finds to be one whole conversation, is where it goes on.
"""

import re
from dataclasses import dataclass

from ray_import.reader.starts import Starts

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}\[\]]', re.DOTALL)
_CLOSED_BY = {b"{": b"}", b"[": b"]"}
_AFTER = re.compile(rb"\s*+([,\]]|\Z)")


@dataclass(frozen=True, slots=True)
class Resume:
    """Where to go on: the damaged bytes end at `end`; `balanced` if brackets say that it is one value."""

    end: int
    balanced: bool


def resume_after(data: bytes | bytearray, at: int, *, ended: bool, starts: Starts | None = None) -> Resume | None:
    """Where the damaged value at `at` ends; None where more of the stream has to be seen (or, where it `ended`
    or no more of it may be held, where nothing follows). `starts` are those of the same `data`."""
    start = (starts or Starts()).next(data, at + 1)
    next_whole = start.at if start is not None and start.whole else None
    # No further than to there: else each of many that never balance would cost all that is held.
    end = _balanced_end(data, at, len(data) if next_whole is None else next_whole)
    after = _AFTER.match(data, end) if end is not None else None
    if end is None or after is None:  # no end, or something else follows it: the brackets lie
        return None if next_whole is None else Resume(next_whole, balanced=False)
    if next_whole is None and start is not None and start.at < end and not ended:
        return None  # brackets that balance only with those of a neighbour would take it along
    return Resume(end, balanced=True) if after[1] or ended else None


def _balanced_end(data: bytes | bytearray, at: int, stop: int) -> int | None:
    """Where before `stop` the brackets that open at `at` are all closed, each by its own kind."""
    closing: list[bytes] = []
    for token in _TOKEN.finditer(data, at, stop):
        mark = token.group()
        if mark in _CLOSED_BY:
            closing.append(_CLOSED_BY[mark])
        elif mark in (b"}", b"]"):
            if not closing or closing.pop() != mark:
                return None
            if not closing:
                return token.end()
        elif mark == b'"':
            return None  # a string that does not end in what is held
    return None
