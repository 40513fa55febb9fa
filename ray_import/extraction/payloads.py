"""What the app shows in place of a private-use mark: a name, a title, a formula, or nothing (extraction.md §5)."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from ray_import.errors import RecordError
from ray_import.extraction.decode import decode
from ray_import.extraction.values import as_dict, as_label, as_str

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
