"""What the beginning of a file tells: its encoding, and whether conversations are in it.

The look is tolerant: it follows brackets and strings and parses no values, so that damage further on hides nothing.
"""

import re
from collections.abc import Sequence

import orjson

LOOK_BYTES = 1024 * 1024
"""How far a file is looked into. In exports of browser extensions the `mapping` stands within the first kilobytes."""

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}\[\]]', re.DOTALL)
_MAPPING = re.compile(rb'"mapping"\s*+:\s*+\{')
_OF_ITEM = (b"{", b"[{")
_OF_WRAPPED_ITEM = b"{[{"

_MARKS = (
    (b"\xff\xfe\x00\x00", "UTF-32", "utf-32"),
    (b"\x00\x00\xfe\xff", "UTF-32", "utf-32"),
    (b"\xff\xfe", "UTF-16", "utf-16"),
    (b"\xfe\xff", "UTF-16", "utf-16"),
)
_WIDTHS = (
    ("UTF-32", "utf-32-le", 4),
    ("UTF-32", "utf-32-be", 4),
    ("UTF-16", "utf-16-le", 2),
    ("UTF-16", "utf-16-be", 2),
)
_BEGINS = "[{ \t\r\n"


def wide_encoding(head: bytes) -> tuple[str, str] | None:
    """UTF-16 or UTF-32, and the name of its codec, if JSON in that encoding begins here; None if not.

    A byte order mark decides. Without one, two characters do: the first of JSON, and one that is ASCII as well, as the
    second nearly always is. No JSON in UTF-8 has a zero byte there.
    """
    for mark, name, codec in _MARKS:
        if head.startswith(mark):
            return name, codec
    for name, codec, width in _WIDTHS:
        text = head[: 2 * width].decode(codec, "ignore")
        if text and text[0] in _BEGINS and len(head) >= width and all("\0" < one < "\x7f" for one in text):
            return name, codec
    return None


def as_utf_8(beginning: bytes, codec: str) -> bytes:
    """The same text in UTF-8, without what cannot be decoded."""
    return beginning.decode(codec, "ignore").encode("utf-8", "ignore")


def holds_conversations(beginning: bytes, wrapper_keys: Sequence[str] = ("conversations",)) -> bool:
    """Whether an object with a `mapping` object begins in it: alone, in an array, or in one under one of these keys."""
    found = list(_MAPPING.finditer(beginning))
    if not found:
        return False
    opened, last, wrapper = bytearray(), b"", b""
    places, stop = {one.start() for one in found}, found[-1].end()
    for token in _TOKEN.finditer(beginning, 0, stop):
        mark = token.group()
        if mark in (b"{", b"["):
            if opened == b"{":
                wrapper = last
            opened += mark
        elif mark in (b"}", b"]"):
            del opened[-1:]
        elif mark == b'"':
            return False  # a string that does not end: all that follows is in it
        elif token.start() in places and _is_item(opened, wrapper, wrapper_keys):
            return True
        else:
            last = mark
    return False


def _is_item(opened: bytearray, wrapper: bytes, wrapper_keys: Sequence[str]) -> bool:
    """Whether the open brackets are those around the keys of an item; `wrapper` is the array's key, in quotes."""
    if opened == _OF_WRAPPED_ITEM:
        return wrapper[1:-1].decode("utf-8", "replace") in wrapper_keys
    return opened in _OF_ITEM


def is_empty(text: bytes) -> bool:
    """Whether this, a whole file, holds no items: it is blank, or JSON whose top value, and each list or object
    directly in it, has none."""
    if not text.strip():
        return True
    try:
        value = orjson.loads(text.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        return False
    if isinstance(value, dict):
        return not any(isinstance(inner, dict | list) and inner for inner in value.values())
    return not value
