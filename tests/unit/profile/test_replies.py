from email.utils import formatdate
from typing import Any

import pytest

from ray_import.profile.model import RateLimit, Usage
from ray_import.profile.replies import batch_of, limits_of, reply_of, reply_of_result, retry_after_of

TEXT = {"type": "text", "text": "{}"}
THINKING = {"type": "thinking", "thinking": "", "signature": "x"}
USAGE = {"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": 5, "cache_creation_input_tokens": None}


def message(*content: Any, stop: Any = "end_turn", **more: Any) -> dict[str, Any]:
    return {"type": "message", "content": list(content), "stop_reason": stop, "usage": USAGE, **more}


@pytest.mark.parametrize(
    ("found", "text", "reason"),
    [
        (message(TEXT), "{}", ""),
        (message(THINKING, TEXT), "{}", ""),
        (message(THINKING, TEXT, stop="max_tokens"), "{}", "cut_off"),
        (message(TEXT, stop="model_context_window_exceeded"), "{}", "cut_off"),
        (message(stop="max_tokens"), None, "cut_off"),
        (message(stop="refusal"), None, "refused"),
        (message(TEXT, stop="refusal"), "{}", "refused"),
        (message(TEXT, stop="pause_turn"), "{}", "unknown_stop"),
        (message(TEXT, stop=None), "{}", "unknown_stop"),
        (message(TEXT, stop=["end_turn"]), "{}", "unknown_stop"),
        (message({"type": "hologram"}, TEXT), None, "unknown_block"),
        (message({"type": "hologram"}), None, "unknown_block"),
        (message(TEXT, TEXT), None, "unknown_block"),
        (message({"type": "text"}), None, "unknown_block"),
        (message("text"), None, "unknown_block"),
        (message(THINKING), None, "no_text"),
        (message(), None, "no_text"),
        ({"type": "message", "content": None}, None, "not_a_message"),
        ({"error": "no"}, None, "not_a_message"),
        ([], None, "not_a_message"),
        ("<html>", None, "not_a_message"),
        (None, None, "not_a_message"),
    ],
)
def test_reply_has_the_only_text_and_says_what_is_odd(found: Any, text: str | None, reason: str) -> None:
    reply = reply_of(found)
    assert (reply.text, reply.reason) == (text, reason)


def test_reply_keeps_usage_when_the_answer_is_of_no_use() -> None:
    usage = Usage(input_tokens=3, output_tokens=4, cache_read_tokens=5)
    assert [reply_of(message(stop="refusal")).usage, reply_of(message()).usage] == [usage, usage]
    assert reply_of(message(TEXT) | {"usage": None}).usage is None
    assert reply_of(message(TEXT) | {"usage": {"input_tokens": "many", "output_tokens": -1}}).usage == Usage()


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"type": "succeeded", "message": message(TEXT)}, ""),
        ({"type": "succeeded"}, "not_a_message"),
        ({"type": "expired"}, "expired"),
        ({"type": "canceled"}, "canceled"),
        ({"type": "errored", "error": {}}, "errored"),
        ({"type": "half_succeeded", "message": message(TEXT)}, "errored"),
        (None, "errored"),
    ],
)
def test_result_of_a_batch_is_a_reply(result: Any, reason: str) -> None:
    assert reply_of_result(result).reason == reason


def test_limits_are_those_that_are_whole_numbers() -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-input-tokens-limit": "many", "anthropic-ratelimit-input-tokens-remaining": "1",
        "anthropic-ratelimit-output-tokens-limit": "8000",
    }  # fmt: skip
    assert limits_of(headers) == (RateLimit("requests", 50, 0),)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "inf"}, 0.0),
        ({"retry-after": "nan"}, 0.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, 0.0),
        ({"retry-after": formatdate(0)}, 0.0),
        ({"retry-after": ""}, 0.0),
        ({}, 0.0),
    ],
)
def test_retry_after_is_in_seconds_and_never_negative(headers: dict[str, str], seconds: float) -> None:
    assert retry_after_of(headers) == seconds


def test_batch_has_the_sum_of_its_counts() -> None:
    body = {
        "type": "message_batch", "id": "b", "processing_status": "ended", "created_at": "2026-11-30T00:00:00Z",
        "request_counts": {"processing": 0, "succeeded": 3, "errored": 1, "canceled": 0, "expired": 2},
    }  # fmt: skip
    batch = batch_of(body)
    assert batch is not None
    assert batch.count == 6
    odd = [body | change for change in ({"processing_status": "lost"}, {"request_counts": 3}, {"id": 1}, {"type": "x"})]
    odd += [body | {"created_at": created} for created in ("yesterday", 3, "2026-11-30T00:00:00")]
    assert [batch_of(each) for each in [*odd, None, "<html>"]] == [None] * 9
