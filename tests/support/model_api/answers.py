"""Answers as the API gives them: errors, models, messages, and messages that are odd in one way."""

import json
import secrets
from dataclasses import dataclass, field
from typing import Any

ERROR_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 500: "api_error",
    504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip

MODELS = {"claude-haiku-5-5": 128_000, "claude-haiku-4-5": 64_000, "claude-sonnet-5-5": 128_000}
"""The models that there are, and the most tokens of an answer."""

CONTEXT_TOKENS = 1_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer over HTTP."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """Ends a call with an error."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def json_answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """JSON, with an id of the request."""
    told = {"content-type": "application/json", "request-id": f"req_{secrets.token_hex(8)}", **(headers or {})}
    return Answer(status, json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"), told)


def error_answer(status: int, message: str, headers: dict[str, str] | None = None, error_code: str = "") -> Answer:
    """An error in the API's form; an error's code stands in its details."""
    error: dict[str, Any] = {"type": ERROR_TYPES.get(status, "api_error"), "message": message}
    if error_code:
        error["details"] = {"error_code": error_code}
    return json_answer({"type": "error", "error": error, "request_id": "req_error"}, status, headers)


def refused(status: int, message: str) -> Refused:
    """To be raised."""
    return Refused(error_answer(status, message))


def model_answer(model: str) -> dict[str, Any]:
    """A model as the API describes it."""
    return {
        "type": "model", "id": model, "display_name": model, "created_at": "2026-08-01T00:00:00Z",
        "lifecycle": "active", "max_input_tokens": CONTEXT_TOKENS, "max_tokens": MODELS[model],
    }  # fmt: skip


def message(model: str, text: str, thinking_tokens: int, usage: dict[str, int]) -> dict[str, Any]:
    """A message that ended in good order."""
    content: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if thinking_tokens:
        content.insert(0, {"type": "thinking", "thinking": "", "signature": "c2lnbmVk"})
    return {
        "id": f"msg_{secrets.token_hex(8)}", "type": "message", "role": "assistant", "model": model,
        "content": content, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage,
    }  # fmt: skip


def spoiled(made: dict[str, Any], kind: str) -> dict[str, Any]:
    """The message as a fault of this kind has it."""
    text = made["content"][-1]["text"]
    stops = {
        "cut_off": "max_tokens", "context_window": "model_context_window_exceeded", "refuse": "refusal",
        "unknown_stop": "tired_of_it", "pause": "pause_turn",
    }  # fmt: skip
    texts = {
        "cut_off": text[: len(text) // 2], "context_window": text[: len(text) // 2], "not_json": "Here it is: {",
        "fenced": f"```json\n{text}\n```", "off_schema": '{"facts": "likes tea", "soul": 1, "answers": [null]}',
    }  # fmt: skip
    blocks = {
        "unknown_block": [{"type": "hologram", "depth": 3}, {"type": "text", "text": text}],
        "second_text": [{"type": "text", "text": text}, {"type": "text", "text": text}],
        "no_text": [], "refuse": [],
    }  # fmt: skip
    if kind == "no_usage":
        return {"id": made["id"], "type": "message", "content": made["content"], "role": "assistant"}
    spoilt = {**made, "stop_reason": stops.get(kind, made["stop_reason"])}
    if kind == "refuse":
        spoilt["stop_details"] = {"type": "refusal", "category": "general_harms", "explanation": "It is not for me."}
    spoilt["content"] = blocks.get(kind, [{"type": "text", "text": texts.get(kind, text)}])
    return spoilt
