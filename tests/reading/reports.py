"""Deep Research reports and tool calls (rules §4)."""

import json

from tests.reading.visible import fields_of, is_set, recipient_of, role_of
from tests.reading.words import json_object, prepared, text_of

LATEST_STATE = "The latest state of the widget is:"
TOOL_KEYS = (
    ("prompt", "size"),
    ("prompt", "n"),
    ("name", "type", "content"),
    ("path", "args"),
    ("updates",),
    ("search_query",),
)


def report_of(message: dict[str, object]) -> tuple[str, str] | None:
    """The text and the id of the report that a tool's message holds, or None.

    "A message of role `tool` whose `metadata.chatgpt_sdk.widget_state` (a JSON text or an object; or whose own text is
    `The latest state of the widget is: {...}`) holds a `report_message` with parts, or that carries
    `is_async_task_result_message` with `async_task_type: research`, is what the person read."
    """
    if role_of(message) != "tool":
        return None
    metadata = fields_of(message, "metadata")
    own = text_of(message.get("content"))
    states = [_state(fields_of(metadata, "chatgpt_sdk").get("widget_state"))]
    if own.strip().startswith(LATEST_STATE):
        states.append(json_object(own.strip()[len(LATEST_STATE) :]))
    for state in states:
        report = fields_of(state or {}, "report_message")
        if isinstance(fields_of(report, "content").get("parts"), list):
            text, identity = text_of(report["content"]), report.get("id")
            if text.strip():
                return text, identity if isinstance(identity, str) else ""
    if is_set(metadata, "is_async_task_result_message") and metadata.get("async_task_type") == "research":
        return own, ""
    return None


def _state(value: object) -> dict[str, object] | None:
    if isinstance(value, dict):
        return value
    return json_object(value) if isinstance(value, str) else None


def looks_like_a_tool_call(message: dict[str, object]) -> bool:
    """The rule: "An assistant message without a recipient whose whole text is one JSON object with the keys of a known
    tool (`prompt` with `size` or `n`; `name`, `type` and `content`; `path` and `args`; `updates`; `search_query`)"
    """
    if role_of(message) != "assistant" or recipient_of(message):
        return False
    value = json_object(prepared(text_of(message.get("content"))))
    return value is not None and any(all(key in value for key in keys) for keys in TOOL_KEYS)


def as_json(value: object) -> str:
    """A JSON text, as a widget's state is written."""
    return json.dumps(value, ensure_ascii=False)
