"""The polymorphic content of a message as models: an oracle for `ray_import.chatgpt.content`."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Tag, TypeAdapter

SHORTEST_FENCE = 3

_FENCES = re.compile(f"`{{{SHORTEST_FENCE},}}+")
_LANGUAGE = re.compile(r"[\w+#./-]{1,60}")


def modelled_text(content: dict[str, Any]) -> str:
    """The text of a content whose parts do not nest too deep."""
    return _CONTENT.validate_python(content).as_text()


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
