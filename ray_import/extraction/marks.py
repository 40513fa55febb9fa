"""What the model emits into its prose and the app never shows (extraction.md §5, format.md §5).

Private-use marks: U+E200 opens and U+E201 closes a span whose fields U+E202 parts, U+E203 and U+E204
stand around cited words. Only what lies inside such marks is touched: "cited" and "linked" are words.
"""

import re
from typing import Any

from ray_import.errors import RecordError
from ray_import.extraction.decode import decode
from ray_import.extraction.values import as_dict, as_str

_SPAN = re.compile("\ue200([^\ue200\ue201\n]{0,20000}|[a-z_]{1,40}\ue202?[\\[{][^\ue200\ue201]{0,20000})\ue201")
"""On one line, so that a mark that is cut off takes nothing else; but JSON may be spread over several."""
_KIND = re.compile("[a-z_]*")
_STRAY = re.compile("[\ue200-\ue206]")
_UNBRACKETED = re.compile("(?:(?:file)?cite)?(?:\ue202turn\\d+[a-z]+\\d+)+")
_BARE_CITE = re.compile(r"(?:file)?cite(?:turn\d+[a-z]+\d+)+")
_REFERENCE = re.compile(r"turn\d+[a-z]+\d+")
_LENTICULAR = re.compile(r"【(?:[^【】†\n]{0,2000}+†[^【】\n]{0,2000}+|turn\d+[a-z]+\d+)】")
_SANDBOX = re.compile(r"!?\[((?:[^\[\]\n]|\[[^\[\]\n]*+\])*+)\]\([ \t]*<?sandbox:(?:[^()\n]|\([^()\n]*+\))*+\)")
_DATA_URI = re.compile(r"data:[A-Za-z0-9.+/-]*(?:;[A-Za-z0-9._=+-]*)*;base64,[A-Za-z0-9+/_=%-]+")
_OTHERS = (
    ("\ue202", _UNBRACKETED, ""), ("", _STRAY, ""), ("citeturn", _BARE_CITE, ""), ("【", _LENTICULAR, ""),
    ("sandbox:", _SANDBOX, r"\1"), ("base64,", _DATA_URI, "[data]"),
)  # fmt: skip
"""In this order; the sign, without which a mark cannot be, is found much faster than that there is none."""

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_FENCE = re.compile(r"[ \t]*(?:>[ \t]*)*(?:(?:[-*+]|\d+[.)])[ \t]+)?(`{3,}|~{3,})([^\n]*)")
_WRITING = re.compile(r"[ \t]*+:::writing[ \t]*+(?:\{[^\n]*\})?[ \t]*+\r?")
_WRITING_END = re.compile(r"[ \t]*:::[ \t]*\r?")

MAX_NESTED_SPANS = 4
"""Spans within spans were not seen; a few levels are undone, so that no text takes quadratic time."""


def strip_marks(text: str) -> str:
    """`text` without marks, frames, dead links and inline data; fenced code is left alone."""
    if not _may_hold_marks(text):
        return text
    pieces = []
    prose: list[str] = []
    fence = ""
    in_frame = False
    for line in _LINE.findall(text):
        found = _FENCE.match(line)
        if fence:
            pieces.append(line)
            if found and found[1].startswith(fence) and not found[2].strip():
                fence = ""
        elif found and not ("`" in found[1] and "`" in found[2]):
            pieces.append(_clean_prose("".join(prose)))
            prose.clear()
            pieces.append(line)
            fence = found[1]
        elif _WRITING.fullmatch(line.rstrip("\n")):
            in_frame = True
        elif in_frame and _WRITING_END.fullmatch(line.rstrip("\n")):
            in_frame = False
        else:
            prose.append(line)
    pieces.append(_clean_prose("".join(prose)))
    return "".join(pieces)


def _may_hold_marks(text: str) -> bool:
    """Most texts hold none, and looking for these is much cheaper than the work (and than a pattern of them)."""
    if not text.isascii() and (
        "\ue200" in text or "\ue201" in text or "\ue202" in text or "\ue203" in text
        or "\ue204" in text or "\ue205" in text or "\ue206" in text or "【" in text
    ):  # fmt: skip
        return True
    if ":" in text and ("sandbox:" in text or ":::writing" in text or (";" in text and ";base64," in text)):
        return True
    return "citeturn" in text


def _clean_prose(text: str) -> str:
    for _ in range(MAX_NESTED_SPANS):
        text, spans = _SPAN.subn(_visible_words, text)
        if not spans:
            break
    for sign, mark, shown in _OTHERS:
        if sign in text:
            text = mark.sub(shown, text)
    return text


def _visible_words(span: re.Match[str]) -> str:
    """What the app shows in a span's place: an entity's name, a link's title, a formula, of others nothing."""
    kind = _KIND.match(span[1])[0]  # type: ignore[index]
    payload = span[1][len(kind) :].removeprefix("\ue202")
    if kind == "entity":
        return _entity_name(payload)
    if kind == "genui":
        return _formula(payload)
    if kind in ("link_title", "url"):
        words, *_ = payload.split("\ue202")
        return "" if _REFERENCE.fullmatch(words) else words
    return ""


def _formula(payload: str) -> str:
    """A widget that shows a formula is part of the text; all other widgets are pictures and buttons."""
    widgets = as_dict(_json_or_none(payload))
    shown = (as_dict(widget).get("content") for name, widget in widgets.items() if name.startswith("math_block"))
    return "".join(map(as_str, shown))


def _entity_name(payload: str) -> str:
    """`["company","Name","hint"]` shows Name; a payload that is no JSON is shown as it is."""
    match _json_or_none(payload):
        case [name] | [_, name, *_] | {"name": name} | str(name):
            return as_str(name)
        case None:
            return payload
        case _:
            return ""


def _json_or_none(payload: str) -> Any:
    try:
        return decode(payload.encode())
    except RecordError:
        return None
