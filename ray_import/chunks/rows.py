"""Conversations and chunks as the rows that every sink stores (the end of extraction.md)."""

import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from ray_import.records import Chunk, Conversation

TIER = "medium"
RECENT_SECONDS = 180 * 24 * 60 * 60
_NAMESPACE = uuid.UUID("7f1c1c9e-6a3c-5b0e-9a55-0d0c7b8f3a11")


@dataclass(frozen=True, slots=True)
class Import:
    """Whose import this is. `started_at` is in seconds since 1970; recent means recent then."""

    id: str
    user_id: str
    started_at: float


class ChunkRow(NamedTuple):
    """One row of `conversation_chunks`. `node_ids` is JSON, times are ISO 8601 in UTC."""

    id: str
    user_id: str
    conversation_id: str
    thread: str
    title: str
    content: str
    chunk_tier: str
    chunk_index: int
    chunk_count: int
    token_count: int
    message_count: int
    node_ids: str
    created_at: str | None
    is_recent: bool
    import_id: str


@dataclass(frozen=True, slots=True)
class ConversationRows:
    """Everything that one conversation becomes: what a sink replaces as one."""

    conversation_id: str
    content_hash: str
    title: str
    create_time: str | None
    update_time: str | None
    node_count: int
    message_count: int
    chunks: tuple[ChunkRow, ...]


def rows_of(conversation: Conversation, raw_hash: str, chunks: Iterable[Chunk], of: Import) -> ConversationRows:
    """The rows of `conversation`; the same input gives the same ids. Of `chunks` one is needed at a time."""
    return ConversationRows(
        conversation_id=conversation.id,
        content_hash=raw_hash,
        title=conversation.title,
        create_time=iso_time(conversation.create_time),
        update_time=iso_time(conversation.update_time),
        node_count=conversation.nodes,
        message_count=len(conversation.messages),
        chunks=tuple(_chunk_row(conversation, chunk, of) for chunk in chunks),
    )


def iso_time(seconds: float | None) -> str | None:
    """ISO 8601 in UTC to the millisecond, all of one length, so that text sorts as time does."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def uuid5(namespace: uuid.UUID, name: bytes) -> str:
    """As `uuid.uuid5` gives it (RFC 9562), in a fifth of the time."""
    digits = hashlib.sha1(namespace.bytes + name, usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def _chunk_row(conversation: Conversation, chunk: Chunk, of: Import) -> ChunkRow:
    node_ids = chunk.node_ids
    identity = orjson.dumps([of.user_id, conversation.id, chunk.thread, TIER, chunk.index])
    return ChunkRow(
        id=uuid5(_NAMESPACE, identity),
        user_id=of.user_id,
        conversation_id=conversation.id,
        thread=chunk.thread,
        title=conversation.title,
        content=chunk.content,
        chunk_tier=TIER,
        chunk_index=chunk.index,
        chunk_count=chunk.count,
        token_count=chunk.tokens,
        message_count=len(node_ids),
        node_ids=orjson.dumps(node_ids).decode(),
        created_at=iso_time(chunk.created_at),
        is_recent=chunk.created_at is not None and of.started_at - chunk.created_at < RECENT_SECONDS,
        import_id=of.id,
    )
