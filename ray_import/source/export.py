"""An export as it was found: what there is to read, and what was wrong with the rest.

Some files are looked at only after the complete source was walked; those that are not read become notes.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from ray_import.chatgpt.files import copy_of, is_archive, is_group_chats, is_other_json, shard_order
from ray_import.records import Problem, not_read
from ray_import.source.archives import Entry
from ray_import.source.streams import Opener
from ray_import.source.temporary_copies import Copy


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


MAX_NAMED = 20
"""Files of one source that are not read and are named; the others are only counted."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may hold conversations. `inside` is its name with those of the archives that it lies in; `depth` is
    how many archives may be nested in it, and `copies` are as in `Member`."""

    entry: Entry
    inside: str
    depth: int
    copies: tuple[Copy, ...]


@dataclass(slots=True)
class Aside:
    """Sorts candidates by their names."""

    group_chats: list[Candidate] = field(default_factory=list)
    others: list[Candidate] = field(default_factory=list)
    """JSON files of any other name."""
    _numbered: list[tuple[str, int, Candidate]] = field(default_factory=list)
    _notes: list[Problem] = field(default_factory=list)
    _unnamed: int = 0

    def put(self, candidate: Candidate, *, beside_conversations: bool) -> None:
        """Keeps `candidate`, if its name says that it may hold conversations; an archive beside a file of
        conversations is noted."""
        name = candidate.entry.name
        copy = copy_of(name)
        if copy is not None:
            self._numbered.append((*copy, candidate))
        elif is_group_chats(name):
            self.group_chats.append(candidate)
        elif is_archive(name):
            if beside_conversations:
                self.note(candidate, "archives beside a file of conversations are not looked into")
        elif is_other_json(name):
            self.others.append(candidate)

    def newest_copies(self) -> list[Candidate]:
        """Of files such as `conversations (2).json` those with the highest number, which count as read from then on."""
        highest: dict[str, int] = {}
        for original, number, _ in self._numbered:
            highest[original] = max(number, highest.get(original, 0))
        newest = [candidate for original, number, candidate in self._numbered if number == highest[original]]
        self._numbered = [one for one in self._numbered if one[1] != highest[one[0]]]
        return newest

    def note(self, candidate: Candidate, why: str) -> None:
        """Notes that `candidate` might hold chats and is not read."""
        if len(self._notes) < MAX_NAMED:
            self._notes.append(not_read(candidate.inside, f"it may hold chats and is not read: {why}"))
        else:
            self._unnamed += 1

    def notes(self, where: str) -> list[Problem]:
        """All notes, also about the copies that are not read. `where` is the source."""
        for _, _, candidate in self._numbered:
            self.note(candidate, "another file of conversations was read instead")
        self._numbered = []
        more = f"{self._unnamed:,} more files may hold chats and are not read"
        return self._notes + ([not_read(where, more)] if self._unnamed else [])
