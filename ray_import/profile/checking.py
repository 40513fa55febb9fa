"""Answers checked in code: a fact counts only if the user said it, in the message that the answer names.

Reasons of rejection, in the order in which they are looked for:

    unknown_category      not one of `settings.CATEGORIES`
    empty                 no subject, no statement, or a quote without words
    too_long              a subject or a statement over its size
    no_such_message       no line of the request has this number
    not_said_by_user      the line is not the user's; or the quote stands only in other people's words; or the
                          statement is taken from these word for word, and has nothing of the quote in it
    quote_not_found       the quote does not stand in that message
    quote_too_short       it stands there, but is a letter or two of many
    repeated              the same fact of the same message once more

A quote is looked for exactly, then after normalising. Case, letters, digits, accents and symbols count. White space and
punctuation only separate words; a sign before a digit and a mark between two digits count (-5, 3.5, 10:30), and so do
signs that stand for a word (%, &, @, #).
"""

import re
import unicodedata
import uuid
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import msgspec
import orjson

from ray_import.chunks.rows import uuid5
from ray_import.destinations.profiles import Fact
from ray_import.profile.packing import Pack
from ray_import.profile.settings import CATEGORIES
from ray_import.profile.units import Line, Unit

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


SUBJECT_CHARACTERS = 200
STATEMENT_CHARACTERS = 1_000
QUOTE_CHARACTERS = 2_000
"""A longer quote is stored up to here."""

_FACTS = uuid.UUID("0b5b2f0e-4c55-5d0c-8a57-3d1f5c2f7e64")


class _Fact(msgspec.Struct, forbid_unknown_fields=True):
    category: str
    subject: str
    statement: str
    message: int
    quote: str


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    facts: list[_Fact]


_DECODER = msgspec.json.Decoder(_Answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedFacts:
    """`facts` are those that passed, `rejected` counts the others by reason. `off_schema`: the answer is not of the
    schema, and nothing of it counts."""

    facts: tuple[Fact, ...] = ()
    rejected: Counter[str]
    off_schema: bool = False


class _RejectedError(Exception):
    """`args[0]` is the reason."""


def checked_facts(answer_text: str, pack: Pack, user_id: str) -> CheckedFacts:
    """The facts of an answer to `facts_prompt(pack, …)`."""
    try:
        answer = _DECODER.decode(answer_text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return CheckedFacts(rejected=Counter(), off_schema=True)
    said, rejected, facts = _Said(pack), Counter[str](), dict[str, Fact]()
    for stated in answer.facts:
        try:
            fact = _checked(stated, said, user_id)
        except _RejectedError as error:
            rejected[error.args[0]] += 1
            continue
        if fact.id in facts:
            rejected["repeated"] += 1
        else:
            facts[fact.id] = fact
    return CheckedFacts(facts=tuple(facts.values()), rejected=rejected)


def fact_id(user_id: str, line: tuple[str, str, str], category: str, subject: str, statement: str) -> str:
    """The same for the same fact of the same message (product, conversation, node), whoever answers and whenever."""
    name = [user_id, *line, category, normalised(subject).casefold(), normalised(statement).casefold()]
    return uuid5(_FACTS, orjson.dumps(name))


def _checked(stated: _Fact, said: "_Said", user_id: str) -> Fact:
    subject, statement = " ".join(_printable(stated.subject).split()), " ".join(_printable(stated.statement).split())
    if stated.category not in CATEGORIES:
        raise _RejectedError("unknown_category")
    if not (normalised(subject) and normalised(statement) and normalised(stated.quote)):
        raise _RejectedError("empty")
    if len(subject) > SUBJECT_CHARACTERS or len(statement) > STATEMENT_CHARACTERS:
        raise _RejectedError("too_long")
    unit, line, quote = said.quoted(stated.message, stated.quote)
    if said.is_of_others(statement) and not have_a_word_in_common(statement, quote):
        raise _RejectedError("not_said_by_user")
    return Fact(
        id=fact_id(
            user_id, (unit.product, unit.conversation_id, line.node_id), stated.category, subject, statement
        ),
        unit_id=unit.id,
        category=stated.category,
        subject=subject,
        statement=statement,
        quote=quote[:QUOTE_CHARACTERS],
        product=unit.product,
        conversation_id=unit.conversation_id,
        node_id=line.node_id,
        said_at=line.created_at,
        valid_from=line.created_at,
    )  # fmt: skip


def _printable(text: str) -> str:
    """Without NUL and other characters of control, which not every database takes."""
    return text if text.isprintable() else "".join(" " if ord(c) < 32 or 127 <= ord(c) < 160 else c for c in text)


class _Said:
    """Who said what in a pack."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self._texts = _texts_by_line(pack)
        self._normalised = dict[str, NormalisedText]()

    def quoted(self, number: int, quote: str) -> tuple[Unit, Line, str]:
        """The line of this number and the words in it that are quoted. Raises _RejectedError."""
        if not 1 <= number <= len(self._pack.lines):
            raise _RejectedError("no_such_message")
        unit, line = self._pack.lines[number - 1]
        if line.role != "user":
            raise _RejectedError("not_said_by_user")
        text, words = self._texts[number - 1], normalised(quote)
        found = quote if quote in text else self._normalised_text(text).find(words)
        if found is None:
            raise _RejectedError("not_said_by_user" if self._said_by_others(quote, words) else "quote_not_found")
        if not is_long_enough(words) and words != self._normalised_text(text).text:
            raise _RejectedError("quote_too_short")
        return unit, line, found.strip()

    def is_of_others(self, statement: str) -> bool:
        """Whether a statement stands word for word in other people's words: an order that was obeyed, for example."""
        return normalised(statement) in self._others[1]

    def _said_by_others(self, quote: str, words: str) -> bool:
        exactly, texts = self._others
        return quote in exactly or words in texts

    @cached_property
    def _others(self) -> tuple[str, str]:
        """What is not the user's own: as it is, and normalised."""
        texts = [unit.title for unit in self._pack.units]
        for (_, line), text in zip(self._pack.lines, self._texts, strict=True):
            texts += [line.quoted, *line.attachments] if line.role == "user" else [text]
        return "\n\0".join(texts), "\n\0".join(map(normalised, texts))

    def _normalised_text(self, text: str) -> NormalisedText:
        if text not in self._normalised:
            self._normalised[text] = NormalisedText(text)
        return self._normalised[text]


def _texts_by_line(pack: Pack) -> list[str]:
    """The text that stands behind each number: pieces of one message that follow each other count as one text."""
    texts, begun = list[str](), 0
    for index in range(1, len(pack.lines) + 1):
        if index < len(pack.lines) and _continues(pack.lines[index - 1], pack.lines[index]):
            continue
        texts += ["".join(line.text for _, line in pack.lines[begun:index])] * (index - begun)
        begun = index
    return texts


def _continues(before: tuple[Unit, Line], after: tuple[Unit, Line]) -> bool:
    (unit, line), (next_unit, next_line) = before, after
    same = (unit.product, unit.conversation_id, line.node_id) == (
        next_unit.product, next_unit.conversation_id, next_line.node_id
    )  # fmt: skip
    return same and next_line.piece == line.piece + 1
