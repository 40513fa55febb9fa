"""Where a line of Markdown stands: in fenced code, or in which paragraph (CommonMark 0.31, §3 to §5).

A fence ends with its list item or quote, and a code span with its paragraph. So the containers are followed as far
as these two need it. The time is linear in the text's length: each line is looked at once, and containers
deeper than `MOST_CONTAINERS` are text.

A code span is the text between two equal runs of backticks within one paragraph (§6.1).
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from enum import Enum

MOST_CONTAINERS = 32

_QUOTE = 0
"""A container is its width in columns: how far a list item's text is indented. A quote has none."""
_FENCE = re.compile(r"(`{3,})[^`]*\Z|(~{3,})")
_FENCE_LINE = re.compile(r"^(?:[ \t>]++|(?:[-+*]|\d{1,9}[.)])[ \t]++)*+(`{3,}+[^`\n]*+$|~{3,}+[^\n]*+$)", re.MULTILINE)
_MARKER = re.compile(r"(?:[-+*]|(\d{1,9})[.)])(?= |\Z)")
_RULE = re.compile(r"(?:(?:\* *+){3,}+|(?:- *+){3,}+|(?:_ *+){3,}+)\Z")
_ALONE = re.compile(r"#{1,6}(?= |\Z)|=++ *\Z")
"""Lines that no paragraph goes beyond: headings and their underlines."""
_SPACES = re.compile(" *")
_NOT_PLAIN = frozenset(" \t\n>-+*`~#=_:0123456789")
"""A line that begins with any other character is text of a paragraph."""


class Place(Enum):
    """Where a line stands: in fenced code (fence lines included), at the beginning of a paragraph, or further on."""

    CODE = 1
    NEW = 2
    SAME = 3


class Blocks:
    """The blocks of one text, which is given line by line. `fence` is the open one, "" outside of code.

    With `frames`, no paragraph goes beyond a line that begins with `:::`, either.
    """

    def __init__(self, frames: bool = True) -> None:
        self.fence = ""
        self._frames = frames
        self._containers: list[int] = []
        self._in_paragraph = False

    def place(self, line: str) -> Place:
        """The place of the next line."""
        if not self._containers:
            if self.fence and self.fence not in line:
                return Place.CODE
            if not self.fence and line[0] not in _NOT_PLAIN:
                return self._text(0, [], indented=False)
        line = line.rstrip("\n")
        if "\t" in line:
            line = line.expandtabs(4)
        at, ink, depth = self._continued(line)
        if self.fence:
            if depth == len(self._containers):
                if ink - at < 4 and _closes(line[ink:], self.fence):
                    self.fence = ""
                return Place.CODE
            self.fence = ""
        return self._begun(line, at, ink, depth)

    def _continued(self, line: str) -> tuple[int, int, int]:
        """Where the line's own text begins, its first character that is not a space, and how many containers go on."""
        at, ink, depth = 0, _SPACES.match(line).end(), 0  # type: ignore[union-attr]
        for width in self._containers:
            if ink == len(line):
                return ink, ink, self._until_quote(depth)
            if width == _QUOTE:
                if ink - at >= 4 or line[ink] != ">":
                    break
                at, ink = _behind_quote(line, ink)
            elif ink - at >= width:
                at += width
            else:
                break
            depth += 1
        return at, ink, depth

    def _until_quote(self, depth: int) -> int:
        """A blank line goes on with every list item, and ends a quote."""
        further = self._containers[depth:]
        return depth + (further.index(_QUOTE) if _QUOTE in further else len(further))

    def _begun(self, line: str, at: int, ink: int, depth: int) -> Place:
        at, ink, opened = self._opened(line, at, ink, depth)
        if ink == len(line):
            self._enter(depth, opened, in_paragraph=False)
            return Place.NEW
        indented = ink - at >= 4
        if not indented and (found := _FENCE.match(line, ink)):
            self._enter(depth, opened, in_paragraph=False)
            self.fence = found[1] or found[2]
            return Place.CODE
        if not indented and self._is_alone(line, ink):
            self._enter(depth, opened, in_paragraph=False)
            return Place.NEW
        return self._text(depth, opened, indented)

    def _is_alone(self, line: str, ink: int) -> bool:
        return bool(_ALONE.match(line, ink) or _RULE.match(line, ink)) or (self._frames and line.startswith(":::", ink))

    def _opened(self, line: str, at: int, ink: int, depth: int) -> tuple[int, int, list[int]]:
        """The quotes and list items that begin on the line; and where its text is then."""
        opened: list[int] = []
        goes_on = self._in_paragraph and depth == len(self._containers)
        while ink < len(line) and ink - at < 4 and depth + len(opened) < MOST_CONTAINERS:
            marker = _MARKER.match(line, ink)
            if line[ink] == ">":
                at, ink = _behind_quote(line, ink)
                opened.append(_QUOTE)
            elif marker and not _RULE.match(line, ink):
                text = _SPACES.match(line, marker.end()).end()  # type: ignore[union-attr]
                if goes_on and not opened and (text == len(line) or int(marker[1] or 1) != 1):
                    break  # such an item does not end a paragraph
                padding = text - marker.end() if text < len(line) and text - marker.end() <= 4 else 1
                opened.append(marker.end() - at + padding)
                at, ink = min(marker.end() + padding, text), text
            else:
                break
        return at, ink, opened

    def _text(self, depth: int, opened: list[int], indented: bool) -> Place:
        if self._in_paragraph and not opened:
            return Place.SAME  # its containers stay, even where the line lacks their marks
        self._enter(depth, opened, in_paragraph=not indented)
        return Place.NEW

    def _enter(self, depth: int, opened: list[int], in_paragraph: bool) -> None:
        self._containers[depth:] = opened
        self._in_paragraph = in_paragraph


def _behind_quote(line: str, ink: int) -> tuple[int, int]:
    at = ink + 2 if line[ink + 1 : ink + 2] == " " else ink + 1
    return at, _SPACES.match(line, at).end()  # type: ignore[union-attr]


def _closes(rest: str, fence: str) -> bool:
    rest = rest.rstrip(" ")
    return len(rest) >= len(fence) and not rest.strip(fence[0])


def open_fence_after(text: str) -> str:
    """The fence that is open at the end of `text`, "" where there is none."""
    blocks = Blocks()
    for line in lines_of(text):
        blocks.place(line)
    return blocks.fence


def lines_of(text: str) -> list[str]:
    """The lines with their ends. Only a newline ends one: code from a PDF has form feeds, text from the web U+2028."""
    *whole, last = text.split("\n")
    lines = [f"{line}\n" for line in whole]
    return [*lines, last] if last else lines


def end_of_continued_code(text: str, fence: str) -> int:
    """Where the code ends that `text` begins in, if it continues an answer that ended inside `fence`; else 0.

    It does where its first fence line closes `fence`, and the number of its fence lines is odd.
    """
    found = _FENCE_LINE.finditer(text)
    first = next(found, None)
    if first is None or not _closes(first[1].rstrip(), fence):
        return 0
    return 0 if sum(1 for _ in found) % 2 else min(first.end() + 1, len(text))


_RUN = re.compile("`+")
_HIDDEN = re.compile("\0(\\d+)\0")

Ranges = Sequence[tuple[int, int]]


def hide_code(text: str, paragraphs: Sequence[int], marks: Ranges) -> tuple[str, list[str]]:
    """`text` with a place-holder for each code span, and the spans. A place-holder has NUL in it, which `text` has not.

    `paragraphs` are the positions where paragraphs begin, `marks` those of complete marks, both rising: backticks
    in a mark belong to the mark, unless it begins inside a code span.
    """
    if "`" not in text:
        return text, []
    spans: list[str] = []
    pieces: list[str] = []
    last = 0
    for start, end in code_spans(text, paragraphs, marks):
        pieces += text[last:start], f"\0{len(spans)}\0"
        spans.append(text[start:end])
        last = end
    pieces.append(text[last:])
    return "".join(pieces), spans


def show_code(text: str, spans: list[str]) -> str:
    """The opposite of `hide_code`."""
    return _HIDDEN.sub(lambda found: spans[int(found[1])], text) if spans else text


def code_spans(text: str, paragraphs: Sequence[int], marks: Ranges) -> Ranges:
    """The positions of the code spans, in linear time: each run of backticks is looked up once."""
    runs = [found.span() for found in _RUN.finditer(text)]
    in_paragraph = [bisect_right(paragraphs, start) for start, _ in runs]
    closing: dict[tuple[int, int], list[int]] = {}  # by paragraph and length, the next one last
    for i in reversed(range(len(runs))):
        closing.setdefault((in_paragraph[i], runs[i][1] - runs[i][0]), []).append(i)
    spans: list[tuple[int, int]] = []
    end_of_last = i = mark = 0
    while i < len(runs):
        start, end = runs[i]
        while mark < len(marks) and (marks[mark][1] <= start or marks[mark][0] < end_of_last):
            mark += 1
        in_mark = mark < len(marks) and marks[mark][0] <= start
        start += _is_escaped(text, start)
        others = closing.get((in_paragraph[i], end - start), [])
        while others and others[-1] <= i:
            others.pop()
        if in_mark or not others:
            i += 1
            continue
        i = others.pop()
        end_of_last = runs[i][1]
        spans.append((start, end_of_last))
        i += 1
    return spans


def _is_escaped(text: str, at: int) -> bool:
    """Whether an odd number of backslashes stands before `at`: the first backtick is then text."""
    before = at
    while before and text[before - 1] == "\\":
        before -= 1
    return (at - before) % 2 == 1
