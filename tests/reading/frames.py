"""Frames such as `:::writing` (rules §5), line by line with a stack."""

from dataclasses import dataclass, field

from tests.reading.code_regions import list_marker_width

OPENED = ("writing", "contextList")
HEADINGS = (("subject", "Subject"), ("recipient", "To"), ("title", "Title"))


@dataclass
class Frames:
    """The lines that are left, with a flag per character, and the names of frames that stay."""

    text: str
    code: list[bool]
    unknown: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Opener:
    """The first line of a frame. `before` are the markers of quotes and list items that stand before it."""

    before: str
    colons: int
    name: str
    attributes: dict[str, str]
    rest: str


def without_frames(text: str, code: list[bool]) -> Frames:
    """The rule: "The frames `:::writing` and `:::contextList` (three or more colons, indented or not) are opened:
    words behind the attributes stay, as the body's first line. Frames nest: a line of colons alone closes the
    innermost open frame that began with at most as many colons, frames of other names included; an unterminated frame
    loses its first line only; a closing line without an open frame stays."
    """
    left: list[tuple[str, list[bool]]] = []
    unknown: list[str] = []
    frames: list[Opener] = []
    start = 0
    for line in text.split("\n"):
        flags = code[start : start + len(line)]
        start += len(line) + 1
        opener = None if any(flags) else _opener(line)
        if opener is not None:
            frames.append(opener)
            if opener.name in OPENED:
                left.extend((shown, [False] * len(shown)) for shown in _shown_of(opener))
                continue
            unknown.append(opener.name)
        elif not any(flags) and (closed := _closed_by(line, frames)) is not None:
            name = frames[closed].name
            del frames[closed:]
            if name in OPENED:
                continue
        left.append((line, flags))
    return Frames("\n".join(line for line, _ in left), _joined_flags(left), unknown)


def _joined_flags(lines: list[tuple[str, list[bool]]]) -> list[bool]:
    flags: list[bool] = []
    for number, (_, own) in enumerate(lines):
        if number:
            both = bool(flags and flags[-1] and (not own or own[0]))
            flags.append(both)
        flags.extend(own)
    return flags


def _closed_by(line: str, frames: list[Opener]) -> int | None:
    """Which of the open frames, the innermost that can be, a line of colons alone closes."""
    body = line.lstrip("> ").rstrip()
    if len(body) < 3 or set(body) != {":"}:
        return None
    for number in range(len(frames) - 1, -1, -1):
        if frames[number].colons <= len(body):
            return number
    return None


def _opener(line: str) -> Opener | None:
    before = _markers(line)
    body = line[len(before) :].strip()
    colons = len(body) - len(body.lstrip(":"))
    behind = body[colons:].lstrip(" ")
    length = 0
    while length < len(behind) and (behind[length].isalnum() or behind[length] in "_-"):
        length += 1
    name = behind[:length]
    if colons < 3 or not name or not name[0].isalpha():
        return None
    attributes, rest = _attributes(behind[length:].strip())
    return Opener(before, colons, name, attributes, rest.strip())


def _markers(line: str) -> str:
    """The blanks and the markers of quotes and list items with which a line begins."""
    end = 0
    while True:
        blanks = len(line[end:]) - len(line[end:].lstrip(" \t"))
        width = list_marker_width(line[end + blanks :])
        if line[end + blanks : end + blanks + 1] == ">":
            width = 1
        if not width:
            return line[: end + blanks]
        end += blanks + width


def _attributes(behind: str) -> tuple[dict[str, str], str]:
    """The values in braces, and the words behind them. "In attribute values `\\"` is a quote."""
    if not behind.startswith("{"):
        return {}, behind
    values: dict[str, str] = {}
    name = ""
    at = 1
    while at < len(behind) and behind[at] != "}":
        if behind[at] in ("'", '"'):
            value, at = _quoted(behind, at + 1, behind[at])
            values[name.strip().rstrip("=").strip()] = value
            name = ""
        else:
            name += behind[at]
            at += 1
    return (values, behind[at + 1 :]) if at < len(behind) else ({}, "")


def _quoted(text: str, at: int, quote: str) -> tuple[str, int]:
    value = ""
    while at < len(text) and text[at] != quote:
        if text[at : at + 2] == "\\" + quote:
            at += 1
        value += text[at]
        at += 1
    return value, at + 1


def _shown_of(opener: Opener) -> list[str]:
    """The rule: "Of a writing frame `Subject: …`, `To: …` and `Title: …` stand before the body, one a line, then an
    empty line."; then the words that stood behind the attributes.
    """
    lines = []
    if opener.name == "writing":
        for attribute, heading in HEADINGS:
            if value := opener.attributes.get(attribute, "").strip():
                lines.append(f"{heading}: {value}")
        if lines:
            lines.append("")
    if opener.rest:
        lines.append(opener.rest)
    later = "".join(character if character == ">" else " " for character in opener.before)
    shown = [(later if number else opener.before) + line for number, line in enumerate(lines)]
    in_item = opener.before.strip("> \t") != ""
    return shown or ([opener.before.rstrip()] if in_item else [])
