"""What an assistant is to remember of the user, in Markdown, made of facts without a model."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import groupby

from ray_import.destinations.profiles import Fact
from ray_import.profile.fencing import one_line
from ray_import.profile.settings import CATEGORIES, tokens_of


def chosen(facts: Iterable[Fact], tokens_of_fact: Callable[[Fact], int], most_tokens: int) -> list[Fact]:
    """Active facts within `most_tokens`, by category and time.

    The categories take turns. Within one, what was said most often comes first, then what was said last.
    """
    queues = _by_category(facts)
    for queue in queues.values():
        queue.sort(key=lambda fact: (min(fact.seen, 8), fact.said_at or "", fact.id))
    found, tokens = list[Fact](), 0
    while any(queues.values()):
        for queue in queues.values():
            if queue:
                fact = queue.pop()
                tokens += tokens_of_fact(fact)
                if tokens > most_tokens:
                    return _in_order(found)
                found.append(fact)
    return _in_order(found)


def _by_category(facts: Iterable[Fact]) -> dict[str, list[Fact]]:
    queues = defaultdict[str, list[Fact]](list, {category: [] for category in CATEGORIES})
    for fact in facts:
        if fact.status == "active":
            queues[fact.category].append(fact)
    return queues


def _in_order(facts: Iterable[Fact]) -> list[Fact]:
    order: dict[str, int] = {category: index for index, category in enumerate(CATEGORIES)}
    return sorted(facts, key=lambda fact: (order.get(fact.category, len(order)), fact.said_at or "~", fact.id))


MEMORY_TOKENS = 8_000
"""A chat reads it with every message."""

STATEMENT_CHARACTERS = 400

HEADINGS = {
    "preference": "Preferences",
    "project": "Projects",
    "date": "Important Dates",
    "belief": "Beliefs & Values",
    "decision": "Decisions & Context",
    "person": "People",
    "work": "Work",
    "interest": "Interests",
    "communication": "Communication",
}
"""By category, in this order. The first five are those that the front end knows."""

_ESCAPED = str.maketrans({character: f"\\{character}" for character in "\\`*[]<>|"})


def memory_md(facts: Iterable[Fact]) -> str:
    """The active facts under their headings, by time. Empty where there are none.

    At most MEMORY_TOKENS: see `ranking.chosen` for what stays out, which a last line counts.
    """
    active = [fact for fact in facts if fact.status == "active"]
    shown = chosen(active, lambda fact: tokens_of(_item(fact)) + 1, MEMORY_TOKENS)
    parts = list[str]()
    for category, group in groupby(shown, key=lambda fact: fact.category):
        parts.append(f"## {HEADINGS.get(category, category)}\n\n{''.join(map(_item, group))}")
    if len(shown) < len(active):
        parts.append(f"{len(active) - len(shown):,} more facts are stored.\n")
    return "\n".join(parts)


def markdown_text(text: str, most_characters: int = STATEMENT_CHARACTERS) -> str:
    """One line of Markdown that shows `text` as it is."""
    line = one_line(text, most_characters).translate(_ESCAPED)
    return f"\\{line}" if line[:1] in {"#", "-", "+", "=", "~"} else line


def _item(fact: Fact) -> str:
    day = f" ({fact.said_at[:10]})" if fact.said_at else ""
    return f"- {markdown_text(fact.statement)}{day}\n"
