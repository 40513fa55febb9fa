"""Small conversations for the tests of the rules: messages, nodes, and what the rules make of them."""

from typing import Any

import orjson

from ray_import.chatgpt.extract import extract
from ray_import.records import Conversation
from ray_import.settings import Branches


def said(text: object = "hi", role: str = "user", **fields: object) -> dict[str, Any]:
    """A message of one part."""
    return {"author": {"role": role}, "content": {"content_type": "text", "parts": [text]}, **fields}


def node(message: object = None, parent: str | None = None) -> dict[str, Any]:
    """An entry of a mapping."""
    return {"message": message, "parent": parent}


def chain(*messages: object) -> dict[str, Any]:
    """A mapping with each message below the one before. The keys are "0", "1" …"""
    return {str(i): node(message, str(i - 1) if i else None) for i, message in enumerate(messages)}


def extracted(mapping: dict[str, Any], branches: Branches = "all", **fields: object) -> Conversation:
    """The conversation of `mapping` after the rules."""
    found = extract(orjson.dumps({"conversation_id": "c", "mapping": mapping, **fields}), branches, count_types=True)
    assert isinstance(found, Conversation)
    return found


def kept(found: Conversation) -> list[str]:
    """The keys of the kept messages."""
    return [message.node_id for message in found.messages]
