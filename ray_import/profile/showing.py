"""A profile and its facts as a person reads them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from ray_import.destinations.profiles import Fact, ProfileVersion
from ray_import.profile.fencing import one_line
from ray_import.profile.memory import markdown_text
from ray_import.profile.merge_questions import day_of
from ray_import.profile.sections import LISTS, MOST_CHARACTERS, SECTIONS, TEXTS

QUOTE_CHARACTERS = 300

GENERATED = "\nThis section is generated: it is not something that the user said.\n"


def facts_table(facts: Iterable[Fact]) -> Table:
    """A row for each fact that is no duplicate, for `rich`. Words are shown as they are, never as markup."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("category", "said", "seen", "statement", "quote", "status", "conversation", "message"):
        table.add_column(name, overflow="fold", justify="right" if name == "seen" else "left")
    for fact in facts:
        if fact.status != "duplicate":
            table.add_row(*map(Text, _cells(fact)))
    return table


def _cells(fact: Fact) -> tuple[str, ...]:
    return (
        fact.category,
        day_of(fact.said_at),
        str(fact.seen),
        one_line(fact.statement, QUOTE_CHARACTERS),
        one_line(fact.quote, QUOTE_CHARACTERS),
        fact.status if fact.valid_to is None else f"{fact.status} {fact.valid_to[:10]}",
        fact.conversation_id,
        fact.node_id,
    )


def profile_markdown(version: ProfileVersion, facts: Iterable[Fact]) -> str:
    """The sections with numbers of sources, the memory, and the sources: what the user said where."""
    sources = _Sources({fact.id: fact for fact in facts})
    reach = "a sample of the messages" if version.kind == "quick" else "all facts"
    parts = [f"# Profile\n\nMade of {reach} on {version.created_at[:10]} with {version.model}.\n"]
    for name in SECTIONS:
        lines = list(_lines(name, version.sections.get(name) or {}, sources))
        if lines:
            note = (
                "\nThis section is generated: it is not something that the user said.\n" if name == "identity" else ""
            )
            parts.append(f"## {name.capitalize()}\n{note}\n{''.join(lines)}")
    if version.memory_md:
        parts.append(f"## Memory\n\n{version.memory_md.replace('## ', '### ')}")
    if sources.lines:
        parts.append(f"## Sources\n\n{''.join(sources.lines)}")
    return "\n".join(parts)


class _Sources:
    """Numbers what is cited, in the order in which it is first cited."""

    def __init__(self, facts: dict[str, Fact]) -> None:
        self.lines: list[str] = []
        self._facts = facts
        self._numbers = dict[str, int]()

    def number(self, cite: Any) -> int:
        """That of a fact's id, or of a message's place."""
        key = str(cite)
        if key not in self._numbers:
            self._numbers[key] = len(self._numbers) + 1
            self.lines.append(f"{self._numbers[key]}. {self._described(cite)}\n")
        return self._numbers[key]

    def _described(self, cite: Any) -> str:
        if isinstance(cite, dict):
            return f"Conversation `{cite.get('conversation_id')}`, message `{cite.get('node_id')}`"
        fact = self._facts.get(cite)
        if fact is None:
            return "A fact that is no longer stored"
        quote = markdown_text(fact.quote, QUOTE_CHARACTERS)
        return f"“{quote}” ({day_of(fact.said_at)}, conversation `{fact.conversation_id}`, message `{fact.node_id}`)"


def _lines(name: str, section: dict[str, Any], sources: _Sources) -> Iterator[str]:
    if name == "identity":
        for field, text in section.items():
            if isinstance(text, str) and text:
                yield f"- **{_label(field)}**: {markdown_text(text)}\n"
        return
    for field in (*TEXTS[name], *LISTS[name]):
        value = section.get(field)
        for statement in value if isinstance(value, list) else [value] if value else []:
            text = markdown_text(statement["text"], MOST_CHARACTERS)
            yield f"- **{_label(field)}**: {text}{_numbers(statement['cites'], sources)}\n"


def _numbers(cites: Sequence[Any], sources: _Sources) -> str:
    return "".join(f" \\[{sources.number(cite)}\\]" for cite in cites)


def _label(field: str) -> str:
    return field.replace("_", " ").capitalize().replace("Ai ", "AI ")
