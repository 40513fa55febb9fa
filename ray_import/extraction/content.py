"""The polymorphic content of a message, as far as a person sees it as text (format.md §4).

Files hold every wrong type at every place. So nothing here is ever invalid: what is not understood
is empty, and what is empty is counted by whoever asked (extraction.md §4).
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Tag, TypeAdapter

from ray_import.extraction.item import Content

MAX_PART_DEPTH = 32
"""Parts within parts: one level was seen. A bound, because pydantic's own recursion has one."""

SHORTEST_FENCE = 3

_FENCES = re.compile(f"`{{{SHORTEST_FENCE},}}+")
_LANGUAGE = re.compile(r"[\w+#./-]{1,60}")
"""Anything else could close the fence that it stands behind."""


def visible_text(content: Content | str | None) -> str:
    """The text of a message's `content`, before marks are taken out; "" where there is none.

    Nearly all messages are one string, which needs no model.
    """
    if content is None or isinstance(content, str):
        return content or ""
    parts = content.parts
    if type(parts) is list and len(parts) == 1 and type(parts[0]) is str and content.content_type in _PLAIN:
        return parts[0] or _text(content.text)
    return modelled_text(msgspec.structs.asdict(content))


def modelled_text(content: dict[str, Any]) -> str:
    """The same of a content of any shape, by its model."""
    return "" if _too_deep(content) else _CONTENT.validate_python(content).as_text()


_PLAIN = ("text", None, "multimodal_text")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _parts(value: object) -> list[object]:
    return [part for part in value if isinstance(part, str | dict)] if isinstance(value, list) else []


Text = Annotated[str, BeforeValidator(_text)]


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, defer_build=True)


class PartObject(_Lenient):
    """An object among the parts: a transcription has `text`, pictures and sounds have none."""

    text: Text = ""
    parts: "Parts" = []


Parts = Annotated[list[str | PartObject], BeforeValidator(_parts)]


class ProseContent(_Lenient):
    """`text`, `multimodal_text`, no type at all, and types that are not known yet."""

    text: Text = ""
    parts: Parts = []

    def as_text(self) -> str:
        """The strings of the parts, one a line; where there are none, the `text`."""
        return "\n".join(filter(None, _strings(self.parts))) or self.text


class CodeContent(_Lenient):
    """`code`: a program that the assistant shows, or hands to a tool."""

    language: Text = ""
    text: Text = ""
    parts: Parts = []

    def as_text(self) -> str:
        """A fenced block, its fence longer than any in the code: the `text` or, where it is blank, the parts."""
        code = self.text if _is_visible(self.text) else "\n".join(filter(None, _strings(self.parts)))
        if not _is_visible(code):
            return ""
        fence = "`" * (max(map(len, _FENCES.findall(code)), default=SHORTEST_FENCE - 1) + 1)
        language = self.language if _LANGUAGE.fullmatch(self.language) and self.language != "unknown" else ""
        return f"{fence}{language}\n{code}\n{fence}"


def _is_visible(code: str) -> bool:
    """NUL goes from every text, so that it fills none."""
    return bool(code.replace("\0", "").strip())


def _strings(parts: list[str | PartObject]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
        else:
            yield part.text
            yield from _strings(part.parts)


def _kind(content: Any) -> Literal["code", "prose"]:
    return "code" if isinstance(content, dict) and content.get("content_type") == "code" else "prose"


_Modelled = Annotated[Annotated[ProseContent, Tag("prose")] | Annotated[CodeContent, Tag("code")], Discriminator(_kind)]
_CONTENT: TypeAdapter[ProseContent | CodeContent] = TypeAdapter(_Modelled)


def _too_deep(content: dict[str, Any]) -> bool:
    level: list[Any] = [content]
    for _ in range(MAX_PART_DEPTH):
        level = [part for value in level for part in _parts(value.get("parts")) if isinstance(part, dict)]
        if not level:
            return False
    return True
