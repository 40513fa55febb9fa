"""What the model emits into its prose and the app never shows (extraction.md §5, format.md §5).

Private-use marks: U+E200 opens and U+E201 closes a span whose fields U+E202 parts, U+E203 and U+E204
stand around cited words. Only what lies inside such marks is touched: "cited" and "linked" are words.

In place of a private-use mark the app shows a name, a title, a formula, or nothing.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ray_import.chatgpt.decode import as_dict, as_label, as_str, decode
from ray_import.errors import RecordError

FIELD = "\ue202"

SILENT = frozenset({"cite", "filecite", "memcite", "image_group", "map", "forecast"})
KNOWN = SILENT | {
    "entity", "genui", "link_title", "navlist", "product", "product_entity", "products", "url", "video",
}  # fmt: skip

_KIND = re.compile(rf"[A-Za-z_][\w-]*+(?=[{FIELD}\[{{]|\Z)|(?:{'|'.join(sorted(KNOWN))})\b", re.ASCII)
_REFERENCES = re.compile(r"\s*+(?:turn\d+[a-z_]+\d+[,;\s]*+)++")

_JSON = ("[", "{", '"')


def visible_words(body: str, unknown: list[str]) -> str:
    """The words that a mark shows, of what stands between its opener and its end.

    A kind that the rules do not name is added to `unknown`, as `unknown_mark:<kind>`.
    """
    found = _KIND.match(body)
    kind = found[0] if found else ""
    payload = body[len(kind) :].removeprefix(FIELD)
    if kind and kind not in KNOWN:
        unknown.append(f"unknown_mark:{as_label(kind)}")
    if kind in SILENT or not payload:
        return ""
    if kind == "genui":
        return _formula(payload)
    if kind in ("link_title", "url"):
        return _words(payload.split(FIELD)[:1])
    return _name(kind, payload)


def holds_json(body: str) -> bool:
    """Whether the payload of a mark, or its first field, is JSON."""
    found = _KIND.match(body)
    payload = body[found.end() if found else 0 :].removeprefix(FIELD)
    return any(json_or_none(text) is not None for text in (payload, payload.split(FIELD)[0]))


def _name(kind: str, payload: str) -> str:
    """JSON shows a name; any other payload its first field that is not a reference."""
    first, *further = payload.split(FIELD)
    for text in (payload, first):
        value = json_or_none(text) if text.lstrip()[:1] in _JSON else None
        if value is not None:
            name = (_names_of_items(value) if kind == "products" else "") or _name_of(value)
            return name.replace("\0", "")
    return "" if first.lstrip()[:1] in ("[", "{") and kind != "entity" else _words((first, *further))


def _name_of(value: object) -> str:
    """`title` or `name` of an object; of a list the string beside a reference, else the second item, else the only."""
    if isinstance(value, dict):
        return _words((value.get("title"), value.get("name")))
    if not isinstance(value, list):
        return _words((value,))
    if any(isinstance(item, str) and _REFERENCES.fullmatch(item) for item in value[:2]):
        return _words(value[:2])
    return _words(value[:2][-1:])


def _names_of_items(value: object) -> str:
    """The names of products: objects, or pairs of a reference and a name, in a list or in any list of an object."""
    lists = value.values() if isinstance(value, dict) else (value,)
    items = (item for entries in lists if isinstance(entries, list) for item in entries)
    return ", ".join(filter(None, map(_name_of_item, items)))


def _name_of_item(item: object) -> str:
    if isinstance(item, dict):
        return _words((item.get("name"), item.get("title")))
    return _name_of(item) if isinstance(item, list) and len(item) > 1 else ""


def _words(values: Iterable[object]) -> str:
    """The first of the values that is a string with words, and not made of references alone."""
    return next(_worded(values), "")


def _worded(values: Iterable[object]) -> Iterator[str]:
    texts = (value for value in values if isinstance(value, str))
    return (text for text in texts if text.strip() and not _REFERENCES.fullmatch(text))


def _formula(payload: str) -> str:
    """A widget that shows a formula is part of the text; all other widgets are pictures and buttons."""
    widgets = as_dict(json_or_none(payload))
    shown = (as_dict(widget).get("content") for name, widget in widgets.items() if name.startswith("math_block"))
    return "".join(map(as_str, shown))


def json_or_none(payload: str) -> Any:
    """The JSON value of `payload`, None where it is not JSON."""
    try:
        return decode(payload.encode())
    except RecordError:
        return None


_SPAN = re.compile("\ue200([^\ue200\ue201\n]*+|[A-Za-z_][A-Za-z0-9_-]{0,60}\ue202?[\\[{][^\ue200\ue201]*+)\ue201")
"""On one line, so that a mark that is cut off takes nothing else; but JSON may be spread over several."""
_KINDS = "|".join(sorted(KNOWN, key=len, reverse=True))
_OLDER_SPAN = re.compile(f"\ue600((?:{_KINDS})(?=[\ue602\ue601\\[{{])[^\ue600\ue601\n]*+)\ue601")
_OLDEST_SPAN = re.compile(
    f"\ue142((?:{_KINDS})(?=[\ue142\ue141\\[{{])"
    f"(?:[^\ue142\ue141\n]|\ue142(?!(?:{_KINDS})[\ue142\ue141\\[{{])){{0,20000}}+)\ue141"
)
"""In these two the signs are icons of fonts, unless they make a whole mark of a known kind."""
_SPANS = (("\ue201", _SPAN, FIELD), ("\ue601", _OLDER_SPAN, "\ue602"), ("\ue141", _OLDEST_SPAN, "\ue142"))
"""The sign without which there is no such span, its pattern, and what parts its fields."""
_CITED_WORDS = re.compile("\ue203([^\ue203\ue204]*+)\ue204")

_SIGNS = "\ue200\ue201\ue202\ue203\ue204\ue205\ue206"
_UNBRACKETED = re.compile("(?:(?:file|mem)?cite)?(?:\ue202turn\\d+[a-z]+\\d+)+")
_BARE_CITE = re.compile(r"(?:file|mem)?cite(?:turn\d+[a-z]+\d+)+")
_LENTICULAR = re.compile(
    r"【(?:[^【】†\n]{0,2000}+†[^【】\n]{0,2000}+|turn\d+[a-z]+\d+|oaicite:[^【】\n]{0,2000}+"
    r'|\s*+(\{(?:"(?:[^"\\\n]|\\.)*+"|[^"\\【】])*+))】'
)
_CONTENT_REFERENCE = re.compile(r":contentReference\[oaicite:\d++\](?:\{index=\d++\})?+")
_SANDBOX = re.compile(r"!?\[((?:[^\[\]\n]|\[[^\[\]\n]*+\])*+)\]\([ \t]*<?sandbox:(?:[^()\n]|\([^()\n]*+\))*+\)")

MAX_NESTED_SPANS = 4
"""Spans within spans were not seen; a few levels are undone, so that no text takes quadratic time."""


def may_hold_marks(text: str) -> bool:
    """Most texts hold none, and looking for these is much cheaper than the work (and than a pattern of them)."""
    if not text.isascii() and (
        "\ue200" in text or "\ue201" in text or "\ue202" in text or "\ue203" in text or "\ue204" in text
        or "\ue205" in text or "\ue206" in text or "【" in text or "\ue601" in text or "\ue141" in text
    ):  # fmt: skip
        return True
    if ":" in text and (":::" in text or ("[" in text and ("sandbox:" in text or "[oaicite:" in text))):
        return True
    return "citeturn" in text


def complete_spans(text: str) -> list[tuple[int, int]]:
    """The positions of the complete private-use marks that hold no other, in the order of the text."""
    found = [match.span() for sign, span, _ in _SPANS if sign in text for match in span.finditer(text)]
    found.sort()
    return found


def without_spans(text: str, unknown: list[str]) -> str:
    """`text` with the words that its complete private-use marks show. Unknown kinds are added to `unknown`."""
    for sign, span, field in _SPANS:
        if sign not in text:
            continue
        shown = _shown(field, unknown)
        for _ in range(MAX_NESTED_SPANS):
            text, count = span.subn(shown, text)
            if not count:
                break
    return text


def without_cited_pairs(text: str) -> str:
    """`text` without the marks around cited words, where both are there."""
    return _CITED_WORDS.sub(r"\1", text)


def without_marks(text: str, unknown: list[str]) -> str:
    """Prose without code in it, as the app shows it: without marks and dead links. See `without_spans`."""
    text = without_spans(text, unknown)
    if FIELD in text:
        text = _UNBRACKETED.sub("", text)
    for sign in _SIGNS:
        if sign in text:
            text = text.replace(sign, "")
    for sign, mark, shown in _OTHERS:
        if sign in text:
            text = mark.sub(shown, text)
    return text


def _shown(field: str, unknown: list[str]) -> Callable[[re.Match[str]], str]:
    def words(span: re.Match[str]) -> str:
        body = span[1].replace(field, FIELD)
        if "\n" in body and not (body.endswith(("]", "}")) and holds_json(body)):
            return span[1]  # a mark that does not end, and the end of another one: lines break only within JSON
        return visible_words(body, unknown)

    return words


def _without_object(found: re.Match[str]) -> str:
    """`【{…}】` stays where what stands in it is not a JSON object."""
    return found[0] if found[1] and not isinstance(json_or_none(found[1]), dict) else ""


_OTHERS: tuple[tuple[str, re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    ("citeturn", _BARE_CITE, ""), ("【", _LENTICULAR, _without_object), ("[oaicite:", _CONTENT_REFERENCE, ""),
    ("sandbox:", _SANDBOX, r"\1"),
)  # fmt: skip
"""In this order; the sign, without which a mark cannot be, is found much faster than that there is none."""
