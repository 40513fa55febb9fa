"""What becomes of each message of a conversation: kept, with a text, or left out for a reason (extraction.md §4).

An answer may continue another one: the second half of a program begins inside code (§5).
"""

from collections import Counter
from dataclasses import dataclass, field

from ray_import.chatgpt.content import visible_text
from ray_import.chatgpt.graph import Graph
from ray_import.chatgpt.item import RawMessage
from ray_import.chatgpt.markdown import open_fence_after
from ray_import.chatgpt.reports import Report, duplicate_reports, report_of
from ray_import.chatgpt.text import Cleaned, clean_answer, clean_own_words
from ray_import.chatgpt.visibility import (
    content_type_of,
    followed_calls,
    is_unknown,
    may_be_call,
    recipient_of,
    role_of,
    why_left_out,
)


class Answers:
    """Cleans the assistant's messages of one conversation, each after those above it in the tree.

    Positions are those of the graph's nodes.
    """

    def __init__(self) -> None:
        self._with_fences: dict[int, Cleaned] = {}

    def clean(self, position: int, parent: int | None, text: str) -> Cleaned:
        """The cleaned text of the message at `position`. `parent` is the position of its parent node."""
        has_fences = ("`" in text and "```" in text) or ("~" in text and "~~~" in text)
        cleaned = clean_answer(text, self._open_fence(parent) if has_fences else "")
        if has_fences:
            self._with_fences[position] = cleaned
        return cleaned

    def _open_fence(self, position: int | None) -> str:
        """The fence that is open at the end of an answer: looked for once, and only if an answer with code follows."""
        if position is None or position not in self._with_fences:
            return ""
        answer = self._with_fences[position]
        if answer.open_fence is None:
            answer = self._with_fences[position] = answer._replace(open_fence=open_fence_after(answer.text))
        return answer.open_fence or ""


NO_MESSAGE = ""
"""Stands in the place of a reason where a node has no message."""


@dataclass(slots=True)
class Judged:
    """A conversation's messages, all by position in the mapping.

    A message whose reason is None is kept. What is not needed any more is freed step by step: a conversation may be
    very large.
    """

    messages: list[RawMessage | None]
    names_recipients: bool
    roles: list[str]
    types: list[str]
    reasons: list[str | None]
    texts: list[str]
    reports: dict[int, Report] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)


def judge(messages: list[RawMessage | None]) -> Judged:
    """Decides by role, flags, channel, recipient and type; the texts decide the rest (`read_texts`)."""
    names_recipients = any(message is not None and recipient_of(message) for message in messages)
    count = len(messages)
    roles, types, texts = [""] * count, [""] * count, [""] * count
    reasons: list[str | None] = [NO_MESSAGE] * count
    judged = Judged(messages, names_recipients, roles, types, reasons, texts)
    for i, message in enumerate(messages):
        if message is None:
            continue
        roles[i], types[i] = role, content_type = role_of(message), content_type_of(message)
        reasons[i] = reason = why_left_out(message, role, content_type)
        if role == "tool":
            report = report_of(message)
            if report is not None:
                judged.reports[i], reasons[i] = report, None
        elif reason is None and is_unknown(content_type):
            judged.notes[f"unknown_type:{content_type}"] += 1
    return judged


def read_texts(judged: Judged, graph: Graph) -> None:
    """Sets the texts of those that are kept, and the reasons of those that are left out for the sake of their text."""
    messages, reasons, texts, reports = judged.messages, judged.reasons, judged.texts, judged.reports
    calls = set()
    answers = Answers()
    for i in graph.order:
        message = messages[i]
        if message is None or reasons[i] is not None:
            continue
        report = reports.get(i)
        text = visible_text(message.content) if report is None else report.text
        message.content = None
        if not judged.names_recipients and judged.roles[i] == "assistant" and may_be_call(text):
            calls.add(i)
        if judged.roles[i] == "user":
            text = clean_own_words(text)
        else:
            cleaned = clean_answer(text) if report else answers.clean(i, graph.parents[i], text)
            text = cleaned.text
            if cleaned.unknown:
                judged.notes.update(cleaned.unknown)
        if not text or text.isspace():
            reasons[i] = "no_text" if report is None else "role:tool"
        else:
            texts[i] = text
    if calls:
        _leave_out(judged, "tool_call", list(followed_calls(calls, graph.order, graph.threads, judged.roles)))
    if judged.reports:
        found = duplicate_reports(judged.reports, graph.order, graph.threads, judged.roles, judged.texts)
        _leave_out(judged, "duplicate_report", list(found))


def _leave_out(judged: Judged, reason: str, positions: list[int]) -> None:
    for i in positions:
        judged.reasons[i] = reason
        judged.texts[i] = ""
