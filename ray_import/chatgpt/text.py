"""A message's text: clean, readable prose, what the person saw (extraction.md §5).

Lone surrogates do not occur here: no decoder lets them through (`decode.py`).

Inline data (`data:…;base64,…`) becomes `[data]`.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from ray_import.chatgpt import frames
from ray_import.chatgpt.frames import Frames
from ray_import.chatgpt.markdown import (
    Blocks,
    Place,
    end_of_continued_code,
    hide_code,
    lines_of,
    open_fence_after,
    show_code,
)
from ray_import.chatgpt.marks import (
    complete_spans,
    may_hold_marks,
    without_cited_pairs,
    without_marks,
    without_spans,
)

SHORTEST_IN_CODE = 200
"""In characters: shorter runs are part of a program that somebody wants to read."""

_HEAD = re.compile(r"data:(?:[A-Za-z0-9.+/-]|\\/)*+(?:;(?!base64,)[A-Za-z0-9._=+%-]*+)*+;base64,")
_RUN = re.compile(r"(?:[A-Za-z0-9+/_=%-]++|\\/)*+")
_ENDS_DIRECTLY = re.compile(r"""\\?["'`)>]|&quot;""")
_LINE_ENDS = re.compile(r"[ \t]*+(?:\n|\Z)")
_NARROWEST, _WIDEST = 60, 128
"""Of the lines of wrapped data, in characters."""


def may_hold_data(text: str) -> bool:
    """Most texts hold none; one character is found in a tenth of the time."""
    return ";" in text and ";base64," in text


def without_data(text: str, shortest: int = 0) -> str:
    """`text` with `[data]` for each run of at least `shortest` characters."""
    if not may_hold_data(text):
        return text
    pieces: list[str] = []
    last = 0
    for head in _HEAD.finditer(text):
        end = _end_of_run(text, head.end())
        if end > head.end() and end - head.start() >= shortest:
            pieces += text[last : head.start()], "[data]"
            last = end
    pieces.append(text[last:])
    return "".join(pieces)


def _end_of_run(text: str, comma: int) -> int:
    """Where the data ends that begins behind a comma; `comma` itself where none does.

    It crosses line breaks only where it is wrapped: into lines of one length, and a shorter last one.
    """
    wrapped_below = text.startswith("\n", comma)
    start = comma + 1 if wrapped_below else comma
    end = _run_from(text, start)
    width = end - start
    if not _NARROWEST <= width <= _WIDEST:
        return comma if wrapped_below else end
    lines = 1
    while text.startswith("\n", end):
        next_end = _run_from(text, end + 1)
        length = next_end - end - 1
        if length == width:
            lines += 1
            end = next_end
            continue
        return next_end if length < width and _is_last_line(text, end + 1, next_end, lines) else end
    return end


def _run_from(text: str, start: int) -> int:
    return _RUN.match(text, start).end()  # type: ignore[union-attr]


def _is_last_line(text: str, start: int, end: int, lines: int) -> bool:
    """Whether a shorter run behind `lines` full ones is data too; a word of letters, or of a sentence, is not."""
    run = text[start:end]
    if run.isalpha() or not any(map(str.isalnum, run)):
        return False
    if _ENDS_DIRECTLY.match(text, end):
        return True
    return lines >= 2 and (run.endswith("=") or _LINE_ENDS.match(text, end) is not None)


class Cleaned(NamedTuple):
    """An assistant's text, and what was met in it.

    `unknown` has a label for each frame and mark of an unknown name. `open_fence` is the fence that is open at the
    end, "" where there is none, None where nothing had to be looked for.
    """

    text: str
    unknown: tuple[str, ...] = ()
    open_fence: str | None = None


def clean_answer(text: str, continued_fence: str = "") -> Cleaned:
    """An assistant's text without marks, frames and inline data; code stays as it is, but for long inline data.

    `continued_fence` is the fence in which the answer ended that this text may continue.
    """
    text = _storable(text)
    code = end_of_continued_code(text, continued_fence) if continued_fence else 0
    if not may_hold_marks(text) and not may_hold_data(text):
        return Cleaned(text, open_fence=open_fence_after(text[code:]) if code else None)
    unknown: list[str] = []
    blocks, opened = Blocks(), Frames()
    cleaned = without_data(text[:code], SHORTEST_IN_CODE) + "".join(
        _clean_code(piece) if piece.is_code else _clean_prose(piece, unknown)
        for piece in _pieces(text[code:], blocks, opened)
    )
    if "\r" in cleaned:
        cleaned = cleaned.replace("\r\n", "\n")  # a mark may have stood between the two
    return Cleaned(cleaned, (*opened.unknown, *unknown), blocks.fence)


def clean_own_words(text: str) -> str:
    """A user's text as it was typed, but for inline data."""
    text = _storable(text)
    if not may_hold_data(text):
        return text
    pieces = _pieces(text, Blocks(frames=False), None)
    return "".join(_clean_code(piece) if piece.is_code else _without_data(piece) for piece in pieces)


def clean_title(text: str) -> str:
    """A title as one line, with the words that complete private-use marks in it show."""
    text = one_line(text)
    if not text.isascii():
        shown, spans = hide_code(text, (), complete_spans(text))
        text = show_code(without_cited_pairs(without_spans(shown, [])), spans)
        text = one_line(text)
    return text


def one_line(text: str) -> str:
    """`text` with every run of white space as one space: for titles and file names."""
    return " ".join(text.replace("\0", "").split())


def _storable(text: str) -> str:
    """Without NUL, which no database takes, and with `\\n` at the ends of lines."""
    if "\0" in text:
        text = text.replace("\0", "")
    return text.replace("\r\n", "\n") if "\r" in text else text  # one character is found in a tenth of the time


class _Piece(NamedTuple):
    """Consecutive lines that are all code, or none. `paragraphs` are the positions where paragraphs begin."""

    is_code: bool
    text: str
    paragraphs: list[int]


def _pieces(text: str, blocks: Blocks, opened: Frames | None) -> Iterator[_Piece]:
    """The pieces of `text`; with `opened`, without the lines of frames."""
    if "`" not in text and "~~~" not in text and (opened is None or frames.SIGN not in text):
        yield _Piece(False, text, [])
        return
    lines: list[str] = []
    paragraphs: list[int] = []
    length = 0
    was_code = False
    for line in lines_of(text):
        place = blocks.place(line)
        is_code = place is Place.CODE
        if is_code is not was_code:
            yield _Piece(was_code, "".join(lines), paragraphs)
            lines, paragraphs, length, was_code = [], [], 0, is_code
        framed = opened.shown(line) if opened is not None and not is_code and frames.SIGN in line else None
        is_frame = framed is not None
        if place is Place.NEW or is_frame:
            paragraphs.append(length)
        shown = line if framed is None else framed
        lines.append(shown)
        length += len(shown)
        if is_frame:
            paragraphs.append(length)
    yield _Piece(was_code, "".join(lines), paragraphs)


def _clean_code(piece: _Piece) -> str:
    return without_data(piece.text, SHORTEST_IN_CODE)


def _clean_prose(piece: _Piece, unknown: list[str]) -> str:
    spans = complete_spans(piece.text) if "`" in piece.text else ()
    text, code = hide_code(piece.text, piece.paragraphs, spans)
    text = without_marks(without_data(text), unknown)
    return show_code(text, [without_data(span, SHORTEST_IN_CODE) for span in code])


def _without_data(piece: _Piece) -> str:
    text, code = hide_code(piece.text, piece.paragraphs, ())
    return show_code(without_data(text), [without_data(span, SHORTEST_IN_CODE) for span in code])
