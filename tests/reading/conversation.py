"""One conversation by the rules: the graph, then the texts, then what is kept, in that order."""

import json
from collections import Counter
from dataclasses import dataclass, field

from tests.reading.code_regions import Fence
from tests.reading.identity import conversation_id, stored_key, time_of
from tests.reading.reports import looks_like_a_tool_call, report_of
from tests.reading.tree import Node, Tree, in_order, mark_active_path, name_threads, planted
from tests.reading.visible import content_type_of, fields_of, is_unknown_type, reason, recipient_of, role_of, would_keep
from tests.reading.words import Words, answered, attachments_of, code_block_of, quoted_of, text_of, title_of, typed


@dataclass(frozen=True)
class ReadMessage:
    """A kept message."""

    node: str
    parent: str | None
    thread: str
    active: bool
    role: str
    time: float | None
    text: str
    quoted: str
    attachments: tuple[str, ...]
    model: str | None


@dataclass
class Reading:
    """What the rules make of a conversation. `id` is None where it is made of a hash."""

    id: str | None
    title: str
    create_time: float | None
    update_time: float | None
    nodes: int
    without_message: int
    messages: list[ReadMessage] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)


@dataclass
class Looked:
    """A node's message, looked at: its text, and why it is left out (None where it stays)."""

    node: Node
    message: dict[str, object]
    words: Words
    reason: str | None
    report: str | None = None
    """The id of the Deep Research report that this is (it may be empty), or None where it is none."""


def read(raw: bytes, active_only: bool = False) -> Reading | None:
    """The reading of one item of an export; None where it has no `mapping` object."""
    item = json.loads(raw)
    if not isinstance(item, dict) or not isinstance(item.get("mapping"), dict):
        return None
    create_time = time_of(item.get("create_time"))
    tree = planted(item["mapping"], create_time)
    mark_active_path(tree, item.get("current_node"), _would_keep)
    name_threads(tree)
    reading = Reading(
        id=conversation_id(item),
        title=title_of(item.get("title")),
        create_time=create_time,
        update_time=time_of(item.get("update_time")),
        nodes=len(tree.nodes),
        without_message=sum(node.message is None for node in tree.nodes.values()),
    )
    if tree.cycles:
        reading.notes["cycle"] = tree.cycles
    looked = _looked_at(tree)
    _leave_out_tool_calls(looked)
    _leave_out_repeated_reports(looked)
    for one in looked:
        if active_only and one.reason is None and not one.node.active:
            one.reason = "inactive_branch"
    _fill(reading, tree, looked, item.get("default_model_slug"))
    return reading


def _would_keep(message: dict[str, object]) -> bool:
    report = report_of(message)
    return would_keep(message) if report is None else bool(report[0].strip())


def _looked_at(tree: Tree) -> list[Looked]:
    """Every message, in the order of the graph."""
    looked = []
    fences: dict[str, Fence | None] = {}  # by node: what is open at the end of an assistant's text
    for node in in_order(tree):
        if node.message is None:
            continue
        parents_fence = fences.get(node.parent) if node.parent is not None else None
        one = _looked(node, node.message, parents_fence)
        if role_of(node.message) == "assistant":
            fences[node.key] = one.words.open_fence
        looked.append(one)
    return looked


def _looked(node: Node, message: dict[str, object], parents_fence: Fence | None) -> Looked:
    report = report_of(message)
    if report is not None:
        words = answered(report[0])
        if words.text.strip():
            return Looked(node, message, words, None, report[1])
        return Looked(node, message, words, "role:tool")
    why = reason(message)
    text = text_of(message.get("content"))
    if content_type_of(message) == "code" and recipient_of(message) == "all":
        text = code_block_of(fields_of(message, "content"))
    words = typed(text) if role_of(message) == "user" else answered(text, parents_fence)
    if why is None and not words.text.strip():
        why = "no_text"
    return Looked(node, message, words, why)


def _following(one: Looked, looked: list[Looked]) -> list[Looked]:
    """The messages after `one` in its own thread."""
    return [other for other in looked[looked.index(one) + 1 :] if other.node.thread == one.node.thread]


def _leave_out_tool_calls(looked: list[Looked]) -> None:
    """The rule: "… in a conversation where **no** message has a `recipient`, and followed down its own thread by a
    tool or assistant message with no user message (hidden ones included) between."
    """
    if any(recipient_of(one.message) for one in looked):
        return
    for one in looked:
        if one.reason is not None or not looks_like_a_tool_call(one.message):
            continue
        roles = [role_of(other.message) for other in _following(one, looked)]
        speaking = [role for role in roles if role in ("user", "assistant", "tool")]
        if speaking and speaking[0] != "user":
            one.reason = "tool_call"


def _leave_out_repeated_reports(looked: list[Looked]) -> None:
    """The rule: "Within one thread, of reports with an equal cleaned text or an equal `report_message.id` the last
    stays, the others count as `duplicate_report`; so does one whose cleaned text the next kept assistant message of
    the same thread repeats, with no user message between."
    """
    reports = [one for one in looked if one.report is not None and one.reason is None]
    for one in reports:
        if any(_same_report(one, other) for other in _following(one, looked) if other in reports):
            one.reason = "duplicate_report"
    for one in reversed(reports):  # what follows is settled first: the next *kept* message counts
        if one.reason is None and _is_repeated(one, looked):
            one.reason = "duplicate_report"


def _same_report(one: Looked, other: Looked) -> bool:
    return one.words.text == other.words.text or (bool(one.report) and one.report == other.report)


def _is_repeated(report: Looked, looked: list[Looked]) -> bool:
    for other in _following(report, looked):
        if role_of(other.message) == "user":
            return False
        if other.reason is None:
            return other.words.text == report.words.text
    return False


def _fill(reading: Reading, tree: Tree, looked: list[Looked], default_model: object) -> None:
    kept = {one.node.key: one for one in looked if one.reason is None}
    for one in looked:
        if one.reason in (None, "no_text", "inactive_branch", "tool_call", "duplicate_report"):
            _note(reading, one)
        if one.reason is not None:
            reading.left_out[one.reason] += 1
            continue
        above = [key for key in tree.path_to(one.node.key)[:-1] if key in kept]
        metadata = fields_of(one.message, "metadata")
        role = "assistant" if one.report is not None else role_of(one.message)
        reading.messages.append(
            ReadMessage(
                node=stored_key(one.node.key),
                parent=stored_key(above[-1]) if above else None,
                thread=stored_key(one.node.thread),
                active=one.node.active,
                role=role,
                time=one.node.time,
                text=one.words.text,
                quoted=quoted_of(metadata).text if role == "user" else "",
                attachments=attachments_of(metadata),
                model=_model(metadata, default_model) if role == "assistant" else None,
            )
        )


def _note(reading: Reading, one: Looked) -> None:
    """Counts what a visible message holds of unknown kinds, also where no text is left of it."""
    quoted = quoted_of(fields_of(one.message, "metadata")) if role_of(one.message) == "user" else Words("")
    for words in (one.words, quoted):
        reading.notes.update(f"unknown_mark:{kind}" for kind in words.unknown_marks)
        reading.notes.update(f"unknown_frame:{name}" for name in words.unknown_frames)
    if one.report is None and is_unknown_type(one.message):
        reading.notes[f"unknown_type:{content_type_of(one.message)}"] += 1


def _model(metadata: dict[str, object], default: object) -> str | None:
    """Format §2: "per-message `metadata.model_slug` -> `default_model_slug` -> unknown"."""
    for value in (metadata.get("model_slug"), default):
        if isinstance(value, str) and value:
            return value
    return None
