"""Code spans: text between two equal runs of backticks within one paragraph (CommonMark 0.31, §6.1)."""

import re
from bisect import bisect_right
from collections.abc import Sequence

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
