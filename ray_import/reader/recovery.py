"""Past a conversation that is not JSON, to the next one.

Two things are tried, because damage is of two kinds. Where only a token is wrong (NaN, a control
character, bad UTF-8), the brackets still balance and say where the conversation ends. Where a bracket
or a quote is missing they lie; then the next place that looks like a conversation's beginning, and
that a real decoder finds to be one whole conversation, is where it goes on.

A place counts as the beginning of a conversation if it looks like one and a real decoder finds a complete one there.
"""

import re
import sys
from bisect import bisect_left
from dataclasses import dataclass

from ray_import.reader.framing import Undecided, begins_conversation, begins_conversation_by_ijson

_BRACKETS = re.compile(rb"\[[\s\[]*+")
_START = re.compile(
    rb"\{\s*+\"(?:title|id|conversation_id|create_time|update_time|mapping|current_node|"
    rb"moderation_results|is_archived|default_model_slug)\"\s*+:"
)
LONGEST_START_BYTES = 4096
"""A beginning may straddle two windows: this much is kept when the rest is let go of."""
_SLOW_LOOKS = 4
"""So often what is held may be read by ijson: a node, its message, the conversation behind, and one to spare."""


@dataclass(frozen=True, slots=True)
class Start:
    """A place at which a conversation begins; `whole` once a decoder has seen all of it."""

    at: int
    whole: bool


def next_start(data: bytes | bytearray, begin: int, stop: int) -> Start | None:
    """The first byte in [begin, stop) at which a whole conversation begins; else the first one that
    stands like an item, and at which one may begin that goes on after `data`."""
    whole, perhaps = _starts(data, begin, stop)
    if whole is not None:
        return Start(whole, whole=True)
    return Start(perhaps[0], whole=False) if perhaps else None


class Starts:
    """The same as `next_start`, remembered: of many damaged items in a row each place is looked at once."""

    def __init__(self) -> None:
        self._version: object = None
        self._begin = sys.maxsize
        self._whole: int | None = None
        self._perhaps: list[int] = []

    def of(self, version: object) -> "Starts":
        """To be called with another value whenever the data is another."""
        if version != self._version:
            self._version, self._begin = version, sys.maxsize
        return self

    def next(self, data: bytes | bytearray, begin: int) -> Start | None:
        """The next start from `begin` on."""
        if begin < self._begin or (self._whole is not None and begin > self._whole):
            self._begin = begin
            self._whole, self._perhaps = _starts(data, begin, len(data))
        if self._whole is not None:
            return Start(self._whole, whole=True)
        following = bisect_left(self._perhaps, begin)
        return Start(self._perhaps[following], whole=False) if following < len(self._perhaps) else None


def _starts(data: bytes | bytearray, begin: int, stop: int) -> tuple[int | None, list[int]]:
    """The first whole start, and before it those that may go on after `data`."""
    perhaps: list[int] = []
    with memoryview(data) as view:
        looks = _Looks(_SLOW_LOOKS * (len(data) - begin))
        for found in _START.finditer(data, begin, stop):
            with view[found.start() :] as rest:
                begins = looks.begins_conversation(rest)
            if begins:
                return found.start(), perhaps
            if begins is None and _may_be_item(data, found.start()):
                perhaps.append(found.start())
    return None, perhaps


class _Looks:
    """Looks at places that may be beginnings.

    ijson is asked only as long as there are `slow_bytes` left: it knows no depth at which it stops, so that of
    places within each other it would read the same bytes as often as there are places.
    """

    def __init__(self, slow_bytes: int) -> None:
        self._slow_bytes = slow_bytes

    def begins_conversation(self, rest: memoryview) -> bool | None:
        """Whether a whole conversation begins there; None where it may go on."""
        try:
            return begins_conversation(rest)
        except Undecided:
            if self._slow_bytes <= 0:
                return False
        begins, seen = begins_conversation_by_ijson(rest)
        self._slow_bytes -= seen
        return begins


def _may_be_item(data: bytes | bytearray, at: int) -> bool:
    """Nodes and messages follow a colon, items a comma, a bracket, or nothing that is still held."""
    before = at - 1
    while before >= 0 and data[before] in b" \t\r\n":
        before -= 1
    return before < 0 or data[before] != ord(":")


def brackets_too_many(data: bytes | bytearray, at: int) -> int:
    """How many bytes of opening brackets stand at `at` right before a whole conversation."""
    brackets = _BRACKETS.match(data, at)
    begins = _START.match(data, brackets.end()) if brackets is not None else None
    if begins is None:
        return 0
    whole, _ = _starts(data, begins.start(), begins.end())
    return 0 if whole is None else whole - at


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
