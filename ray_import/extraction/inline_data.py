"""Inline data (`data:…;base64,…`), which becomes `[data]` (extraction.md §5)."""

import re

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
