"""One raw conversation to the messages that are kept, with every other one counted.

Titles, ids and node keys are bounded (extraction.md §2): each stands in every row or chunk of its conversation, so one
long title times many branches would make a database many times the size of the export.
"""

import hashlib
import re
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from ray_import.chatgpt.decode import as_dict, as_str
from ray_import.chatgpt.graph import Graph, Node, build_graph
from ray_import.chatgpt.item import Item, RawMessage, read_item
from ray_import.chatgpt.messages import NO_MESSAGE, Judged, judge, read_texts
from ray_import.chatgpt.text import clean_answer, clean_title, one_line
from ray_import.errors import RecordError
from ray_import.records import Conversation, Message
from ray_import.settings import Branches

MOST_TITLE_CHARACTERS = 300
MOST_KEY_BYTES = 200
"""Of a conversation's id and of a node's key, in UTF-8."""

_SHORT_CHARACTERS = MOST_KEY_BYTES // 4
"""Are never more bytes."""


def as_title(value: object) -> str:
    """A title as it is stored: one line of at most 300 characters, the last of which is `…` where it was cut."""
    title = clean_title(as_str(value))
    return title if len(title) <= MOST_TITLE_CHARACTERS else f"{title[: MOST_TITLE_CHARACTERS - 1].rstrip()}…"


def as_keys(names: list[str]) -> list[str]:
    """The same as `as_key` of each, in less time where none has to be changed."""
    if max(map(len, names), default=0) <= _SHORT_CHARACTERS and "\0" not in "".join(names):
        return names  # nearly always
    return list(map(as_key, names))


def as_key(value: object) -> str:
    """An id or a node's key as it is stored, "" where it is no string.

    One of over 200 bytes becomes `sha256:` and the first 32 hexadecimal digits of its hash: equal ones stay equal,
    different ones stay different.
    """
    if type(value) is str and len(value) <= _SHORT_CHARACTERS and "\0" not in value:
        return value  # nearly always
    key = as_str(value)
    encoded = key.encode()
    return key if len(encoded) <= MOST_KEY_BYTES else f"sha256:{hashlib.sha256(encoded).hexdigest()[:32]}"


EARLIEST = datetime(2015, 1, 1, tzinfo=UTC).timestamp()
LATEST = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
MILLISECONDS_ABOVE = 1e11


def parse_time(value: object) -> float | None:
    """Takes numbers, numeric strings and ISO 8601; None for all else, and outside 2015-2100."""
    seconds = value if type(value) is float else _seconds(value)
    if seconds is None:
        return None
    if seconds > MILLISECONDS_ABOVE:
        seconds /= 1000
    return seconds if EARLIEST <= seconds < LATEST else None


def _seconds(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < LATEST * 1000 else None  # some whole numbers are no float
    if not isinstance(value, str) or "_" in value:  # which Python takes for part of a number
        return None
    try:
        return float(value)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


_PROJECT = "g-p-"

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


def extract(
    raw: bytes | memoryview, branches: Branches = "all", *, count_types: bool = False
) -> Conversation | NotAConversation:
    """Applies the rules to one item of an export. Raises RecordError where it is not JSON.

    `Conversation.seen_types` is empty without `count_types`: an import does not need it.
    """
    item = read_item(raw)
    if item is None:
        return NotAConversation()
    create_time = parse_time(item.create_time)
    judged = judge([node.message for node in item.mapping.values()])
    nodes = _nodes(item, judged)
    item.mapping.clear()  # what is not needed any more is freed step by step: a conversation may be very large
    graph = build_graph(nodes, as_key(item.current_node) or None, create_time)
    if graph.cycles:
        judged.notes["cycle"] = graph.cycles
    read_texts(judged, graph)
    model = _name(item.default_model_slug)
    kept = tuple(_kept(judged, nodes, graph, branches, model))
    return Conversation(
        id=_identity(item, raw),
        title=as_title(item.title),
        create_time=create_time,
        update_time=parse_time(item.update_time),
        nodes=len(nodes),
        without_message=judged.reasons.count(NO_MESSAGE),
        messages=kept,
        left_out=Counter(filter(None, map(judged.reasons.__getitem__, graph.order))),
        notes=judged.notes,
        seen_types=_seen_types(judged, graph) if count_types else Counter(),
        model=model,
        is_starred=item.is_starred is True,
        is_archived=item.is_archived is True,
        project=_project(item),
        memory_scope=_name(item.memory_scope),
    )


def _seen_types(judged: Judged, graph: Graph) -> Counter[str]:
    roles, types = (map(of.__getitem__, graph.order) for of in (judged.roles, judged.types))
    seen = Counter(zip(roles, types, strict=True))
    del seen["", ""]  # the nodes without a message
    return Counter({f"{role} {kind or '(none)'}": count for (role, kind), count in seen.items()})


def _nodes(item: Item, judged: Judged) -> list[Node]:
    keys = as_keys(list(item.mapping))
    if len(set(keys)) < len(keys):
        raise RecordError("ambiguous_node_keys")
    return [
        Node(
            key,
            as_key(node.parent) if isinstance(node.parent, str) else None,
            None if message is None else parse_time(message.create_time),
            message is not None,
            reason is None,
        )
        for key, node, message, reason in zip(keys, item.mapping.values(), judged.messages, judged.reasons, strict=True)
    ]


def _identity(item: Item, raw: bytes | memoryview) -> str:
    for value in (item.conversation_id, item.id):
        if isinstance(value, int) and not isinstance(value, bool):
            return as_key(str(value))
        if as_str(value).strip():
            return as_key(value)
    return f"unidentified-{hash_digits(content_hash(raw))[:16]}"


def _name(value: object) -> str | None:
    """A name that a file gives, within the bound of keys; None if it is blank or not a string."""
    key = as_key(value)
    return key if key.strip() else None


def _project(item: Item) -> str | None:
    """The id of the project that the conversation belongs to. A custom GPT's id stands in the same two places."""
    for value in (item.conversation_template_id, item.gizmo_id):
        if as_str(value).startswith(_PROJECT):
            return as_key(value)
    return None


def _kept(
    judged: Judged, nodes: list[Node], graph: Graph, branches: Branches, default_model: str | None
) -> Iterator[Message]:
    """Those that are kept, each below the nearest kept one above it in the tree."""
    messages, reasons, parents = judged.messages, judged.reasons, graph.parents
    nearest: list[str | None] = [None] * len(nodes)  # of each node, the kept message that is nearest at or above it
    for i in graph.order:
        parent = parents[i]
        above = nearest[i] = None if parent is None else nearest[parent]
        message = messages[i]
        if message is None or reasons[i] is not None:
            continue
        if branches == "active" and not graph.active[i]:
            reasons[i] = "inactive_branch"
            continue
        nearest[i] = nodes[i].key
        role = "user" if judged.roles[i] == "user" else "assistant"  # a tool's report is read as the assistant's
        yield Message(
            node_id=nodes[i].key,
            parent_id=above,
            thread=graph.threads[i],
            on_active_path=graph.active[i],
            role=role,
            create_time=graph.times[i],
            text=judged.texts[i],
            attachments=_attachments(message),
            quoted=_quoted(message, judged.notes) if role == "user" else "",
            model=None if role == "user" else _model_of(message, default_model),
        )


def _quoted(message: RawMessage, notes: Counter[str]) -> str:
    """The words of an answer that a user's question is about, "" where there are none."""
    words = message.metadata.targeted_reply if message.metadata else None
    if not words:
        return ""
    text, unknown, _ = clean_answer(as_str(words))
    notes.update(unknown)
    return text if text.strip() else ""


def _model_of(message: RawMessage, default: str | None) -> str | None:
    slug = message.metadata.model_slug if message.metadata else None
    return default if slug is None else _name(slug) or default


def _attachments(message: RawMessage) -> tuple[str, ...]:
    listed = message.metadata.attachments if message.metadata else None
    if not listed or not isinstance(listed, list):
        return ()
    names = (one_line(as_str(as_dict(entry).get("name"))) for entry in listed)
    return tuple(name for name in names if name)
