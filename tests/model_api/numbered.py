"""What a prompt shows: its numbered lines."""

import re
from dataclasses import dataclass

_NUMBERED = re.compile(r"^\[(\d+)\](?: (\w+)(?: (\d{4}-\d\d-\d\d))?:)?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Numbered:
    """A message, a fact or a pair. `role` is empty where its header has none; `text` goes up to the next number."""

    number: int
    role: str
    text: str


def numbered_in(prompt: str) -> list[Numbered]:
    """The numbered lines of a prompt, by their headers `[12] user 2024-05-01:` or `[12]`."""
    heads = list(_NUMBERED.finditer(prompt))
    ends = [head.start() for head in heads[1:]] + [len(prompt)]
    return [
        Numbered(int(head[1]), head[2] or "", prompt[head.end() : end].strip())
        for head, end in zip(heads, ends, strict=True)
    ]
