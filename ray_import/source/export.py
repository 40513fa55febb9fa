"""An export as it was found: what there is to read, and what was wrong with the rest."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from ray_import.records import Problem
from ray_import.source.copies import Copy
from ray_import.source.names import shard_order
from ray_import.source.streams import Opener


@dataclass(frozen=True, slots=True)
class Member:
    """One stream of conversations. `size` is in bytes of JSON, None where only reading tells (gzip).

    `copies` are the temporary copies of archives that it is read from, the innermost first.
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
    """A source that was looked into: at least one member, in the order of their numbers.

    Members that are read from one temporary copy follow each other, so that reading makes each copy at most once.
    `listed` are the shards that its manifests list, `shards` those that are there, whether they can be read or not.
    """

    path: str
    members: tuple[Member, ...]
    problems: tuple[Problem, ...]
    listed: frozenset[str] = frozenset()
    shards: frozenset[str] = frozenset()

    def reading(self) -> Iterator[Member]:
        """The members, each to be read before the next is taken: copies that no later one needs are closed then."""
        last = {copy: member for member in self.members for copy in member.copies}
        for member in self.members:
            yield member
            for copy in member.copies:
                if last[copy] is member:
                    copy.close()


def in_reading_order(members: Sequence[Member]) -> tuple[Member, ...]:
    """Sorts by `shard_order`, but keeps the members of one temporary copy together.

    Archives may have the same name. If their members took turns, each turn could unpack an archive again.
    """
    ordered = sorted(members, key=lambda member: shard_order(member.name))
    first: dict[Copy, int] = {}
    for place, member in enumerate(ordered):
        for copy in member.copies:
            first.setdefault(copy, place)
    keys = [([*(first[copy] for copy in reversed(one.copies)), place], one) for place, one in enumerate(ordered)]
    return tuple(member for _, member in sorted(keys, key=lambda pair: pair[0]))
