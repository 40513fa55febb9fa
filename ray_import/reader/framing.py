"""Where one JSON value ends, proven by a real decoder that does not build it.

Two ways. msgspec scans at about 0.25 ms per MB; it says where a value ends only in the text of its
error, which `tests/unit/reader/test_framing.py` pins. ijson needs much longer, knows no limit of depth
and takes lone surrogates, and so it is asked where msgspec gives up.
"""

import re
from typing import Any

import ijson
import msgspec

_SCAN = msgspec.json.Decoder(msgspec.Raw)
_CONVERSATION = msgspec.json.Decoder(msgspec.defstruct("_Conversation", [("mapping", dict[str, msgspec.Raw])]))
_TRAILING = "trailing characters"
_PLACE = re.compile(r"\(byte (\d+)\)")
_TRUNCATED = "Input data was truncated"
_DEEPER = {"start_map": 1, "start_array": 1, "end_map": -1, "end_array": -1}
_CLOSES = re.compile(rb"[^}\]]*+[}\]]|[^}\]]++")


class CannotFrame(Exception):
    """The bytes are not the beginning of one JSON value that this decoder accepts."""


def end_of_value(view: memoryview) -> int | None:
    """The number of bytes of the JSON value that `view` begins with; None where it goes on after `view`."""
    return _end(_SCAN, view)


def begins_conversation(view: memoryview) -> bool | None:
    """Whether `view` begins with a whole object that has a `mapping`; None where it may go on after `view`."""
    try:
        return None if _end(_CONVERSATION, view) is None else True
    except CannotFrame:
        return False


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
        raise CannotFrame from None
    except (RecursionError, UnicodeDecodeError):
        raise CannotFrame from None
    return len(view)


def end_of_value_by_ijson(view: memoryview) -> int | None:
    """The same as `end_of_value` for objects and arrays, by the reader of record.

    ijson does not tell how many bytes it used. But such a value ends with a bracket, so it is fed from
    bracket to bracket: the piece after which none is open is the one that ends it. (Its plain events are
    counted, because the prefix that its other ways keep is as long as the value is deep.)
    """
    events: Any = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events, use_float=True)
    depth = 0
    try:
        for piece in _CLOSES.finditer(view):
            parser.send(piece.group())
            for event, _ in events:
                depth += _DEEPER.get(event, 0)
            if events and depth == 0:
                return piece.end()
            del events[:]
    except (ijson.JSONError, UnicodeDecodeError, ValueError):
        raise CannotFrame from None
    return None
