"""Raw bytes to values, mended only where the rules say how (extraction.md §5, format.md §7).

A value whose type differs from the one that the format promises counts as empty.
"""

import re
from typing import Any

import orjson

from ray_import.errors import RecordError

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)", re.DOTALL
)
_LONE_LENGTH = len(b"\\ud83d")


def decode(raw: bytes | memoryview) -> Any:
    """The JSON value of `raw`.

    Lone surrogates become U+FFFD, and surrogate pairs written as CESU-8 are joined. Whatever else is
    not JSON (NaN, control characters, bad UTF-8) raises RecordError("invalid_json").
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        pass
    try:
        return orjson.loads(without_lone_surrogates(_join_surrogates(bytes(raw))))
    except (orjson.JSONDecodeError, UnicodeDecodeError):
        raise RecordError("invalid_json") from None


def decode_text(text: str) -> Any:
    """The JSON value that is the whole of `text`; None if it is not JSON."""
    try:
        return decode(text.encode())
    except RecordError:
        return None


def without_lone_surrogates(raw: bytes) -> bytes:
    """`raw` with U+FFFD for each escaped half of a pair that stands alone: all else is what and where it was."""
    return _ESCAPE.sub(_mend_escape, raw)


def _mend_escape(found: re.Match[bytes]) -> bytes:
    escape = found.group()
    return b"\\ufffd" if len(escape) == _LONE_LENGTH else escape


def _join_surrogates(raw: bytes) -> bytes:
    """Valid UTF-8 stays as it is; surrogates as three bytes each are joined, or replaced when alone."""
    text = raw.decode("utf-8", "surrogatepass")
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


LABEL_CHARACTERS = 60


def as_dict(value: object) -> dict[str, Any]:
    """`value` where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_label(value: object) -> str:
    """`value` where it is a string, fit to be the name of a count: printable, and short."""
    text = value[:LABEL_CHARACTERS] if isinstance(value, str) else ""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)


def as_str(value: object) -> str:
    """`value` where it is a string, without NUL (which no database takes), else an empty one."""
    return value.replace("\0", "") if isinstance(value, str) else ""


def is_set(value: object) -> bool:
    """Whether a flag is up: `true`, as 1 or as a word too. Whatever else it is hides nobody's words."""
    return value is True or (value is not None and value in (1, "true", "True"))
