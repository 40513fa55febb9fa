"""Where in a file the conversations lie: in an array, under `conversations`, or the file is one (§1)."""

import re
from enum import Enum
from typing import Any

import ijson

from ray_import.reader.window import Window

MAX_PREAMBLE_BYTES = 16 * 1024 * 1024
"""How far `{"version": …, "conversations": [` is looked for before the file is taken for one object."""

_OPENS = re.compile(rb"[^\[{]*+[\[{]|[^\[{]++")


class Shape(Enum):
    """What surrounds the conversations."""

    ARRAY = "array"
    SINGLE = "single object"
    OTHER = "not JSON"


def locate(window: Window) -> Shape:
    """Moves the window to the first byte after the array's `[`, or to the single object's `{`."""
    window.skip_byte_order_mark()
    match window.skip_blank():
        case b"[":
            window.at += 1
            return Shape.ARRAY
        case b"{":
            inside = _array_of_conversations(window)
            if inside is None:
                return Shape.SINGLE
            window.at += inside
            return Shape.ARRAY
        case _:
            return Shape.OTHER


def _array_of_conversations(window: Window) -> int | None:
    """How many bytes after `at` the array under `conversations` begins; None where there is none.

    ijson does not tell where it is, so it is fed up to each opening bracket in turn: the piece with
    which the array begins is the one that ends with its bracket.
    """
    events: Any = ijson.sendable_list()
    parser = ijson.parse_coro(events, use_float=True)
    fed = 0
    while fed < MAX_PREAMBLE_BYTES:
        # A match is good only up to a bracket or to all that is held: `fed` counts what was sent.
        for piece in _OPENS.finditer(bytes(window.data[window.at + fed :])):
            try:
                parser.send(piece.group())
            except (ijson.JSONError, UnicodeDecodeError):
                return None
            fed += len(piece.group())
            for prefix, event, _ in events:
                if (prefix, event) == ("conversations", "start_array"):
                    return fed
                if (prefix, event) in (("mapping", "start_map"), ("", "end_map")):
                    return None
            del events[:]
        if not window.grow():
            return None
    return None
