"""Users for the benchmarks of the profile step: conversations with planted facts, in words that are made up."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ray_import.destinations.profiles import Fact
from ray_import.profile.settings import CATEGORIES
from tests.support.model_api.planted import Planted
from tests.support.profile.chats import Chat

REPEATED = 0.15
"""Of the facts, what says again what an earlier one has said."""
CONTRADICTED = 0.05
"""Of the facts, what says otherwise of an earlier one's subject."""
BYTES_PER_FACT = 4_000
"""Of kept text: about nine facts in a pack."""

_SYLLABLES = [first + vowel for first in "bdfgklmnprstvz" for vowel in "aeiou"]


def words_of(rng: random.Random, count: int = 3_000) -> list[str]:
    """A vocabulary."""
    return ["".join(rng.choices(_SYLLABLES, k=rng.randint(2, 4))) for _ in range(count)]


def planted_facts(rng: random.Random, words: Sequence[str]) -> Iterator[Planted]:
    """Facts without end; some repeat or contradict earlier ones."""
    known: list[Planted] = []
    while True:
        fact = Planted(rng.choice(CATEGORIES), " ".join(rng.sample(words, 2)), " ".join(rng.sample(words, 4)))
        dice = rng.random()
        if known and dice < REPEATED:
            fact = rng.choice(known)
        elif known and dice < REPEATED + CONTRADICTED:
            fact = replace(rng.choice(known), value=fact.value)
        known.append(fact)
        yield fact


def chats_of(megabytes: float, seed: int = 0, first: int = 0, words: Sequence[str] = ()) -> list[Chat]:
    """Conversations with so many MB of text: most are short, a few fill several requests."""
    rng = random.Random(seed)
    words = words or words_of(random.Random(0))
    facts = planted_facts(rng, words)
    chats, left = list[Chat](), int(megabytes * 1_000_000)
    while left > 0:
        size = min(left, int(rng.lognormvariate(8.3, 1.2)))
        lines = _lines(rng, words, facts, size)
        left -= sum(map(len, lines))
        number = first + len(chats)
        chats.append(Chat(f"c-{number:06}", lines, " ".join(rng.sample(words, 3)), number % 3_000))
    return chats


def _lines(rng: random.Random, words: Sequence[str], facts: Iterator[Planted], size: int) -> tuple[str, ...]:
    """The turns of a conversation: the user plants facts, the assistant's answers are about three times as long."""
    lines, owed = list[str](), rng.random()
    while size > 0:
        said = " ".join(rng.choices(words, k=rng.randint(5, 60)))
        owed += 4 * len(said) / BYTES_PER_FACT
        if owed >= 1:
            owed -= 1
            said = f"{said}. {next(facts).quote}"
        lines += [said, " ".join(rng.choices(words, k=rng.randint(30, 180)))]
        size -= len(lines[-1]) + len(lines[-2])
    return tuple(lines) or ("Hello.", "Hello.")


def stored_facts(count: int, seed: int = 0) -> list[Fact]:
    """Facts as they are stored, of as many messages."""
    rng = random.Random(seed)
    facts = planted_facts(rng, words_of(rng))
    made = []
    for number in range(count):
        fact = next(facts)
        day = f"20{10 + number % 15}-0{1 + number % 9}-{10 + number % 18}T00:00:00Z"
        made.append(
            Fact(
                id=f"{number:08}",
                unit_id="u",
                category=fact.category,
                subject=fact.subject,
                statement=fact.statement,
                quote=fact.quote,
                product="chatgpt",
                conversation_id=f"c-{number}",
                node_id=f"n-{number}",
                said_at=day,
            )
        )
    return made
