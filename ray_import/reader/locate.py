"""Where in a file the conversations lie: in an array, under a key such as `conversations`, or the file is one (§1)."""

import re
from collections.abc import Sequence
from enum import Enum

from ray_import.reader.framing import MAPPING, CannotFrame, Events, Outline, end_of_value_by_ijson
from ray_import.reader.window import Window

MAX_PREAMBLE_BYTES = 16 * 1024 * 1024
"""How far `{"version": …, "conversations": [` is looked for before the file is taken for one object."""

_OPENS = re.compile(rb"[^\[{]*+[\[{]|[^\[{]++")
_ARRAY = re.compile(rb'"conversations"\s*+:\s*+\[')


class Shape(Enum):
    """What surrounds the conversations."""

    ARRAY = "array"
    WRAPPER = "array under a key"
    DAMAGED_WRAPPER = "the same, after invalid JSON"
    SINGLE = "single object"
    OTHER = "not JSON"


def locate(window: Window, keys: Sequence[str] = ("conversations",)) -> Shape:
    """Moves the window to the first byte after the array's `[`, or to the single object's `{`. The array may lie under
    one of `keys`."""
    window.skip_byte_order_mark()
    match window.skip_blank():
        case b"[":
            window.at += 1
            return Shape.ARRAY
        case b"{":
            shape, length = _in_object(window, keys)
            window.at += length
            return shape
        case _:
            return Shape.OTHER


def _in_object(window: Window, keys: Sequence[str]) -> tuple[Shape, int]:
    """What the object at `at` is, and how many bytes after `at` its array of conversations begins.

    ijson does not tell where it is, so it is fed up to each opening bracket in turn: the piece with
    which the array begins is the one that ends with its bracket.
    """
    events, outline = Events(), Outline()
    fed = 0
    while fed < MAX_PREAMBLE_BYTES:
        for piece in _OPENS.finditer(bytes(window.data[window.at + fed :])):
            try:
                found = events.of(piece.group())
            except CannotFrame:
                return _behind_damage(window)
            fed += len(piece.group())
            for event in found:
                opened = outline.opened_by(event)
                if opened is not None and opened[0] in keys and opened[1] == "start_array":
                    return Shape.WRAPPER, fed
                if opened == MAPPING or outline.is_over:
                    return Shape.SINGLE, 0
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


def ends_wrapper(rest: bytes, *, is_all: bool) -> bool | None:
    """Whether this, perhaps with other keys, is JSON behind the array of a wrapper; None where it is cut off.

    Of more than a sample nothing is known but how it ends.
    """
    rest = rest.rstrip(b" \t\r\n")
    if not is_all or not rest:
        return rest.endswith(b"}") or None
    wrapper = b'{"":[]' + (b"" if rest.startswith(b"}") else b",") + rest
    try:
        end = end_of_value_by_ijson(memoryview(wrapper))
    except CannotFrame:
        return False
    return None if end is None else end == len(wrapper)
