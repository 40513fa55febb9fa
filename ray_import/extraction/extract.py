"""One raw conversation to the messages that are kept, with every other one counted."""

import hashlib
import re
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from ray_import.errors import RecordError
from ray_import.extraction.bounds import as_key, as_title
from ray_import.extraction.content import visible_text
from ray_import.extraction.graph import Graph, Node, build_graph
from ray_import.extraction.item import Item, RawMessage, read_item
from ray_import.extraction.text import clean_text, one_line
from ray_import.extraction.times import parse_time
from ray_import.extraction.values import as_dict, as_str
from ray_import.extraction.visibility import content_type_of, is_unknown, role_of, why_left_out
from ray_import.records import Conversation, Message
from ray_import.settings import Branches

_ID = re.compile(rb'"conversation_id"\s*+:\s*+"([^"\\]++)"')


@dataclass(frozen=True, slots=True)
class NotAConversation:
    """An item that the rules pass over, counted (extraction.md §1)."""


def content_hash(raw: bytes | memoryview) -> str:
    """Equal for equal raw bytes: what decides that a conversation is unchanged.

    The name of the algorithm, a colon and 32 hexadecimal digits.
    """
    return f"sha256:{hashlib.sha256(raw).hexdigest()[:32]}"


def hash_digits(content_hash: str) -> str:
    """A content hash without the name of its algorithm."""
    return content_hash.rpartition(":")[2]


def likely_id(raw: bytes) -> str | None:
    """The `conversation_id` of what may be no JSON, so that a person finds the conversation in the app.

    The last one: in official files it stands at the end, behind all messages.
    """
    last = deque(_ID.finditer(raw), maxlen=1)
    return as_key(last[0][1].decode(errors="replace")) if last else None


def extract(raw: bytes | memoryview, branches: Branches = "all") -> Conversation | NotAConversation:
    """Applies the rules to one item of an export. Raises RecordError where it is not JSON."""
    item = read_item(raw)
    if item is None:
        return NotAConversation()
    create_time = parse_time(item.create_time)
    messages = [node.message for node in item.mapping.values()]
    without_message = messages.count(None)
    nodes = _nodes(item, messages)
    item.mapping.clear()  # what is not needed any more is freed step by step: a conversation may be very large
    graph = build_graph(nodes, as_key(item.current_node) or None, create_time)
    tally = _Tally(notes=Counter({"cycle": graph.cycles} if graph.cycles else {}))
    kept = tuple(_kept(messages, nodes, graph, branches, tally))
    return Conversation(
        id=_identity(item, raw),
        title=as_title(item.title),
        create_time=create_time,
        update_time=parse_time(item.update_time),
        nodes=len(nodes),
        without_message=without_message,
        messages=kept,
        left_out=tally.left_out,
        notes=tally.notes,
        seen_types=Counter({f"{role} {kind or '(none)'}": seen for (role, kind), seen in tally.seen_types.items()}),
    )


@dataclass(slots=True)
class _Tally:
    """What is counted while the messages are gone through."""

    notes: Counter[str]
    left_out: Counter[str] = field(default_factory=Counter)
    seen_types: dict[tuple[str, str], int] = field(default_factory=dict)


def _nodes(item: Item, messages: list[RawMessage | None]) -> list[Node]:
    keys = [as_key(key) for key in item.mapping]
    if len(set(keys)) < len(keys):
        raise RecordError("ambiguous_node_keys")
    return [
        Node(
            key,
            as_key(node.parent) if isinstance(node.parent, str) else None,
            None if message is None else parse_time(message.create_time),
            message is not None,
        )
        for key, node, message in zip(keys, item.mapping.values(), messages, strict=True)
    ]


def _identity(item: Item, raw: bytes | memoryview) -> str:
    for value in (item.conversation_id, item.id):
        if isinstance(value, int) and not isinstance(value, bool):
            return as_key(str(value))
        if as_str(value).strip():
            return as_key(value)
    return f"unidentified-{hash_digits(content_hash(raw))[:16]}"


def _kept(
    messages: list[RawMessage | None], nodes: list[Node], graph: Graph, branches: Branches, tally: _Tally
) -> Iterator[Message]:
    """Those that are kept. Each of `messages` is dropped once it has been looked at."""
    for i in graph.order:
        message = messages[i]
        if message is None:
            continue
        messages[i] = None
        of_type = role, content_type = role_of(message), content_type_of(message)
        tally.seen_types[of_type] = tally.seen_types.get(of_type, 0) + 1
        text = ""
        reason = why_left_out(message, role, content_type)
        if reason is None:
            if is_unknown(content_type):
                tally.notes[f"unknown_type:{content_type}"] += 1
            text = clean_text(visible_text(message.content))
            if not text.strip():
                reason = "no_text"
            elif branches == "active" and not graph.active[i]:
                reason = "inactive_branch"
        if reason is not None:
            tally.left_out[reason] += 1
            continue
        parent = graph.parents[i]
        yield Message(
            node_id=nodes[i].key,
            parent_id=None if parent is None else nodes[parent].key,
            thread=graph.threads[i],
            on_active_path=graph.active[i],
            role=role,
            create_time=graph.times[i],
            text=text,
            attachments=_attachments(message),
        )


def _attachments(message: RawMessage) -> tuple[str, ...]:
    listed = message.metadata.attachments if message.metadata else None
    if not listed or not isinstance(listed, list):
        return ()
    names = (one_line(as_str(as_dict(entry).get("name"))) for entry in listed)
    return tuple(name for name in names if name)
