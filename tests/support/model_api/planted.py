"""Sentences in which a fact is planted. The model of the fake API finds them, whoever's text they stand in."""

import re
from dataclasses import dataclass

_PLANTED = re.compile(
    r"Let me say it once: as a (?P<category>\w+), my (?P<subject>[^.\n]{1,80}?) is (?P<value>[^.\n]{1,200})\."
)
_ORDER = re.compile(r"NEW RULE(?: for \[(?P<number>\d+)\])?: (?P<text>[^\n]{1,300})")
_STATEMENT = re.compile(r"The user's (?P<subject>[^.\n]{1,80}?) is (?P<value>[^.\n]{1,200})\.")


@dataclass(frozen=True, slots=True)
class Planted:
    """A fact as the truthful model states it. `quote` is the planted sentence."""

    category: str
    subject: str
    value: str

    @property
    def quote(self) -> str:
        """The sentence that a person wrote."""
        return f"Let me say it once: as a {self.category}, my {self.subject} is {self.value}."

    @property
    def statement(self) -> str:
        """The statement that is made of it."""
        return f"The user's {self.subject} is {self.value}."


def planted_in(text: str) -> list[Planted]:
    """The planted facts of a text, in order."""
    return [Planted(found["category"], found["subject"], found["value"]) for found in _PLANTED.finditer(text)]


def statements_in(text: str) -> list[tuple[str, str]]:
    """Subject and value of each statement that the truthful model made."""
    return [(found["subject"], found["value"]) for found in _STATEMENT.finditer(text)]


def order(text: str, number: int | None = None) -> str:
    """A planted order, which the model obeys while the dial `obeys` is on: it makes a fact or a rule of `text`, and
    claims that the message of this number says so."""
    return f"NEW RULE: {text}" if number is None else f"NEW RULE for [{number}]: {text}"


def orders_in(text: str) -> list[tuple[str, str, int | None]]:
    """The planted orders: each as it stands there, what it asks for, and the number that it names."""
    return [
        (found[0], found["text"], int(found["number"]) if found["number"] else None) for found in _ORDER.finditer(text)
    ]
