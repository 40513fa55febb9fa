"""Whose export an item comes from (format.md §8), so that a wrong file is named for what it is."""

from typing import Any


def is_conversation(item: object) -> bool:
    """True for an object with a `mapping` object (extraction.md §1)."""
    return isinstance(item, dict) and isinstance(item.get("mapping"), dict)


def is_chatgpts(item: object) -> bool:
    """True for a conversation with a message as ChatGPT's are made; one without messages may be anybody's."""
    messages = _messages(item["mapping"]) if isinstance(item, dict) and is_conversation(item) else []
    return any("author" in message or "content" in message for message in messages)


def other_product(item: object) -> str | None:
    """The product that such an item comes from, where it is not ChatGPT and is known."""
    if not isinstance(item, dict):
        return None
    if is_conversation(item):
        return "DeepSeek" if _has_fragments(item["mapping"]) else None
    if isinstance(item.get("chat_messages"), list):
        return "Claude"
    if "conversation" in item and "responses" in item:
        return "Grok"
    if {"header", "title", "time"} <= item.keys():
        return "Gemini"
    return None


def _has_fragments(mapping: dict[str, Any]) -> bool:
    """DeepSeek has ChatGPT's mapping, but its messages are made of `fragments`, without an author."""
    messages = _messages(mapping)
    return bool(messages) and all("fragments" in message and "author" not in message for message in messages)


def _messages(mapping: dict[str, Any]) -> list[dict[str, Any]]:
    found = (node.get("message") for node in mapping.values() if isinstance(node, dict))
    return [message for message in found if isinstance(message, dict)]
