"""The polymorphic content of a message, as far as a person sees it as text (format.md §4).

Files hold every wrong type at every place. So nothing here is ever invalid: what is not understood
is empty, and what is empty is counted by whoever asked (extraction.md §4).
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from ray_import.chatgpt.item import Content

MAX_PART_DEPTH = 32
"""Parts within parts: one level was seen. A bound, because `_strings` recurses."""

SHORTEST_FENCE = 3

_FENCES = re.compile(f"`{{{SHORTEST_FENCE},}}+")
_LANGUAGE = re.compile(r"[\w+#./-]{1,60}")
"""Anything else could close the fence that it stands behind."""


def visible_text(content: Content | str | None) -> str:
    """The text of a message's `content`, before marks are taken out; "" where there is none.

    Nearly all messages are one string, which needs no more.
    """
    if content is None or isinstance(content, str):
        return content or ""
    parts = content.parts
    if type(parts) is list and len(parts) == 1 and type(parts[0]) is str and content.content_type in _PLAIN:
        return parts[0] or _text(content.text)
    return text_of(msgspec.structs.asdict(content))


def text_of(content: dict[str, Any]) -> str:
    """The same of a content of any shape: of `code` a fenced block, of anything else the strings of its parts, one a
    line, or, where there are none, its `text`."""
    if _too_deep(content):
        return ""
    text, parts = _text(content.get("text")), "\n".join(filter(None, _strings(content.get("parts"))))
    if content.get("content_type") == "code":
        return _fenced(text if _is_visible(text) else parts, _text(content.get("language")))
    return parts or text


_PLAIN = ("text", None, "multimodal_text")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _parts(value: object) -> list[str | dict[str, Any]]:
    return [part for part in value if isinstance(part, str | dict)] if isinstance(value, list) else []


def _strings(parts: object) -> Iterator[str]:
    """Those of a list. An object among them gives its `text` (a transcription has one; pictures and sounds have none)
    and the strings of its own parts."""
    for part in _parts(parts):
        if isinstance(part, str):
            yield part
        else:
            yield _text(part.get("text"))
            yield from _strings(part.get("parts"))


def _fenced(code: str, language: str) -> str:
    """A block of code, its fence longer than any in it; "" if there is no code."""
    if not _is_visible(code):
        return ""
    fence = "`" * (max(map(len, _FENCES.findall(code)), default=SHORTEST_FENCE - 1) + 1)
    label = language if _LANGUAGE.fullmatch(language) and language != "unknown" else ""
    return f"{fence}{label}\n{code}\n{fence}"


def _is_visible(code: str) -> bool:
    """NUL goes from every text, so that it fills none."""
    return bool(code.replace("\0", "").strip())


def _too_deep(content: dict[str, Any]) -> bool:
    level: list[Any] = [content]
    for _ in range(MAX_PART_DEPTH):
        level = [part for value in level for part in _parts(value.get("parts")) if isinstance(part, dict)]
        if not level:
            return False
    return True
