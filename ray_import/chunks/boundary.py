"""Where to cut a text, in UTF-8 bytes: at a paragraph, a sentence, a word, else between two characters.

All is `find` and `rfind` in a window of at most one chunk, so that the time is linear in the text's
length. Bytes, because the limit is in bytes; UTF-8 lets no character be found inside another.
"""

_PARAGRAPH = (b"\n\n",)
_SENTENCE = (b"\n", b". ", b"! ", b"? ", "。".encode(), "！".encode(), "？".encode())
_WORD = (b" ", b"\t", "\u3000".encode(), "、".encode(), "，".encode())
KINDS = (_PARAGRAPH, _SENTENCE, _WORD)

SHORTEST_PIECE = 0.5
"""A piece shorter than this share of what it may be is passed over for a finer boundary that gives more."""


def last_boundary(text: bytes, start: int, limit: int) -> int:
    """The best place in (start, limit] to end a piece of `text` that begins at `start`.

    Gives len(text) where all the rest fits. A piece is never empty while `limit - start` is at least 4.
    """
    if limit >= len(text):
        return len(text)
    earliest = start + int((limit - start) * SHORTEST_PIECE)
    for kind in KINDS:
        end = max(_end_of_last(text, mark, earliest, limit) for mark in kind)
        if end > start:
            return end
    return _between_characters(text, limit)


def first_boundary(text: bytes, start: int, end: int) -> int:
    """The first good place in [start, end) to begin a piece that ends at `end`; `end` where there is none."""
    if start <= 0:
        return 0
    latest = start + int((end - start) * SHORTEST_PIECE)
    for kind in KINDS:
        begins = [at + len(mark) for mark in kind if (at := text.find(mark, max(start - len(mark), 0), latest)) >= 0]
        if begins:
            return min(begins)
    return first_character(text, start, end)


def first_word(text: bytes, start: int) -> int | None:
    """The first place from `start` on at which a word begins; None where there is none before the text's end."""
    marks = (mark for kind in KINDS for mark in kind)
    begins = (at + len(mark) for mark in marks if (at := text.find(mark, max(start - len(mark), 0))) >= 0)
    return min((at for at in begins if at < len(text)), default=None)


def first_character(text: bytes, start: int, end: int) -> int:
    """The first place in [start, end) at which a character begins; `end` where there is none."""
    at = start
    while at < end and _inside_character(text, at):
        at += 1
    return at


def _end_of_last(text: bytes, mark: bytes, earliest: int, limit: int) -> int:
    at = text.rfind(mark, earliest, limit)
    return at + len(mark) if at >= 0 else -1


def _between_characters(text: bytes, at: int) -> int:
    while _inside_character(text, at):
        at -= 1
    return at


def _inside_character(text: bytes, at: int) -> bool:
    return text[at] & 0b1100_0000 == 0b1000_0000
