"""Members whose bytes come as slowly as a test wants, and what reading them gives."""

import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle
from typing import BinaryIO

from ray_import.reader.conversations import read_conversations
from ray_import.records import Problem, RawConversation
from ray_import.settings import Reader, ReadLimits
from ray_import.source.export import Member


class Dripping(io.BytesIO):
    """Gives at most so many bytes a read, as `sizes` say in turn."""

    def __init__(self, data: bytes, sizes: Sequence[int]) -> None:
        super().__init__(data)
        self._sizes = cycle(sizes)

    def read(self, size: int | None = -1, /) -> bytes:
        most = next(self._sizes)
        return super().read(most if size is None or size < 0 else min(size, most))


@dataclass(frozen=True, slots=True)
class Reading:
    """What came out of a member."""

    items: list[RawConversation] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def kinds(self) -> list[str]:
        """The kinds of the problems, in order."""
        return [problem.kind for problem in self.problems]


def member_of(stream: BinaryIO, name: str = "conversations.json") -> Member:
    """A member that is read from `stream`."""

    def opener(stack: ExitStack) -> BinaryIO:
        return stack.enter_context(stream)

    return Member(name, None, opener)


def read(
    data: bytes | BinaryIO,
    window_bytes: int = 512 * 1024,
    most: Sequence[int] = (),
    max_bytes: int = 1 << 28,
    reader: Reader = "auto",
    name: str = "conversations.json",
) -> Reading:
    """Reads all of `data` through a window of `window_bytes`, `most` bytes at a time."""
    stream = Dripping(data, most or [1 << 30]) if isinstance(data, bytes) else data
    reading = Reading()
    for item in items_of(stream, window_bytes, max_bytes, reader, name):
        if isinstance(item, Problem):
            reading.problems.append(item)
        else:
            reading.items.append(item)
    return reading


def items_of(
    stream: BinaryIO,
    window_bytes: int,
    max_bytes: int = 1 << 28,
    reader: Reader = "auto",
    name: str = "conversations.json",
) -> Iterator[RawConversation | Problem]:
    """What comes out of `stream`, as it comes."""
    return read_conversations(member_of(stream, name), ReadLimits(window_bytes, max_bytes, reader))
