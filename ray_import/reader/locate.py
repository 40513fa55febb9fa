"""Where in a file the conversations lie: in an array, under `conversations`, or the file is one (§1)."""

import re
from enum import Enum
from typing import Any

import ijson

from ray_import.reader.window import Window

MAX_PREAMBLE_BYTES = 16 * 1024 * 1024
"""How far `{"version": …, "conversations": [` is looked for before the file is taken for one object."""

_OPENS = re.compile(rb"[^\[{]*+[\[{]|[^\[{]++")
_ARRAY = re.compile(rb'"conversations"\s*+:\s*+\[')


class Shape(Enum):
    """What surrounds the conversations."""

    ARRAY = "array"
    WRAPPER = "array under the key conversations"
    DAMAGED_WRAPPER = "the same, after something that is no JSON"
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
            shape, length = _in_object(window)
            window.at += length
            return shape
        case _:
            return Shape.OTHER


def _in_object(window: Window) -> tuple[Shape, int]:
    """What the object at `at` is, and how many bytes after `at` its array of conversations begins.

    ijson does not tell where it is, so it is fed up to each opening bracket in turn: the piece with
    which the array begins is the one that ends with its bracket.
    """
    events: Any = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events, use_float=True)
    keys = _TopLevel()
    fed = 0
    while fed < MAX_PREAMBLE_BYTES:
        for piece in _OPENS.finditer(bytes(window.data[window.at + fed :])):
            try:
                parser.send(piece.group())
            except (ijson.JSONError, UnicodeDecodeError, ValueError):
                return _behind_damage(window)
            fed += len(piece.group())
            for event, value in events:
                if keys.array_begins(event, value):
                    return Shape.WRAPPER, fed
                if keys.settled:
                    return Shape.SINGLE, 0
            del events[:]
        if not window.grow():
            break
    return Shape.SINGLE, 0


def _behind_damage(window: Window) -> tuple[Shape, int]:
    """The same by the key alone: quotes within a string are escaped, so it cannot stand in a text."""
    while True:
        found = _ARRAY.search(window.data, window.at)
        if found:
            return Shape.DAMAGED_WRAPPER, found.end() - window.at
        if window.held_bytes > MAX_PREAMBLE_BYTES or not window.grow():
            return Shape.SINGLE, 0


class _TopLevel:
    """Follows ijson's plain events down to the values of the outermost object."""

    def __init__(self) -> None:
        self._depth = 0
        self._key = ""
        self.settled = False
        """True once the object is known to be no wrapper."""

    def array_begins(self, event: str, value: object) -> bool:
        """True for the event with which the array under `conversations` begins."""
        if event == "map_key" and self._depth == 1:
            self._key = str(value)
        elif event in ("start_map", "start_array"):
            self._depth += 1
            if self._depth == 2:
                self.settled = self._key == "mapping" and event == "start_map"
                return self._key == "conversations" and event == "start_array"
        elif event in ("end_map", "end_array"):
            self._depth -= 1
            self.settled = self._depth == 0
        return False
