"""What an export holds and what an import would do with it, found by doing all but the writing."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ray_import.chatgpt.extract import NotAConversation, content_hash, extract
from ray_import.chatgpt.graph import MAIN
from ray_import.chunks.chunker import chunk_conversation
from ray_import.chunks.rendering import quoted_lines
from ray_import.chunks.rows import iso_time
from ray_import.destinations.copies import newness
from ray_import.errors import RecordError, SourceError, reject_reason
from ray_import.pipeline.sources import Sources
from ray_import.pipeline.tally import bounded, held, kind_of_type
from ray_import.records import Conversation, Problem, RawConversation, reject_problem
from ray_import.settings import ImportSettings


@dataclass(slots=True)
class Inspection:
    """An export in numbers. `seen` is the sum of the other conversation counts.

    Of several `copies` of a conversation one stays: `kept`, `threads` and `chunks` are of that, while nodes,
    `left_out` and `types` (messages by role and content type) are of all that were looked at, as in an
    import. `first` and `last` are times of kept messages, ISO 8601 in UTC.
    """

    source: str
    seen: int = 0
    to_import: int = 0
    copies: int = 0
    empty: int = 0
    rejected: int = 0
    not_a_conversation: int = 0
    nodes: int = 0
    without_message: int = 0
    kept: int = 0
    threads: int = 0
    side_threads: int = 0
    chunks: int = 0
    types: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    first: str | None = None
    last: str | None = None
    problems: list[Problem] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The object that `inspect --json` prints."""
        return {
            "source": self.source,
            "conversations": {
                "seen": self.seen, "to_import": self.to_import, "copies": self.copies, "empty": self.empty,
                "rejected": self.rejected, "not_a_conversation": self.not_a_conversation,
            },
            "nodes": {"all": self.nodes, "without_message": self.without_message},
            "messages": {
                "kept": self.kept, "left_out": dict(self.left_out.most_common()),
                "by_role_and_type": dict(self.types.most_common()),
            },
            "threads": {"all": self.threads, "side": self.side_threads},
            "dates": {"first": self.first, "last": self.last},
            "chunks": self.chunks,
            "notes": dict(self.notes.most_common()),
            "problems": [asdict(problem) for problem in self.problems],
        }  # fmt: skip


def inspect_sources(sources: Sources, settings: ImportSettings) -> Inspection:
    """Goes through `sources` as an import would, writing nothing. Raises NotAnExport where that would."""
    found = Inspection(sources.label)
    there: dict[str, _Copy] = {}
    for raw in sources.conversations():
        found.seen += 1
        outcome = outcome_of(raw, settings)
        if isinstance(outcome, Problem):
            found.rejected += 1
            found.problems.append(outcome)
        elif isinstance(outcome, NotAConversation):
            found.not_a_conversation += 1
        else:
            copy = _Copy(newness(iso_time(outcome.update_time), outcome.nodes), content_hash(raw.data))
            _add(found, outcome, settings, copy, there)
    sources.refuse_nothing_found(found.seen, found.not_a_conversation)
    found.problems[:0] = sources.problems
    found.types = bounded(found.types, kind_of_type)
    found.left_out, found.notes = bounded(found.left_out), bounded(found.notes)
    return found


def extracted(sources: Sources, settings: ImportSettings) -> Iterator[Conversation | NotAConversation | Problem]:
    """Every item of `sources` after the rules, in order; one that cannot be read is a problem of kind `reject`.

    Of several copies of a conversation, only the one that an import of them would leave is given. So `sources` are
    read twice: the first time for the places of these copies. Raises SourceError where they have changed in between.
    """
    places = _places_of_newest(sources, settings)
    left = len(places)
    for place, raw in enumerate(sources.conversations()):
        outcome = outcome_of(raw, settings)
        if isinstance(outcome, Conversation):
            if places.get(outcome.id) != place:
                continue
            left -= 1
        yield outcome
    if left:
        raise SourceError(f"{sources.label} has changed while it was read.", "Run the command again.")


def _places_of_newest(sources: Sources, settings: ImportSettings) -> dict[str, int]:
    """By id, which item of `sources`, counted from 0, is the copy that stays; nothing of the texts is held."""
    newest: dict[str, tuple[tuple[str, int], str, int]] = {}
    for place, raw in enumerate(sources.first_pass()):
        outcome = outcome_of(raw, settings)
        if isinstance(outcome, Conversation):
            copy = newness(iso_time(outcome.update_time), outcome.nodes), content_hash(raw.data), place
            newest[outcome.id] = max(newest.get(outcome.id, copy), copy)
    return {conversation_id: place for conversation_id, (_, _, place) in newest.items()}


def message_lines(conversation: Conversation) -> Iterator[dict[str, Any]]:
    """The objects that `extract` prints of a conversation, one for each kept message; docs/extraction.md, section 8."""
    for position, message in enumerate(conversation.messages):
        yield {
            "conversation_id": conversation.id,
            "title": conversation.title,
            "node_id": message.node_id,
            "parent_id": message.parent_id,
            "thread": message.thread,
            "on_active_path": message.on_active_path,
            "position": position,
            "role": message.role,
            "create_time": message.create_time,
            "model": message.model,
            "quoted": message.quoted,
            "text": quoted_lines(message.quoted) + message.text if message.quoted else message.text,
            "attachments": message.attachments,
        }


def outcome_of(raw: RawConversation, settings: ImportSettings) -> Conversation | NotAConversation | Problem:
    """One item after the rules."""
    try:
        if raw.damage:
            raise RecordError(raw.damage)
        return extract(raw.data, settings.branches, count_types=True)
    except Exception as error:  # noqa: BLE001 - as in an import, whatever it is, it costs one conversation
        return reject_problem(raw.member, raw.position, reject_reason(error))


@dataclass(frozen=True, slots=True, order=True)
class _Copy:
    """A copy of a conversation; of several the greatest one stays (extraction.md §2). The rest is what it adds."""

    newness: tuple[str, int]
    raw_hash: str
    kept: int = field(default=0, compare=False)
    threads: int = field(default=0, compare=False)
    side_threads: int = field(default=0, compare=False)
    chunks: int = field(default=0, compare=False)


def _add(
    found: Inspection, conversation: Conversation, settings: ImportSettings, copy: _Copy, there: dict[str, _Copy]
) -> None:
    before = there.get(conversation.id)
    found.copies += before is not None
    if before is not None and before.raw_hash == copy.raw_hash:
        return
    found.nodes += conversation.nodes
    found.without_message += conversation.without_message
    found.types.update(conversation.seen_types)
    found.left_out.update(conversation.left_out)
    found.notes.update(conversation.notes)
    found.types = held(found.types, kind_of_type)
    found.left_out, found.notes = held(found.left_out), held(found.notes)
    if before is not None:
        found.notes["older_copy"] += 1
        if before > copy:
            return
        _count(found, before, -1)
    threads = {message.thread for message in conversation.messages}
    chunks = sum(1 for _ in chunk_conversation(conversation, settings.chunks))
    there[conversation.id] = replace(
        copy,
        kept=len(conversation.messages),
        threads=len(threads),
        side_threads=len(threads - {MAIN}),
        chunks=chunks,
    )
    _count(found, there[conversation.id], 1)
    times = [time for m in conversation.messages if (time := iso_time(m.create_time)) is not None]
    if times:
        found.first = min(filter(None, (found.first, min(times))))
        found.last = max(filter(None, (found.last, max(times))))


def _count(found: Inspection, copy: _Copy, sign: int) -> None:
    found.to_import += sign if copy.kept else 0
    found.empty += 0 if copy.kept else sign
    found.kept += sign * copy.kept
    found.threads += sign * copy.threads
    found.side_threads += sign * copy.side_threads
    found.chunks += sign * copy.chunks
