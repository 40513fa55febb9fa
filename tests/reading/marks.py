"""Citation and entity marks (rules §5), found character by character outside of code."""

import json
from dataclasses import dataclass, field
from string import ascii_letters, ascii_lowercase, digits

OPEN, END, FIELD = "\ue200", "\ue201", "\ue202"
OLDER = {"\ue600": ("\ue602", "\ue601"), "\ue142": ("\ue142", "\ue141")}
"""Of an older encoding's opener: what parts its fields, and what ends it."""

STRAYS = tuple(map(chr, range(0xE200, 0xE207)))
GO = ("cite", "filecite", "memcite", "image_group", "map", "forecast", "genui")
FIRST_FIELD = ("entity", "link_title", "video", "navlist")
KNOWN = (*GO, *FIRST_FIELD, "product_entity", "product", "products")


@dataclass
class Cleaned:
    """A text without marks, with its flags, and the unknown kinds that were met."""

    text: str
    code: list[bool]
    unknown: list[str] = field(default_factory=list)


def without_marks(text: str, code: list[bool]) -> Cleaned:
    """An assistant's text: private-use marks, lenticular ones, leftovers of marks, and `sandbox:` links."""
    cleaned = private_use_marks_resolved(text, code, keep_strays=False)
    for step in (_lenticular, _leftover, _sandbox_link):
        written: list[str] = []
        flags: list[bool] = []
        at = 0
        while at < len(cleaned.text):
            found = None if cleaned.code[at] else step(cleaned.text, at)
            if found is None or (step is not _sandbox_link and any(cleaned.code[at : found.end])):
                found = Found(at + 1, at, at + 1)
            written.append(cleaned.text[found.shown_from : found.shown_to])
            flags.extend(cleaned.code[found.shown_from : found.shown_to])
            at = found.end
        cleaned = Cleaned("".join(written), flags, cleaned.unknown)
    return cleaned


@dataclass(frozen=True)
class Found:
    """A mark that ends at `end`, of which `[shown_from, shown_to)` of the text stays."""

    end: int
    shown_from: int = 0
    shown_to: int = 0


def private_use_marks_resolved(text: str, code: list[bool], keep_strays: bool) -> Cleaned:
    """The rule: "U+E200...U+E201 spans go, except that `entity`, `link_title` and U+E203/U+E204 wrap visible words,
    which stay. An unterminated mark takes nothing but itself.". In a title what is not complete stays: `keep_strays`.
    """
    cleaned = Cleaned("", [])
    written: list[str] = []
    at = 0
    while at < len(text):
        span = None if code[at] else _span(text, at)
        if span is not None and not any(code[at : span.end]):
            written.append(span.shown)
            cleaned.code.extend([False] * len(span.shown))
            cleaned.unknown.extend(span.unknown)
            at = span.end
            continue
        leftover = None if code[at] or keep_strays else _leftover(text, at)
        if leftover is not None and not any(code[at : leftover.end]):
            at = leftover.end
            continue
        if code[at] or text[at] not in STRAYS or (keep_strays and not _is_highlight(text, at)):
            written.append(text[at])
            cleaned.code.append(code[at])
        elif text[at] == FIELD:
            at += _reference_end(text[at + 1 :])  # it belongs to an unterminated mark, and is no word
        at += 1
    cleaned.text = "".join(written)
    return cleaned


def _is_highlight(text: str, at: int) -> bool:
    """Whether U+E203 or U+E204 at `at` is one of a pair on its line."""
    line_start = text.rfind("\n", 0, at) + 1
    line_end = text.find("\n", at)
    line_end = len(text) if line_end < 0 else line_end
    if text[at] == "\ue203":
        return "\ue204" in text[at:line_end]
    return text[at] == "\ue204" and "\ue203" in text[line_start:at]


@dataclass(frozen=True)
class Span:
    """A complete mark: where it ends, what a person sees of it, and its kind where that is unknown."""

    end: int
    shown: str
    unknown: list[str]


def _span(text: str, at: int) -> Span | None:
    """The complete mark that begins at `at`.

    "Older encodings: opener U+E600, fields U+E602, end U+E601; opener and fields U+E142, end U+E141: marks only as a
    complete span on one line that begins with a known kind; single ones stay (they are icons of fonts)."
    """
    opener = text[at]
    if opener == OPEN:
        parting, ending = FIELD, END
    elif opener in OLDER:
        parting, ending = OLDER[opener]
    else:
        return None
    end = at + 1
    while end < len(text) and text[end] not in ("\n", ending) and (text[end] != opener or opener == parting):
        end += 1
    if text[end : end + 1] != ending or (opener == parting and _begins_again(text[at + 1 : end], opener)):
        return None
    kind, fields = _kind_and_fields(text[at + 1 : end], parting)
    if opener != OPEN and kind not in KNOWN:
        return None
    return Span(end + 1, shown_of(kind, fields), [] if kind in KNOWN or not kind else [kind])


def _begins_again(inside: str, opener: str) -> bool:
    """Whether another mark begins inside, where openers and the parts between fields are one character."""
    return any(part in KNOWN for part in inside.split(opener)[1:-1])


def _kind_and_fields(inside: str, parting: str) -> tuple[str, list[str]]:
    length = 0
    while length < len(inside) and inside[length] in ascii_letters + digits + "_-":
        length += 1
    rest = inside[length:]
    return inside[:length], [part for part in rest.split(parting) if part.strip()]


def shown_of(kind: str, fields: list[str]) -> str:
    """The words of a mark that a person sees.

    "Only `cite`, `filecite`, `memcite`, `image_group`, `map`, `forecast`, `genui` (but for its formulas) and payloads
    made of references alone go."
    """
    if kind in GO or not fields:
        return ""
    payload = _json(fields[0])
    if kind == "products":
        return ", ".join(_names_of_items(payload))
    if payload is not None:
        return _name_in(payload)
    return "" if is_reference(fields[0]) else fields[0].strip()


def _name_in(payload: object) -> str:
    """The rule: "A mark of any kind whose payload is a list of a reference and a string, or an object with `title` or
    `name` at the top level, shows that string (a value like `turn0search1` is none)."
    """
    if isinstance(payload, list) and len(payload) >= 2:
        return _visible(payload[1])
    if isinstance(payload, dict):
        return _visible(payload.get("title")) or _visible(payload.get("name"))
    return ""


def _names_of_items(payload: object) -> list[str]:
    """The rule: "`products` the names of its items (objects with `name` or `title`, or pairs of a reference and a
    string)."
    """
    lists = [payload] if isinstance(payload, list) else []
    if isinstance(payload, dict):
        lists = [value for value in payload.values() if isinstance(value, list)]
    items = [item for items in lists for item in items if isinstance(item, list | dict)]
    return [name for name in map(_item_name, items) if name]


def _item_name(item: object) -> str:
    if isinstance(item, dict):
        return _visible(item.get("name")) or _visible(item.get("title"))
    return _name_in(item)


def _visible(value: object) -> str:
    return value.strip() if isinstance(value, str) and not is_reference(value) else ""


def is_reference(value: str) -> bool:
    """Whether `value` is made of references alone: `turn0search1`, `turn2file14`, side by side or parted by commas."""
    rest = value.strip()
    while rest:
        end = _reference_end(rest)
        if not end:
            return False
        rest = rest[end:].lstrip(" ,")
    return True


def _reference_end(text: str) -> int:
    """How long the one reference is that `text` begins with: `turn`, digits, small letters, digits; 0 for none."""
    if not text.startswith("turn"):
        return 0
    end = 4
    for letters in (digits, ascii_lowercase, digits):
        first = end
        while end < len(text) and text[end] in letters:
            end += 1
        if end == first:
            return 0
    return end


def _json(text: str) -> object:
    if text.strip()[:1] not in ("[", "{"):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _lenticular(text: str, at: int) -> Found | None:
    """The rule: "`【...†...】` marks go. `【{...}】` with a JSON object in it and `【oaicite:…】` go." """
    if text[at] != "【":
        return None
    if text[at + 1 : at + 2] == "{":
        try:
            _, end = json.JSONDecoder().raw_decode(text, at + 1)
        except ValueError:
            return None
        return Found(end + 1) if text[end : end + 1] == "】" else None
    end = at + 1
    while end < len(text) and text[end] not in "【】\n":
        end += 1
    inside = text[at + 1 : end]
    if text[end : end + 1] == "】" and ("†" in inside or inside.startswith("oaicite:")):
        return Found(end + 1)
    return None


def _leftover(text: str, at: int) -> Found | None:
    """`citeturn0search3`, a mark without its private-use characters, or without its end: the word and references."""
    for word in ("filecite", "memcite", "cite"):
        end = at + len(word)
        if not text.startswith(word, at):
            continue
        while length := _reference_end(text[end:].removeprefix(FIELD)):
            end += length + text.startswith(FIELD, end)
        return Found(end) if end > at + len(word) else None
    return None


def _sandbox_link(text: str, at: int) -> Found | None:
    """The rule: "`sandbox:` links keep their words": `words` of `[words](sandbox:path)`, and of an image."""
    first = at + 1 if text[at : at + 2] == "![" else at
    if text[first] != "[":
        return None
    close = _closing(text, first, "[]")
    if not text.startswith(("](sandbox:", "](<sandbox:"), close):
        return None
    end = _closing(text, close + 1, "()")
    return Found(end + 1, first + 1, close) if text[end : end + 1] == ")" else None


def _closing(text: str, at: int, brackets: str) -> int:
    """Where the bracket at `at` is closed on its line; where the line ends if it is not."""
    depth = 0
    while at < len(text) and text[at] != "\n":
        depth += (text[at] == brackets[0]) - (text[at] == brackets[1])
        if depth == 0:
            break
        at += 1
    return at
