"""One item of an export, as far as the rules look at it (format.md §2 and §3).

There are two ways to the same values. msgspec builds these fields and passes over all else, in half the
time in which orjson builds everything; but it wants an object wherever one belongs, and has no words for
what is not quite JSON. Where it gives up, everything is built, mended where the rules say how, and what
is of a wrong type is taken for absent.
"""

import codecs
from typing import Any, TypeVar

import msgspec

from ray_import.chatgpt.decode import as_dict, decode


class Author(msgspec.Struct, gc=False):
    """Who speaks."""

    role: Any = None


class Content(msgspec.Struct, gc=False):
    """What is said, in one of many shapes (`content.py`)."""

    content_type: Any = None
    parts: Any = None
    text: Any = None
    language: Any = None


class Metadata(msgspec.Struct, gc=False):
    """What decides whether a message is seen, who wrote it, its files, a widget's state, what it quotes."""

    is_visually_hidden_from_conversation: Any = None
    is_visually_hidden_reasoning_group: Any = None
    is_auto_proceed_message: Any = None
    is_contextual_retry_user_message: Any = None
    contextual_retry_message: Any = None
    is_user_system_message: Any = None
    is_thinking_preamble_message: Any = None
    is_async_task_result_message: Any = None
    async_task_type: Any = None
    attachments: Any = None
    model_slug: Any = None
    chatgpt_sdk: Any = None
    targeted_reply: Any = None


class RawMessage(msgspec.Struct, gc=False):
    """A message of any of the three shapes (full, slim, flat)."""

    author: Author | None = None
    content: Content | str | None = None
    metadata: Metadata | None = None
    create_time: Any = None
    recipient: Any = None
    channel: Any = None


class MappingNode(msgspec.Struct, gc=False):
    """A node of the mapping. `children` is not trusted, and not read."""

    parent: Any = None
    message: RawMessage | None = None


class Item(msgspec.Struct, gc=False):
    """A conversation; fields of type Any may hold any JSON value."""

    mapping: dict[str, MappingNode]
    conversation_id: Any = None
    id: Any = None
    title: Any = None
    create_time: Any = None
    update_time: Any = None
    current_node: Any = None
    default_model_slug: Any = None
    is_starred: Any = None
    is_archived: Any = None
    conversation_template_id: Any = None
    gizmo_id: Any = None
    memory_scope: Any = None


PIECE_BYTES = 256 * 1024

_UTF_8 = codecs.getincrementaldecoder("utf-8")
_Part = TypeVar("_Part", bound=msgspec.Struct)
_DECODER = msgspec.json.Decoder(Item)


def read_item(raw: bytes | memoryview) -> Item | None:
    """The conversation in `raw`, None where the item is none (extraction.md §1). Raises RecordError where it is no
    JSON."""
    if _is_utf8(raw):
        try:
            return _DECODER.decode(raw)
        except (msgspec.DecodeError, RecursionError):
            pass
    return item_of(decode(raw))


def _is_utf8(raw: bytes | memoryview) -> bool:
    """msgspec does not look at the strings that it passes over. In pieces: as text, it may be four times as large."""
    decoder = _UTF_8()
    goes_on = False
    try:
        for start in range(0, len(raw), PIECE_BYTES):
            piece = bytes(raw[start : start + PIECE_BYTES])
            if goes_on or not piece.isascii():
                decoder.decode(piece)
                goes_on = bool(decoder.getstate()[0])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def item_of(value: object) -> Item | None:
    """The same of any JSON value."""
    item = as_dict(value)
    if not isinstance(item.get("mapping"), dict):
        return None
    nodes = {key: _node_of(as_dict(node)) for key, node in item["mapping"].items()}
    return Item(nodes, *map(item.get, Item.__struct_fields__[1:]))


def _node_of(node: dict[str, Any]) -> MappingNode:
    message = node.get("message")
    return MappingNode(node.get("parent"), message_of(message) if isinstance(message, dict) else None)


def message_of(message: dict[str, Any]) -> RawMessage:
    """A message of any JSON object."""
    return RawMessage(
        _fields_of(Author, message.get("author")),
        content_of(message.get("content")),
        _fields_of(Metadata, message.get("metadata")),
        message.get("create_time"),
        message.get("recipient"),
        message.get("channel"),
    )


def content_of(content: object) -> Content | str | None:
    """A message's content of any JSON value; one that is a bare string is the text itself."""
    return content if isinstance(content, str) else _fields_of(Content, content)


def _fields_of(kind: type[_Part], value: object) -> _Part | None:
    return kind(*map(value.get, kind.__struct_fields__)) if isinstance(value, dict) else None
