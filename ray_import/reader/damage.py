"""Past a conversation that is not JSON, to the next one.

Two things are tried, because damage is of two kinds. Where only a token is wrong (NaN, a control
character, bad UTF-8), the brackets still balance and say where the conversation ends. Where a bracket
or a quote is missing they lie; then the next place that looks like a conversation's beginning, and
that a real decoder finds to be one whole conversation, is where it goes on.
"""

import re
from dataclasses import dataclass

from ray_import.reader.framing import begins_conversation

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}\[\]]', re.DOTALL)
_CLOSED_BY = {b"{": b"}", b"[": b"]"}
_AFTER = re.compile(rb"\s*+([,\]]|\Z)")
_START = re.compile(
    rb"\{\s*+\"(?:title|id|conversation_id|create_time|update_time|mapping|current_node|"
    rb"moderation_results|is_archived|default_model_slug)\"\s*+:"
)
LONGEST_START_BYTES = 4096
"""A beginning may straddle two windows: this much is kept when the rest is let go of."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Where to go on: the damaged bytes end at `end`; `balanced` if brackets say that it is one value."""

    end: int
    balanced: bool


def resume_after(data: bytes | bytearray, at: int, *, ended: bool) -> Resume | None:
    """Where the damaged value at `at` ends; None where more of the stream has to be seen (or, at its end,
    where nothing follows)."""
    end = _balanced_end(data, at)
    after = _AFTER.match(data, end) if end is not None else None
    if end is not None and after is None:
        end = None  # something else follows: the brackets lie
    start = next_start(data, at + 1, len(data) if end is None else end)
    if start is not None and start.whole:
        return Resume(start.at, balanced=False)
    if end is None or after is None or (not after[1] and not ended):
        return None
    return Resume(end, balanced=True)


@dataclass(frozen=True, slots=True)
class Start:
    """A place at which a conversation begins; `whole` once a decoder has seen all of it."""

    at: int
    whole: bool


def next_start(data: bytes | bytearray, begin: int, stop: int) -> Start | None:
    """The first byte in [begin, stop) at which a whole conversation begins; else the first one after a
    comma at which one may begin that goes on after `data`."""
    perhaps = None
    with memoryview(data) as view:
        for found in _START.finditer(data, begin, stop):
            with view[found.start() :] as rest:
                begins = begins_conversation(rest)
            if begins:
                return Start(found.start(), whole=True)
            if begins is None and perhaps is None and _follows_comma(data, found.start()):
                perhaps = Start(found.start(), whole=False)
    return perhaps


def _follows_comma(data: bytes | bytearray, at: int) -> bool:
    """Nodes and messages follow a colon, only items of an array a comma (or nothing that is still held)."""
    before = at - 1
    while before >= 0 and data[before] in b" \t\r\n":
        before -= 1
    return before < 0 or data[before] == ord(",")


def _balanced_end(data: bytes | bytearray, at: int) -> int | None:
    """Where the brackets that open at `at` are all closed, each by its own kind."""
    closing: list[bytes] = []
    for token in _TOKEN.finditer(data, at):
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
