"""How much is kept of names that a file may make as long as it likes (extraction.md §2).

Each of these stands in every row, or in every chunk, of its conversation: without a bound, one long title times many
branches is a database many times the size of the export.
"""

import hashlib

from ray_import.extraction.text import clean_title
from ray_import.extraction.values import as_str

MOST_TITLE_CHARACTERS = 300
MOST_KEY_BYTES = 200
"""Of a conversation's id and of a node's key, in UTF-8."""

_SHORT_CHARACTERS = MOST_KEY_BYTES // 4
"""Are never more bytes."""


def as_title(value: object) -> str:
    """A title as it is stored: one line of at most 300 characters, the last of which is `…` where it was cut."""
    title = clean_title(as_str(value))
    return title if len(title) <= MOST_TITLE_CHARACTERS else f"{title[: MOST_TITLE_CHARACTERS - 1].rstrip()}…"


def as_keys(names: list[str]) -> list[str]:
    """The same as `as_key` of each, in less time where none has to be changed."""
    if max(map(len, names), default=0) <= _SHORT_CHARACTERS and "\0" not in "".join(names):
        return names  # nearly always
    return list(map(as_key, names))


def as_key(value: object) -> str:
    """An id or a node's key as it is stored, "" where it is no string.

    One of over 200 bytes becomes `sha256:` and the first 32 hexadecimal digits of its hash: equal ones stay equal,
    different ones stay different.
    """
    if type(value) is str and len(value) <= _SHORT_CHARACTERS and "\0" not in value:
        return value  # nearly always
    key = as_str(value)
    encoded = key.encode()
    return key if len(encoded) <= MOST_KEY_BYTES else f"sha256:{hashlib.sha256(encoded).hexdigest()[:32]}"
