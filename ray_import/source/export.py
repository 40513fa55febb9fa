"""An export as it was found: what there is to read, and what was wrong with the rest."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from ray_import.records import Problem
from ray_import.source.copies import Copy
from ray_import.source.streams import Opener


@dataclass(frozen=True, slots=True)
class Member:
    """One stream of conversations. `size` is in bytes of JSON, None where only reading tells (gzip).

    `copies` are the temporary copies of archives that it is read from.
    """

    name: str
    size: int | None
    opener: Opener
    copies: tuple[Copy, ...] = ()

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The member's bytes, from the first on; may be called again."""
        with ExitStack() as stack:
            yield self.opener(stack)


@dataclass(frozen=True, slots=True)
class Export:
    """A source that was looked into: at least one member, in the order of their numbers."""

    path: str
    members: tuple[Member, ...]
    problems: tuple[Problem, ...]

    def reading(self) -> Iterator[Member]:
        """The members, each to be read before the next is taken: copies that no later one needs are closed then."""
        last = {copy: member for member in self.members for copy in member.copies}
        for member in self.members:
            yield member
            for copy in member.copies:
                if last[copy] is member:
                    copy.close()
