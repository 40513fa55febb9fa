"""Which characters of a Markdown text are code (rules §5): fences and inline spans, line by line as in CommonMark.

"Fenced code and inline code are left alone. An inline span closes within its paragraph, with a run of backticks of the
same length. A fence ends with its list item or quote (CommonMark)."
"""

from dataclasses import dataclass, field

LETTERS_OF_BULLETS = "-+*"


@dataclass(frozen=True)
class Fence:
    """An open fence: its character and how many of them opened it."""

    character: str
    length: int


@dataclass(frozen=True)
class Container:
    """A block quote (`indent` 0), or a list item whose content is indented by `indent` columns."""

    indent: int


QUOTE = Container(0)


@dataclass
class Scan:
    """What is known after the lines so far. `code` has a flag per character of the text."""

    text: str
    code: list[bool]
    fence: Fence | None = None
    containers: list[Container] = field(default_factory=list)
    paragraph: list[int] = field(default_factory=list)
    """The places of the characters of the open paragraph."""


def code_flags(text: str, begins_in: Fence | None = None) -> tuple[list[bool], Fence | None]:
    """A flag for each character of `text`, and the fence that is open at its end."""
    scan = Scan(text, [False] * len(text), begins_in)
    start = 0
    for line in text.split("\n"):
        _line(scan, start, start + len(line))
        start += len(line) + 1
    _close_paragraph(scan)
    return scan.code, scan.fence


def _line(scan: Scan, start: int, end: int) -> None:
    at, matched = _matched_containers(scan, start, end)
    if scan.fence is not None and matched == len(scan.containers):
        scan.code[start : min(end + 1, len(scan.text))] = [True] * (min(end + 1, len(scan.text)) - start)
        if _closes(scan.text[at:end], scan.fence):
            scan.fence = None
        return
    scan.fence = None
    lazy = matched < len(scan.containers) and bool(scan.paragraph)
    if lazy and _is_plain(scan.text[at:end]):
        _into_paragraph(scan, at, end)
        return
    if matched < len(scan.containers):
        _close_paragraph(scan)
        del scan.containers[matched:]
    _block(scan, start, _opened_containers(scan, at, end), end)


def _matched_containers(scan: Scan, start: int, end: int) -> tuple[int, int]:
    """Behind the markers of the open containers that this line continues, and how many these are."""
    at = start
    for number, container in enumerate(scan.containers):
        rest = scan.text[at:end]
        if container == QUOTE:
            if _indent(rest) > 3 or not rest.lstrip(" ").startswith(">"):
                return at, number
            at += _indent(rest) + 1
            at += 1 if scan.text[at:end].startswith(" ") else 0
        elif rest.strip() == "":
            at = end
        elif _indent(rest) >= container.indent:
            at += container.indent
        else:
            return at, number
    return at, len(scan.containers)


def _opened_containers(scan: Scan, at: int, end: int) -> int:
    """Opens the quotes and list items whose markers stand at `at`; returns the place behind them."""
    while True:
        rest = scan.text[at:end]
        width = _marker_width(rest, in_paragraph=bool(scan.paragraph))
        if _indent(rest) > 3:
            return at
        if rest.lstrip(" ").startswith(">"):
            _close_paragraph(scan)
            scan.containers.append(QUOTE)
            at += _indent(rest) + 1
            at += 1 if scan.text[at:end].startswith(" ") else 0
        elif width:
            _close_paragraph(scan)
            scan.containers.append(Container(width))
            at = min(at + width, end)
        else:
            return at


def _block(scan: Scan, start: int, at: int, end: int) -> None:
    """What stands behind the markers of containers."""
    rest = scan.text[at:end]
    fence = opening_fence(rest)
    if fence is not None:
        _close_paragraph(scan)
        scan.fence = fence
        last = min(end + 1, len(scan.text))
        scan.code[start:last] = [True] * (last - start)
    elif rest.strip() == "":
        _close_paragraph(scan)
    elif _is_heading(rest) or _is_rule(rest) or _opens_a_frame(rest):
        _close_paragraph(scan)
        _into_paragraph(scan, at, end)
        _close_paragraph(scan)
    else:
        _into_paragraph(scan, at, end)


def _is_plain(rest: str) -> bool:
    """Whether a line can be the lazy continuation of a paragraph: nothing of its own begins in it."""
    if rest.strip() == "":
        return False
    begins = rest.lstrip(" ").startswith(">") and _indent(rest) <= 3
    item = _marker_width(rest, in_paragraph=False) > 0
    of_its_own = _is_heading(rest) or _is_rule(rest) or _opens_a_frame(rest)
    return not (begins or item or opening_fence(rest) or of_its_own)


def _indent(rest: str) -> int:
    return len(rest) - len(rest.lstrip(" "))


def opening_fence(line: str) -> Fence | None:
    """The fence that `line` opens: at most 3 blanks, 3 or more backticks or tildes, no backtick behind backticks."""
    body = line.lstrip(" ")
    if _indent(line) > 3 or body[:1] not in ("`", "~"):
        return None
    length = 0
    while length < len(body) and body[length] == body[0]:
        length += 1
    if length < 3 or (body[0] == "`" and "`" in body[length:]):
        return None
    return Fence(body[0], length)


def _closes(line: str, fence: Fence) -> bool:
    body = line.strip()
    return _indent(line) <= 3 and len(body) >= fence.length and set(body) == {fence.character}


def _is_heading(rest: str) -> bool:
    body = rest.lstrip(" ")
    level = len(body) - len(body.lstrip("#"))
    return _indent(rest) <= 3 and 1 <= level <= 6 and body[level : level + 1] in ("", " ")


def _opens_a_frame(rest: str) -> bool:
    """Whether a line opens a frame: it is a block of its own, and parts paragraphs."""
    body = rest.strip()
    return body.startswith(":::") and body.lstrip(": ")[:1].isalpha()


def _is_rule(rest: str) -> bool:
    body = rest.replace(" ", "")
    return _indent(rest) <= 3 and len(body) >= 3 and len(set(body)) == 1 and body[0] in "-_*"


def _marker_width(rest: str, in_paragraph: bool) -> int:
    """Columns up to the content of a list item that begins here; 0 where none does."""
    body = rest.lstrip(" ")
    if _indent(rest) > 3 or not body or _is_rule(rest):
        return 0
    length = _marker_length(body)
    behind = body[length:]
    if not length or (behind and not behind.startswith(" ")):
        return 0
    if in_paragraph and (not behind.strip() or (body[0].isdigit() and body[: length - 1] != "1")):
        return 0
    blanks = _indent(behind)
    if not behind.strip() or blanks > 4:
        blanks = 1
    return _indent(rest) + length + blanks


def list_marker_width(rest: str) -> int:
    """Columns of the list marker that `rest` begins with, with one blank behind it; 0 where there is none."""
    length = _marker_length(rest) if rest else 0
    return length + 1 if length and rest[length : length + 1] == " " else 0


def _marker_length(body: str) -> int:
    if body[0] in LETTERS_OF_BULLETS:
        return 1
    digits = 0
    while digits < len(body) and body[digits] in "0123456789":
        digits += 1
    return digits + 1 if 1 <= digits <= 9 and body[digits : digits + 1] in (".", ")") else 0


def _into_paragraph(scan: Scan, at: int, end: int) -> None:
    scan.paragraph.extend(range(at, min(end + 1, len(scan.text))))


def _close_paragraph(scan: Scan) -> None:
    """Flags the inline spans of the open paragraph, and ends it."""
    runs: list[tuple[int, int]] = []  # of backticks: the first one's number in the paragraph, and the length
    places = scan.paragraph
    for number, place in enumerate(places):
        if scan.text[place] != "`" or _is_escaped(scan, places[:number]):
            continue
        if runs and runs[-1][0] + runs[-1][1] == number:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((number, 1))
    while runs:
        first, length = runs.pop(0)
        closing = next((run for run in runs if run[1] == length), None)
        if closing is not None:
            for number in range(first, closing[0] + length):
                scan.code[places[number]] = True
            runs = runs[runs.index(closing) + 1 :]
    scan.paragraph = []


def _is_escaped(scan: Scan, before: list[int]) -> bool:
    """Whether an odd number of backslashes stands at the end of `before`."""
    backslashes = 0
    while backslashes < len(before) and scan.text[before[-1 - backslashes]] == "\\":
        backslashes += 1
    return backslashes % 2 == 1


def begins_inside(text: str, parents_fence: Fence | None) -> Fence | None:
    """The rule: "A message begins inside code only if its parent node is an assistant message (nothing between) that
    ended inside a fence, the first fence line of the new text is a bare closing one, and the new text has an odd
    number of fence lines (a continued answer)."
    """
    if parents_fence is None:
        return None
    fence_lines = [line for line in text.split("\n") if opening_fence(line) is not None]
    if len(fence_lines) % 2 == 1 and _closes(fence_lines[0], parents_fence):
        return parents_fence
    return None
