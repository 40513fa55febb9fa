"""Deep Research reports: messages of tools that a person reads as the assistant's answer (extraction.md §4).

A report stands in the state of a widget, which is saved again with each of its changes, or it is the result of a task
that ran beside the chat. So the same report may stand in a thread several times, and once more as the answer itself.
"""

from collections.abc import Iterator
from typing import NamedTuple

from ray_import.chatgpt.content import visible_text
from ray_import.chatgpt.decode import as_dict, as_str, decode_text, is_set
from ray_import.chatgpt.item import Content, RawMessage

_STATE_SIGN = "The latest state of the widget is:"
_REPORT_SIGN = "report_message"
_HEAD_CHARACTERS = 200
"""The sign stands at the beginning of a message's own text. More of it is not searched."""


class Report(NamedTuple):
    """Its text before marks are taken out, and the id of its message in the widget's state ("" if there is none)."""

    text: str
    id: str


def report_of(message: RawMessage) -> Report | None:
    """The report in `message`, which is one of the role `tool`. None if it has none, or a blank one."""
    metadata = message.metadata
    report = None
    if metadata is not None and metadata.chatgpt_sdk is not None:
        report = _report_in(as_dict(metadata.chatgpt_sdk).get("widget_state"))
    if report is None and _begins_with_a_state(message.content):
        text = visible_text(_unfenced(message.content)).strip()
        return _report_in(text.removeprefix(_STATE_SIGN)) if text.startswith(_STATE_SIGN) else None
    if report is None and metadata is not None and metadata.async_task_type == "research":
        return _result_of(message) if is_set(metadata.is_async_task_result_message) else None
    return report


def _unfenced(content: Content | str | None) -> Content | str | None:
    """A state that is written as code is shown without its fence."""
    return Content("text", content.parts, content.text) if isinstance(content, Content) else content


def _report_in(state: object) -> Report | None:
    """The report of a widget's state, which is a JSON object or the text of one."""
    if isinstance(state, str):
        state = decode_text(state) if _REPORT_SIGN in state else None
    message = as_dict(as_dict(state).get("report_message"))
    parts = as_dict(message.get("content")).get("parts")
    text = visible_text(Content("text", parts)) if isinstance(parts, list) else ""
    return Report(text, as_str(message.get("id"))) if text.strip() else None


def _begins_with_a_state(content: Content | str | None) -> bool:
    """A cheap look at the first text of `content`: tools write much, and hardly ever this."""
    if content is None or isinstance(content, str):
        text: object = content
    else:
        parts = content.parts if isinstance(content.parts, list) else []
        text = next(filter(None, parts), content.text)
    if isinstance(text, dict):
        text = text.get("text")
    return isinstance(text, str) and _STATE_SIGN in text[:_HEAD_CHARACTERS]


def _result_of(message: RawMessage) -> Report | None:
    text = visible_text(message.content)
    return Report(text, "") if text.strip() else None


def duplicate_reports(
    reports: dict[int, Report], order: list[int], threads: list[str], roles: list[str], texts: list[str]
) -> Iterator[int]:
    """The positions of those `reports` that a later kept message of their own thread makes superfluous.

    That is a later report with the same text or the same id, or the next kept message of the assistant if it has the
    same text and no message of a person stands between. `roles` and `texts` are of all positions; a message that is not
    kept has no text.
    """
    with_reports = {threads[i] for i in reports}
    later: set[tuple[str, str, str]] = set()
    next_answer: dict[str, str] = {}
    for i in reversed(order):
        thread, text = threads[i], texts[i]
        if thread not in with_reports:
            continue
        if roles[i] == "user":
            next_answer.pop(thread, None)
        elif text and (report := reports.get(i)) is not None:
            same = {(thread, "text", text)} | ({(thread, "id", report.id)} if report.id else set())
            if later.isdisjoint(same) and next_answer.get(thread) != text:
                next_answer[thread] = text
            else:
                yield i
            later |= same
        elif text:
            next_answer[thread] = text
