"""Reads the API's answers: messages, batches, headers. Nothing in them is taken for granted."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from ray_import.profile.model import BatchInfo, RateLimit, Reply, Usage
from ray_import.retry import retry_after_seconds

_REASONS = {
    "end_turn": "",
    "max_tokens": "cut_off",
    "model_context_window_exceeded": "cut_off",
    "refusal": "refused",
}
_THINKING = ("thinking", "redacted_thinking")
_LIMITS: tuple[Literal["requests", "input-tokens", "output-tokens"], ...] = (
    "requests", "input-tokens", "output-tokens",
)  # fmt: skip
_STATUSES: tuple[Literal["in_progress", "canceling", "ended"], ...] = ("in_progress", "canceling", "ended")


def reply_of(message: Any, limits: tuple[RateLimit, ...] = ()) -> Reply:
    """The reply in a decoded body, whatever that is."""
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return reply_without_text("not_a_message", limits=limits)
    usage = _usage_of(message.get("usage"))
    stop = message.get("stop_reason")
    stop = stop if isinstance(stop, str) else ""
    blocks = [block for block in message["content"] if not _is_thinking(block)]
    texts = [block["text"] for block in blocks if _is_text(block)]
    reason = _REASONS.get(stop, "unknown_stop") or _odd(blocks, texts)
    text = texts[0] if len(texts) == 1 == len(blocks) else None
    return Reply(text=text, stop_reason=stop[:64], reason=reason, usage=usage, limits=limits)


def reply_without_text(reason: str, *, limits: tuple[RateLimit, ...] = ()) -> Reply:
    """A reply that has nothing but a reason."""
    return Reply(text=None, stop_reason="", reason=reason, usage=None, limits=limits)


def reply_of_result(result: Any) -> Reply:
    """The reply in one result of a batch. One of an unknown type counts as `errored`."""
    kind = result.get("type") if isinstance(result, dict) else None
    if kind == "succeeded":
        return reply_of(result.get("message"))
    return reply_without_text(kind if kind in ("expired", "canceled") else "errored")


def limits_of(headers: Mapping[str, str]) -> tuple[RateLimit, ...]:
    """The limits that the headers of an answer tell."""
    found = []
    for kind in _LIMITS:
        limit = _whole(headers.get(f"anthropic-ratelimit-{kind}-limit"))
        remaining = _whole(headers.get(f"anthropic-ratelimit-{kind}-remaining"))
        if limit and remaining is not None:
            found.append(RateLimit(kind, limit, remaining))
    return tuple(found)


def retry_after_of(headers: Mapping[str, str]) -> float:
    """The seconds that the API asks to be left alone; 0 where it does not say."""
    milliseconds = _whole(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    return retry_after_seconds(headers.get("retry-after", ""))


def batch_of(body: Any) -> BatchInfo | None:
    """A batch, or None where the body is none that can be read."""
    if not isinstance(body, dict) or body.get("type") != "message_batch":
        return None
    counts, status, created = body.get("request_counts"), body.get("processing_status"), str(body.get("created_at"))
    known = next((each for each in _STATUSES if each == status), None)
    batch_id = body.get("id")
    if not isinstance(counts, dict) or known is None or not isinstance(batch_id, str) or not _is_time(created):
        return None
    count = sum(value for value in counts.values() if isinstance(value, int))
    return BatchInfo(id=batch_id, status=known, count=count, created_at=created)


def _odd(blocks: list[Any], texts: list[str]) -> str:
    """What is odd about an answer that ended in good order."""
    if len(texts) < len(blocks) or len(texts) > 1:
        return "unknown_block"
    return "" if texts else "no_text"


def _is_thinking(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") in _THINKING


def _is_text(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "text" and isinstance(block.get("text"), str)


def _usage_of(usage: Any) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    return Usage(
        input_tokens=_count(usage.get("input_tokens")),
        output_tokens=_count(usage.get("output_tokens")),
        cache_read_tokens=_count(usage.get("cache_read_input_tokens")),
        cache_write_tokens=_count(usage.get("cache_creation_input_tokens")),
    )


def _is_time(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _whole(value: str | None) -> int | None:
    return int(value) if value and value.isascii() and value.isdigit() else None
