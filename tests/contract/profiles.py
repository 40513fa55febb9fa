"""Rows of profiles for tests of destinations."""

from dataclasses import replace
from typing import Any

from ray_import.destinations.profiles import Fact, ProfileVersion, StoredRequest, StoredUnit


def at(minute: int) -> str:
    """A time in that minute."""
    return f"2026-11-30T12:{minute:02}:00.123Z"


def request_of(number: int, **values: Any) -> StoredRequest:
    """The request of that number: they are a minute apart."""
    given = {"id": f"request-{number}", "run_id": "run-1", "kind": "facts", "model": "m-1", "state": "sending"}
    return StoredRequest(**{**given, "unit_ids": (f"unit-{number}",), "created_at": at(number), **values})


def answered(request: StoredRequest, **values: Any) -> StoredRequest:
    """The request with an answer."""
    tokens = {"input_tokens": 12_000, "output_tokens": 900, "usd": 0.00165}
    return replace(request, **{"state": "answered", "stop_reason": "end_turn", **tokens, **values})


def unit_of(number: int, **values: Any) -> StoredUnit:
    """The unit of that number, answered."""
    given: dict[str, Any] = {"product": "chatgpt", "conversation_id": f"c{number}", "content_hash": "sha256:1"}
    return StoredUnit(**{"id": f"unit-{number}", **given, "state": "answered", **values})


def fact_of(number: int, **values: Any) -> Fact:
    """The fact of that number, said in that minute, of the first unit."""
    given: dict[str, Any] = {
        "id": f"fact-{number}", "unit_id": "unit-1", "category": "preference", "subject": "tea",
        "statement": f"Likes tea {number}", "quote": "I like tea", "product": "chatgpt", "conversation_id": "c1",
        "node_id": "n1", "said_at": at(number), "valid_from": at(number),
    }  # fmt: skip
    return Fact(**{**given, **values})


def version_of(number: int, **values: Any) -> ProfileVersion:
    """The version of that number."""
    given: dict[str, Any] = {
        "id": f"version-{number}", "run_id": "run-1", "kind": "full", "model": "m-1", "prompt_version": "1",
        "sections": {"soul": {"tone": "dry", "share": 0.5}, "tools": {"usage": ["a", "b"]}, "none": None},
        "memory_md": "# Preferences\n- tea 漢🚀\n", "facts_hash": "f", "created_at": at(number),
    }  # fmt: skip
    return ProfileVersion(**{**given, **values})
