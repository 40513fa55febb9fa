"""An export as it was found: what there is to read, and what was wrong with the rest."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from ray_import.records import Problem
from ray_import.source.streams import Opener


@dataclass(frozen=True, slots=True)
class Member:
    """One stream of conversations. `size` is in bytes of JSON, None where only reading tells (gzip)."""

    name: str
    size: int | None
    opener: Opener

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
