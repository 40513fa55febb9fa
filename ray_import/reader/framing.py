"""Where one JSON value ends, proven by a real decoder that does not build it.

Two ways. msgspec scans at about 0.25 ms per MB; it says where a value ends only in the text of its
error, which `tests/unit/reader/test_framing.py` pins. ijson needs much longer, knows no limit of depth
and takes lone surrogates (once they are mended), and so it is asked where msgspec gives up.
"""

import re
from dataclasses import dataclass
from typing import Any

import ijson
import msgspec

from ray_import.chatgpt.decode import without_lone_surrogates

_SCAN = msgspec.json.Decoder(msgspec.Raw)
_CONVERSATION = msgspec.json.Decoder(msgspec.defstruct("_Conversation", [("mapping", dict[str, msgspec.Raw])]))
_TRAILING = "trailing characters"
_PLACE = re.compile(r"\(byte (\d+)\)")
_TRUNCATED = "Input data was truncated"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATE_BYTES = len(rb"\ud83d")
_OPENING = ("start_map", "start_array")
_DEEPER = {"start_map": 1, "start_array": 1, "end_map": -1, "end_array": -1}
MAPPING = ("mapping", "start_map")
"""How a conversation shows itself in its Outline."""
_PIECE = re.compile(rb'(?:"(?:[^"\\]++|\\.)*+"|[^"}\]]{1,1024}+){1,64}+[}\]]?|[}\]]|.++', re.DOTALL)
"""No further than one closing bracket. A string is not divided: yajl reads it from its beginning with every piece."""


class CannotFrame(Exception):
    """The bytes are not the beginning of one JSON value that this decoder accepts."""


class Undecided(CannotFrame):
    """msgspec gives up, though the bytes may be JSON: at a lone surrogate, or where they nest too deep for it."""


def end_of_value(view: memoryview) -> int | None:
    """The number of bytes of the JSON value that `view` begins with; None where it goes on after `view`."""
    return _end(_SCAN, view)


def begins_conversation(view: memoryview) -> bool | None:
    """Whether `view` begins with a whole object that has a `mapping`; None where it may go on after `view`.

    Raises Undecided where that is for `begins_conversation_by_ijson` to say.
    """
    try:
        end = _end(_CONVERSATION, view)
    except Undecided:
        raise
    except CannotFrame:
        return False
    if end is not None:
        return True
    if _SURROGATE.search(view, max(0, len(view) - 2 * _SURROGATE_BYTES + 1)):
        raise Undecided  # what msgspec waits for may be no more than the other half, which never comes
    return None


def _end(decoder: msgspec.json.Decoder[Any], view: memoryview) -> int | None:
    try:
        decoder.decode(view)
    except msgspec.ValidationError:
        raise CannotFrame from None
    except msgspec.DecodeError as error:
        text = str(error)
        if text == _TRUNCATED:
            return None
        found = _PLACE.search(text)
        place = int(found[1]) if found else 0
        if _TRAILING in text:
            return place - 1
        if place >= len(view):
            return None  # a number may go on: `-`, `1.`, `2e`
        if _SURROGATE.match(view, place - _SURROGATE_BYTES):
            raise Undecided from None
        raise CannotFrame from None
    except RecursionError:
        raise Undecided from None
    except UnicodeDecodeError:
        raise CannotFrame from None
    return len(view)


def end_of_value_by_ijson(view: memoryview) -> int | None:
    """The same as `end_of_value` for objects and arrays, by the reader of record."""
    frame = _frame_by_ijson(view)
    if frame.is_json is False:
        raise CannotFrame
    return frame.seen if frame.is_json else None


def begins_conversation_by_ijson(view: memoryview) -> tuple[bool | None, int]:
    """The same as `begins_conversation`, and how many bytes had to be seen for it."""
    frame = _frame_by_ijson(view)
    return frame.is_json and frame.has_mapping, frame.seen


@dataclass(frozen=True, slots=True)
class _Frame:
    """What the first `seen` bytes are: one JSON value or not; None where it goes on after them."""

    seen: int
    is_json: bool | None
    has_mapping: bool


def _frame_by_ijson(view: memoryview) -> _Frame:
    """ijson does not tell how many bytes it used. But an object or array ends with a bracket, so it is fed
    from bracket to bracket: the piece after which none is open is the one that ends it."""
    events, outline = Events(), Outline()
    has_mapping = False
    for piece in _PIECE.finditer(view):
        try:
            for event in events.of(piece.group()):
                has_mapping |= outline.opened_by(event) == MAPPING
        except CannotFrame:
            return _Frame(piece.end(), is_json=False, has_mapping=has_mapping)
        if outline.is_over:
            return _Frame(piece.end(), is_json=True, has_mapping=has_mapping)
    return _Frame(len(view), is_json=None, has_mapping=has_mapping)


Event = tuple[str, Any]


class Events:
    """ijson's plain events of JSON that comes in pieces: the prefix that its other ways keep is as long as
    the JSON is deep. Lone surrogates are mended before, because yajl takes some of them and some not."""

    def __init__(self) -> None:
        self._events: Any = ijson.sendable_list()
        self._parser: Any = ijson.basic_parse_coro(self._events, use_float=True)

    def of(self, piece: bytes) -> list[Event]:
        """What the next piece, which may not be empty, adds. Raises CannotFrame where that is no JSON."""
        try:
            self._parser.send(without_lone_surrogates(piece))
        except (ijson.JSONError, UnicodeDecodeError, ValueError):
            raise CannotFrame from None
        events = list(self._events)
        self._events.clear()
        return events


class Outline:
    """Follows the events of one value down to the values of its outermost object."""

    def __init__(self) -> None:
        self._depth = 0
        self._key = ""
        self.is_over = False
        """Whether all brackets are closed."""

    def opened_by(self, event: Event) -> tuple[str, str] | None:
        """Goes on by `event`. Where it opens a value of the outermost object: that one's key, and how it opens."""
        name, value = event
        if name == "map_key" and self._depth == 1:
            self._key = value
        self._depth += _DEEPER.get(name, 0)
        self.is_over = self._depth == 0
        return (self._key, name) if self._depth == 2 and name in _OPENING else None
