"""Generated text in several languages.

Words are invented and drawn with Zipf-like weights, so the text deflates about as real prose does and no two
paragraphs are alike.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate, islice
from random import Random

COMMON_WORDS = """the of and to a in is that it for you was with on as are be this have from or had by
not but what all were when we there can an your which their if will how each about up out them then so some
would like into time has more"""
SYLLABLE_LIST = """a an ar be ca ce con co de di do e el en er es fa fi for ga gen ha he i im in is it ka la
le li lo ma me mi mo na ne ni no o on or pa per po pre pro ra re ri ro sa se si so sta su ta te ter ti to tra
u un ve vi wa"""
SYLLABLES = SYLLABLE_LIST.split()
ODD_WORDS = (
    "cited",
    "linked",
    "“so-called”",
    '"exactly"',
    "naïve",
    "Größe",
    "C:\\temp",
    "https://example.org/?a=1&b=2",
)
EMOJI = ("😀", "🚀", "👍🏽", "👩‍💻", "🇯🇵", "✅", "🔥", "💡", "🎉", "❤️")
KANA = (
    "あいうえおかがきくけこさしすせそただちつてとなにのはひふまみもやよらりるれろわをん"
    "アイカクコシスタテトナマラリルレン"
)
KANJI = [chr(0x4E00 + 7 * index) for index in range(2400)]

Sentences = Iterator[str]


@dataclass(frozen=True, slots=True)
class Prose:
    """Ready texts of one language; every field has at least one entry."""

    sentences: tuple[str, ...]
    paragraphs: tuple[str, ...]  # of 2-6 sentences
    answers: tuple[str, ...]  # Markdown with headings, lists and code fences, 300-4,000 characters
    pages: tuple[str, ...]  # plain text of a web page or a file, 0.5-4 KB


def write_prose(rng: Random, language: str, paragraphs: int) -> Prose:
    """Texts made of about `paragraphs` paragraphs in `language`: en, ja or zh."""
    sentences = list(islice(LANGUAGES[language](rng), paragraphs * 4))
    separator = "" if language in ("ja", "zh") else " "
    texts = [separator.join(_some(rng, sentences, 2, 6)) for _ in range(paragraphs)]
    return Prose(
        sentences=tuple(sentences),
        paragraphs=tuple(texts),
        answers=tuple(_answer(rng, sentences, texts) for _ in range(paragraphs // 3 + 1)),
        pages=tuple("\n".join(_some(rng, texts, 3, 12)) for _ in range(paragraphs // 6 + 1)),
    )


def _answer(rng: Random, sentences: list[str], paragraphs: list[str]) -> str:
    parts = [rng.choice(paragraphs)]
    for _ in range(rng.randint(0, 5)):
        kind = rng.random()
        if kind < 0.25:
            parts.append("\n".join(f"- **{one[:18].strip()}**: {one}" for one in _some(rng, sentences, 2, 5)))
        elif kind < 0.45:
            parts.append(code_fence(rng))
        elif kind < 0.65:
            parts.append(f"### {rng.choice(sentences)[:40].strip()}\n\n{rng.choice(paragraphs)}")
        else:
            parts.append(rng.choice(paragraphs))
    return "\n\n".join(parts)


def code_fence(rng: Random) -> str:
    """A fenced block of Python that resembles what assistants write."""
    lines = ["```python", f"def {_name(rng)}({_name(rng)}: str) -> dict[str, int]:"]
    for _ in range(rng.randint(3, 12)):
        indent = "    " * rng.randint(1, 3)
        lines.append(f'{indent}{_name(rng)} = {_name(rng)}["{_name(rng)}"].split("\\n")  # {_name(rng)}')
    return "\n".join([*lines, f"    return {{{_name(rng)!r}: {rng.randrange(10_000)}}}", "```"])


def _name(rng: Random) -> str:
    return "_".join(_word(rng, 2) for _ in range(rng.randint(1, 2)))


def _word(rng: Random, syllables: int) -> str:
    return "".join(rng.choices(SYLLABLES, k=syllables))


def _some(rng: Random, items: list[str], least: int, most: int) -> list[str]:
    return rng.choices(items, k=rng.randint(least, most))


def _zipf(rng: Random, vocabulary: list[str]) -> Iterator[str]:
    """`vocabulary` for ever, its first words most often."""
    weights = list(accumulate(1 / (rank + 2) for rank in range(len(vocabulary))))
    while True:
        yield from rng.choices(vocabulary, cum_weights=weights, k=2_000)


def _english(rng: Random) -> Sentences:
    common = COMMON_WORDS.split()
    phrases = [" ".join(rng.choices(common, k=3)) + " " + _word(rng, 3) for _ in range(150)]
    words = _zipf(rng, common + phrases + [_word(rng, rng.randint(2, 4)) for _ in range(3_500)])
    while True:
        chosen = list(islice(words, rng.randint(4, 17)))
        luck = rng.random()
        if luck < 0.15:
            chosen.insert(rng.randrange(len(chosen)), rng.choice(ODD_WORDS))
        elif luck < 0.20:
            chosen.append(rng.choice(EMOJI))
        if len(chosen) > 9:
            chosen[4] += ","
        yield " ".join(chosen).capitalize() + rng.choice((".", ".", ".", "?", "!"))


def _unspaced(rng: Random, letters: list[str], comma: str, stop: str) -> Sentences:
    words = _zipf(rng, ["".join(rng.choices(letters, k=rng.randint(1, 4))) for _ in range(4_000)])
    while True:
        yield ("".join(islice(words, rng.randint(3, 8))) + comma + "".join(islice(words, rng.randint(3, 10))) + stop)


def _japanese(rng: Random) -> Sentences:
    return _unspaced(rng, list(KANA) * 3 + KANJI[:200], "、", "。")


def _chinese(rng: Random) -> Sentences:
    return _unspaced(rng, KANJI, ",", "。")


LANGUAGES: dict[str, Callable[[Random], Sentences]] = {
    "en": _english,
    "ja": _japanese,
    "zh": _chinese,
}
