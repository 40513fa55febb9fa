"""What a prompt shows: its numbered lines."""

import re
from dataclasses import dataclass

_HEAD = re.compile(
    r"^\[(?:(?P<title>conversation) )?(?P<number>\d+)(?: (?P<context>[a-z ]{1,20}))?\]"
    r"(?: (?P<role>\w+)(?: [^:\n]{1,40})?:)?",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Numbered:
    """A message, a fact or a pair. `role` is empty where its header has none; `text` goes up to the next number.

    `[conversation 3]` gives the role `conversation`, `[12 reply to]` the role `reply to`: what is not a message.
    """

    number: int
    role: str
    text: str


def numbered_in(prompt: str) -> list[Numbered]:
    """The numbered lines of a prompt, by their headers `[12] user 2024-05-01:` or `[12]`, and what is between them."""
    heads = list(_HEAD.finditer(prompt))
    ends = [*(head.start() for head in heads[1:]), len(prompt)][: len(heads)]
    return [
        Numbered(
            int(head["number"]),
            head["title"] or head["context"] or head["role"] or "",
            prompt[head.end() : end].strip(),
        )
        for head, end in zip(heads, ends, strict=True)
    ]
