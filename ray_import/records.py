"""The values that move between the steps: an export's bytes, conversations, messages, chunks, counts.

Those of which there are hundreds per MB are structs of msgspec: a named tuple takes several times as long to make, and
a frozen dataclass longer still.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about a source that its user has to know: it makes the import `partial`, unless it is `harmless`.

    `kind` is a word that can be counted (`truncated`, `missing_shard` …), `where` a member or path.
    """

    kind: str
    where: str
    detail: str
    harmless: bool = False


def lacks(problems: Iterable[Problem]) -> bool:
    """Whether something of the source may be missing."""
    return any(not problem.harmless for problem in problems)


def trailing_data(where: str) -> Problem:
    """What is told of a gzip behind whose end something stands. What the gzip held is whole: its checksum is right."""
    return Problem("trailing_data", where, "extra data after the end of the gzip was ignored", harmless=True)


def not_read(where: str, detail: str) -> Problem:
    """A note: this file might hold chats, and it is not read (extraction.md §1)."""
    return Problem("not_read", where, detail, harmless=True)


def reject_problem(member: str, position: int, reason: str) -> Problem:
    """How a reject is told among the problems of an import."""
    return Problem("reject", f"{member}, item {position}", reason)


@dataclass(frozen=True, slots=True)
class RawConversation:
    """One item of an export as its bytes lie there, not yet looked at.

    `position` counts the member's items from 0, `offset` its bytes. `damage` says why the bytes
    cannot be one JSON value; it is empty for a proven cut.
    """

    member: str
    position: int
    offset: int
    data: bytes
    damage: str = ""


class Frame(NamedTuple):
    """Where one raw conversation lies in a batch's payload (`start`, `length` in bytes)."""

    member: str
    position: int
    start: int
    length: int
    damage: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Raw conversations that a worker gets at once, end to end, and where each one lies.

    `payload` is bytes, or the reference of a buffer that holds them: one flat piece, because Ray moves that without
    pickling it. `bytes_read` is how much of the export was read so far, and `seconds` is how long the reader has worked
    on this batch.
    """

    payload: Any
    size_bytes: int
    frames: tuple[Frame, ...]
    bytes_read: int = 0
    seconds: float = 0.0


class Message(msgspec.Struct, frozen=True, gc=False):
    """A kept message. `create_time` is the node's effective time in seconds since 1970, UTC.

    `parent_id` is the nearest kept message above this one in the tree. `text` holds the author's own words alone:
    `quoted` are the words of an answer that a question is about, `attachments` the names of files.
    """

    node_id: str
    parent_id: str | None
    thread: str
    on_active_path: bool
    role: str
    create_time: float | None
    text: str
    attachments: tuple[str, ...]
    quoted: str = ""
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation after the rules: `nodes = without_message + len(messages) + sum(left_out)`.

    `messages` are in the order of the graph (extraction.md §3). `notes` counts what was met on the
    way and is worth telling (`cycle`, `unknown_type:<name>`).
    """

    id: str
    title: str
    create_time: float | None
    update_time: float | None
    nodes: int
    without_message: int
    messages: tuple[Message, ...]
    left_out: Counter[str]
    notes: Counter[str]
    seen_types: Counter[str]
    model: str | None = None
    is_starred: bool = False
    is_archived: bool = False
    project: str | None = None
    memory_scope: str | None = None

    def __post_init__(self) -> None:
        """Raises ArithmeticError where a node is neither kept nor counted."""
        if self.nodes != self.without_message + len(self.messages) + self.left_out.total():
            raise ArithmeticError("nodes that are neither kept nor counted")


class Span(msgspec.Struct, frozen=True, gc=False, rename={"node_id": "node"}):
    """The piece `[start, end)` of a message's text that a chunk shows, at byte `at` of the chunk's content.

    All in UTF-8 bytes. `[start, fresh)` repeats the end of the chunk before (the overlap); `[fresh, end)` is new. The
    fresh pieces of a thread's chunks, joined, are its messages. A piece of another thread's message that stands before
    the first message of a side thread is `context`: none of it is new. A chunk that shows no more of a message than its
    attachments or quoted words has the span `[0, 0)` for it: these are not the message's text.

    As JSON it is an object of these names, in this order; `node_id` is called `node`.
    """

    node_id: str
    start: int
    fresh: int
    end: int
    at: int = 0
    context: bool = False


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk of one thread. `created_at` is the time of the first message that is new in it."""

    thread: str
    index: int
    count: int
    content: str
    tokens: int
    spans: tuple[Span, ...]
    created_at: float | None

    @property
    def node_ids(self) -> list[str]:
        """The messages of which something is new in this chunk: text, or words that stand before the text."""
        return [span.node_id for span in self.spans if not span.context and (span.end > span.fresh or not span.end)]


@dataclass(frozen=True, slots=True)
class Reject:
    """An item that could not be imported, kept as it was."""

    member: str
    position: int
    conversation_id: str | None
    reason: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class RejectRef:
    """What travels of a reject: its place and its reason, never its bytes."""

    member: str
    position: int
    reason: str


@dataclass(slots=True)
class Counts:
    """What became of what. `seen` is the sum of the other conversation counts."""

    seen: int = 0
    imported: int = 0
    unchanged: int = 0
    empty: int = 0
    rejected: int = 0
    not_a_conversation: int = 0
    kept: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    chunks_written: int = 0
    chunks_deleted: int = 0

    def add(self, other: "Counts") -> None:
        """Adds `other` to these counts."""
        for name in (
            "seen", "imported", "unchanged", "empty", "rejected", "not_a_conversation",
            "kept", "chunks_written", "chunks_deleted",
        ):  # fmt: skip
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.left_out.update(other.left_out)
        self.notes.update(other.notes)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a worker tells of a batch: numbers and places, never rows.

    `seconds` is how long it took, `sink_seconds` how much of that was spent on the destination: the sum of
    `look_up_seconds`, what is known of the batch, `write_seconds` and a rest. `sink_retries` is how often the
    destination was asked once more.
    """

    counts: Counts
    rejects: tuple[RejectRef, ...]
    seconds: float = 0.0
    sink_seconds: float = 0.0
    look_up_seconds: float = 0.0
    write_seconds: float = 0.0
    sink_retries: int = 0
