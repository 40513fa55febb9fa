"""One raw conversation to the messages that are kept, with every other one counted."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ray_import.errors import RecordError
from ray_import.extraction.content import visible_text
from ray_import.extraction.decode import decode
from ray_import.extraction.graph import Graph, Node, build_graph
from ray_import.extraction.text import clean_text, one_line
from ray_import.extraction.times import parse_time
from ray_import.extraction.values import as_dict, as_str
from ray_import.extraction.visibility import content_type_of, role_of, unknown_type, why_left_out
from ray_import.records import Conversation, Message
from ray_import.settings import Branches

_ID = re.compile(rb'"conversation_id"\s*+:\s*+"([^"\\]{1,100})"')


@dataclass(frozen=True, slots=True)
class NotAConversation:
    """An item that the rules pass over, counted (extraction.md §1)."""


def content_hash(raw: bytes | memoryview) -> str:
    """Equal for equal raw bytes: what decides that a conversation is unchanged."""
    return hashlib.sha256(raw).hexdigest()[:32]


def likely_id(raw: bytes) -> str | None:
    """The `conversation_id` of what may be no JSON, so that a person finds the conversation in the app.

    The last one: in official files it stands at the end, behind all messages.
    """
    found = _ID.findall(raw)
    return as_str(found[-1].decode(errors="replace")) if found else None


def extract(raw: bytes | memoryview, branches: Branches = "all") -> Conversation | NotAConversation:
    """Applies the rules to one item of an export. Raises RecordError where it is not JSON."""
    item = decode(raw)
    if not isinstance(item, dict) or not isinstance(item.get("mapping"), dict):
        return NotAConversation()
    mapping: dict[str, Any] = item["mapping"]
    create_time = parse_time(item.get("create_time"))
    nodes = [_node(key, value) for key, value in mapping.items()]
    if len({node.key for node in nodes}) < len(nodes):
        raise RecordError("ambiguous_node_keys")
    graph = build_graph(nodes, as_str(item.get("current_node")) or None, create_time)
    tally = _Tally(notes=Counter({"cycle": graph.cycles} if graph.cycles else {}))
    messages = _kept(list(mapping.values()), nodes, graph, branches, tally)
    return Conversation(
        id=_identity(item, raw),
        title=one_line(as_str(item.get("title"))),
        create_time=create_time,
        update_time=parse_time(item.get("update_time")),
        nodes=len(nodes),
        without_message=sum(not node.has_message for node in nodes),
        messages=tuple(messages),
        left_out=tally.left_out,
        notes=tally.notes,
        seen_types=tally.seen_types,
    )


@dataclass(slots=True)
class _Tally:
    """What is counted while the messages are gone through."""

    notes: Counter[str]
    left_out: Counter[str] = field(default_factory=Counter)
    seen_types: Counter[str] = field(default_factory=Counter)


def _node(key: str, value: object) -> Node:
    node = as_dict(value)
    message = node.get("message")
    parent = node.get("parent")
    has_message = isinstance(message, dict)
    time = parse_time(message.get("create_time")) if isinstance(message, dict) else None
    return Node(as_str(key), as_str(parent) if isinstance(parent, str) else None, time, has_message)


def _identity(item: dict[str, Any], raw: bytes | memoryview) -> str:
    for name in ("conversation_id", "id"):
        value = item.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if as_str(value).strip():
            return as_str(value)
    return f"unidentified-{content_hash(raw)[:16]}"


def _kept(values: list[Any], nodes: list[Node], graph: Graph, branches: Branches, tally: _Tally) -> Iterator[Message]:
    for i in graph.order:
        if not nodes[i].has_message:
            continue
        message: dict[str, Any] = values[i]["message"]
        role = role_of(message)
        tally.seen_types[f"{role} {content_type_of(message) or '(none)'}"] += 1
        text, reason = _text_or_reason(message, tally.notes)
        if reason is None and branches == "active" and not graph.active[i]:
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


def _text_or_reason(message: dict[str, Any], notes: Counter[str]) -> tuple[str, str | None]:
    reason = why_left_out(message)
    if reason is not None:
        return "", reason
    unheard_of = unknown_type(message)
    if unheard_of is not None:
        notes[f"unknown_type:{unheard_of}"] += 1
    text = clean_text(visible_text(message.get("content")))
    return text, None if text.strip() else "no_text"


def _attachments(message: dict[str, Any]) -> tuple[str, ...]:
    listed = as_dict(message.get("metadata")).get("attachments")
    names = [one_line(as_str(as_dict(entry).get("name"))) for entry in listed] if isinstance(listed, list) else []
    return tuple(name for name in names if name)
