"""All the exports of a run as one stream of raw conversations, and what was wrong with them.

Stored rejects of earlier imports are a source, too: after an upgrade, some may pass.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Protocol

from ray_import.chatgpt.decode import decode
from ray_import.chatgpt.files import copy_of, is_conversations, missing_shards
from ray_import.chatgpt.products import is_chatgpts, other_product
from ray_import.destinations.base import KeptReject, Sink
from ray_import.errors import ConfigError, NotAnExport, RecordError, SourceError
from ray_import.reader.conversations import read_conversations
from ray_import.records import Problem, RawConversation, lacks
from ray_import.settings import ReadLimits
from ray_import.source.address import label_of
from ray_import.source.export import Export, Member
from ray_import.source.open_export import open_export
from ray_import.source.patience import PATIENCE, RetryPolicy

LOOK_AT_ITEMS = 20
"""How many items decide that an export is another product's: some begin with items of other kinds."""
LARGE_ITEM_BYTES = 1024 * 1024
"""One that is larger is not built to look at it, which would take many times its size."""


class ConversationSource(Protocol):
    """What an import reads. While that is done, `bytes_read` and `problems` grow."""

    problems: list[Problem]
    bytes_read: int

    @property
    def bytes_total(self) -> int | None:
        """What `bytes_read` will come to, None where only reading tells."""

    @property
    def label(self) -> str:
        """How the import's source is called in its job and summary."""

    @property
    def may_be_empty(self) -> bool:
        """Whether it is no error that nothing is in it; known when all is read."""

    def conversations(self) -> Iterator[RawConversation]:
        """Every item, in order."""


def nothing_found(
    label: str, seen: int, not_a_conversation: int, problems: Sequence[Problem], *, may_be_empty: bool
) -> NotAnExport | None:
    """The error of a source that was read to its end and cannot have been an export: none of the items seen is a
    conversation, or a damaged one. An array with nothing in it, under its usual name (`may_be_empty`), is the export of
    an account without a single chat."""
    if seen > not_a_conversation or (not seen and may_be_empty):
        return None
    what = f"none of {seen:,} items has a mapping" if seen else "it is empty"
    first = "".join(f"; {problem.kind}: {problem.detail}" for problem in problems[:1])
    return NotAnExport(
        f"{label} holds no conversations ({what}{first}).",
        "A ChatGPT export is an array of conversations, each with a mapping of its messages.",
    )


@dataclass(frozen=True, slots=True)
class _Begun:
    """A member whose first items were looked at, and all its items: the reading continues behind the first."""

    member: Member
    items: Iterator[RawConversation | Problem]


@dataclass(slots=True)
class Sources:
    """The exports of a run, one after the other; see `ConversationSource`.

    The reading of `begun` is used once; after that, its member is read from the beginning.
    """

    exports: tuple[Export, ...]
    limits: ReadLimits
    problems: list[Problem] = field(default_factory=list)
    bytes_read: int = 0
    begun: _Begun | None = None

    @property
    def bytes_total(self) -> int | None:
        """The JSON's bytes, None where a gzip hides them."""
        sizes = [member.size for export in self.exports for member in export.members]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def label(self) -> str:
        """How the run's source is called in its job and summary."""
        return ", ".join(export.path for export in self.exports)

    def refuse_nothing_found(self, seen: int, not_a_conversation: int) -> None:
        """An export without a single conversation is an error, not a success with nothing in it: see `nothing_found`.

        Raises NotAnExport.
        """
        error = nothing_found(self.label, seen, not_a_conversation, self.problems, may_be_empty=self.may_be_empty)
        if error is not None:
            raise error

    @property
    def may_be_empty(self) -> bool:
        """Whether this may be the export of an account without a single chat; known when all is read."""
        members = [member for export in self.exports for member in export.members]
        return not lacks(self.problems) and all(is_conversations(one.name) or copy_of(one.name) for one in members)

    def conversations(self) -> Iterator[RawConversation]:
        """Every item of every export, in order; problems are put aside."""
        return self._items(Export.reading)

    def first_pass(self) -> Iterator[RawConversation]:
        """The items that `conversations` will give, for a command that reads twice: temporary copies of archives stay
        open, and neither `problems` nor `bytes_read` change."""
        return replace(self, problems=[], bytes_read=0, begun=None)._items(lambda export: export.members)  # noqa: SLF001

    def _items(self, members_of: Callable[[Export], Iterable[Member]]) -> Iterator[RawConversation]:
        for export in self.exports:
            for member in members_of(export):
                before = self.bytes_read
                for item in self._items_of(member):
                    if isinstance(item, Problem):
                        self.problems.append(item)
                    else:
                        self.bytes_read = before + item.offset + len(item.data)
                        yield item
                    del item  # it may be large, and the next one is read now
                if member.size is not None:
                    self.bytes_read = before + member.size

    def _items_of(self, member: Member) -> Iterator[RawConversation | Problem]:
        begun, self.begun = self.begun, None
        if begun is not None and begun.member is member:
            return begun.items
        return read_conversations(member, self.limits)


def open_sources(
    sources: Sequence[str | os.PathLike[str]], limits: ReadLimits, patience: RetryPolicy = PATIENCE
) -> Sources:
    """Looks into every source (see `open_export`). Of several, a bad one is a problem and the rest go on; if none
    is good, the first one's error is raised (ConfigError, SourceError and its kinds). A shard is missing only if no
    source has it."""
    exports: list[Export] = []
    problems: list[Problem] = []
    errors: list[ConfigError | SourceError] = []
    begun: _Begun | None = None
    for source in sources:
        try:
            export, begun = _without_other_products(open_export(source, limits, patience), limits)
            exports.append(export)
            problems.extend(export.problems)
        except (ConfigError, SourceError) as error:
            errors.append(error)
            problems.append(Problem("source_failed", label_of(source), error.message))
    if not exports:
        raise errors[0]
    shards = frozenset[str]().union(*(export.shards for export in exports))
    for export in exports:
        problems.extend(missing_shards(export.path, export.listed, shards))
    # The items of several exports are called otherwise from here on.
    return Sources(_told_apart(exports), limits, problems, begun=begun if len(exports) == 1 else None)


def _told_apart(exports: list[Export]) -> tuple[Export, ...]:
    """Of several exports, the names of members begin with the export's: nearly all are conversations.json."""
    if len(exports) == 1:
        return tuple(exports)
    return tuple(
        replace(export, members=tuple(replace(one, name=f"{export.path}/{one.name}") for one in export.members))
        for export in exports
    )


def _without_other_products(export: Export, limits: ReadLimits) -> tuple[Export, _Begun | None]:
    """`export` with the members that are ChatGPT's, and the reading of the first of all. Raises NotAnExport where none
    is."""
    begun: _Begun | None = None
    found = []
    for place, member in enumerate(export.members):
        product, items = _looked_at(member, limits)
        found.append((member, product))
        if place == 0 and items is not None and not member.copies:  # of others nothing stays open
            begun = _Begun(member, items)
    strangers = [(member, product) for member, product in found if product is not None]
    what = "looks like a {} export; only ChatGPT exports are supported"
    if len(strangers) == len(found):
        raise NotAnExport(f"{export.path} {what.format(strangers[0][1])}.")
    problems = (Problem("other_product", member.name, what.format(product)) for member, product in strangers)
    ours = tuple(member for member, product in found if product is None)
    return replace(export, members=ours, problems=(*export.problems, *problems)), begun


def _looked_at(member: Member, limits: ReadLimits) -> tuple[str | None, Iterator[RawConversation | Problem] | None]:
    """`_other_product_in` of a member, and all its items, of which the first are held; None where these are large."""
    items = read_conversations(member, limits)
    first: deque[RawConversation | Problem] = deque()

    def held() -> Iterator[RawConversation | Problem]:
        for item in islice(items, LOOK_AT_ITEMS + 1):
            first.append(item)
            yield item

    product = _other_product_in(held())
    if any(isinstance(item, RawConversation) and len(item.data) > LARGE_ITEM_BYTES for item in first):
        return product, None
    return product, _continued(first, items)


def _continued(
    first: deque[RawConversation | Problem], rest: Iterator[RawConversation | Problem]
) -> Iterator[RawConversation | Problem]:
    while first:
        yield first.popleft()
    yield from rest


def _other_product_in(items: Iterable[RawConversation | Problem]) -> str | None:
    """Whose the items are, where they are another product's and none is a ChatGPT conversation."""
    product = None
    for item in items:
        if isinstance(item, Problem):
            continue
        if len(item.data) > LARGE_ITEM_BYTES:
            if b'"author"' in item.data:
                return None
            continue
        try:
            value = decode(item.data)
        except RecordError:
            continue
        if is_chatgpts(value):
            return None
        product = product or other_product(value)
    return product


@dataclass(slots=True)
class KeptRejects:
    """The rejects `kept` of one user, read from `sink` one at a time; see `ConversationSource`.

    Those that pass are let go of by the sink, in the transaction that puts their conversation in.
    """

    kept: Sequence[KeptReject]
    sink: Sink
    problems: list[Problem] = field(default_factory=list)
    bytes_read: int = 0

    @property
    def bytes_total(self) -> int:
        """All of them."""
        return sum(reject.size_bytes for reject in self.kept)

    @property
    def label(self) -> str:
        """How the import's source is called in its job and summary."""
        return "rejects of earlier imports"

    @property
    def may_be_empty(self) -> bool:
        """Others may have imported, or deleted, all of them meanwhile."""
        return True

    def conversations(self) -> Iterator[RawConversation]:
        """Each as it was kept, under the place where it was found."""
        for reject in self.kept:
            raw = self.sink.reject_bytes(reject.user_id, reject.raw_hash)
            self.bytes_read += reject.size_bytes
            if raw is not None:
                yield RawConversation(reject.member, reject.position, 0, raw)
