"""Whether words stand in a text: exactly, or after normalising white space, punctuation and forms of characters.

Case, letters, digits, accents and symbols count. White space and punctuation only separate words; a sign before a digit
and a mark between two digits count (-5, 3.5, 10:30), and so do signs that stand for a word (%, &, @, #).
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from functools import cached_property

MIN_CHARACTERS = 3
"""A shorter quote proves nothing, unless it is all that the message says. An ideograph counts as two."""

_KEPT = frozenset("%&@#")
_INVISIBLE = "\u00ad"
_SIGN = re.compile(r"[-\u2010-\u2015](?=\d)")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[.,:/](?=\d)")
_WORD = re.compile(r"\S+")
_WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")


class _Separated(dict[int, str]):
    """One character for each: itself, a space for what separates words, or a mark for what is not seen."""

    def __missing__(self, code: int) -> str:
        self[code] = separated = _separated(chr(code))
        return separated


def _separated(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cf":
        return _INVISIBLE
    if category[0] == "P" and unicodedata.normalize("NFKC", character) not in _KEPT:
        return " "
    return " " if category[0] == "Z" or category == "Cc" else character


_SEPARATED = _Separated()


def normalised(text: str) -> str:
    """The words of `text` with one space between them."""
    return NormalisedText(text).text


class NormalisedText:
    """A text and its normalised form, each place of which leads back to the text."""

    def __init__(self, original: str) -> None:
        self._original = original
        same_length = _BETWEEN_DIGITS.sub("\u2219", _SIGN.sub("\u2212", original)).translate(_SEPARATED)
        self._words = [
            (found.start(), found.end(), word)
            for found in _WORD.finditer(same_length)
            if (word := unicodedata.normalize("NFKC", found[0].replace(_INVISIBLE, "")))
        ]

    @cached_property
    def text(self) -> str:
        return " ".join(word for _, _, word in self._words)

    @cached_property
    def _starts(self) -> list[int]:
        """Where each word begins in the normalised text."""
        starts, at = [], 0
        for _, _, word in self._words:
            starts.append(at)
            at += len(word) + 1
        return starts

    def find(self, words: str) -> str | None:
        """The piece of the original text that says these (normalised) words."""
        start = self.text.find(words) if words else -1
        if start < 0:
            return None
        end = start + len(words)
        first, last = bisect_right(self._starts, start) - 1, bisect_left(self._starts, end) - 1
        begin = self._place(first, start - self._starts[first], at_end=False)
        return self._original[begin : self._place(last, end - self._starts[last], at_end=True)]

    def _place(self, index: int, offset: int, *, at_end: bool) -> int:
        """Where a place in a word is in the original text; a word that changed its length counts as a whole."""
        start, end, word = self._words[index]
        if len(word) == end - start:
            return start + offset
        return end if at_end else start


def is_long_enough(words: str) -> bool:
    """Whether (normalised) words are enough to prove something."""
    return len(words) + len(_WIDE.findall(words)) >= MIN_CHARACTERS


def have_a_word_in_common(one: str, other: str) -> bool:
    """Whether two texts share a piece of a word: four letters, or two ideographs."""
    return not _pieces(one).isdisjoint(_pieces(other))


def _pieces(text: str) -> set[str]:
    words = normalised(text).casefold()
    fours = {words[i : i + 4] for i in range(len(words) - 3)}
    twos = {words[i : i + 2] for i in range(len(words) - 1) if _WIDE.match(words, i)}
    return {piece for piece in fours | twos if " " not in piece}
