"""What an assistant is to remember of the user, in Markdown, made of facts without a model."""

from collections.abc import Iterable
from itertools import groupby

from ray_import.profile.fencing import one_line
from ray_import.profile.ranking import chosen
from ray_import.profile.tokens import tokens_of
from ray_import.sink.profiles import Fact

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
