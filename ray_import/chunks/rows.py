"""Conversations, messages and chunks as the rows that every sink stores (the end of extraction.md)."""

import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import orjson

from ray_import.records import Chunk, Conversation, Message

PRODUCT = "chatgpt"
TIER = "medium"
RECENT_SECONDS = 180 * 24 * 60 * 60
_NAMESPACE = uuid.UUID("7f1c1c9e-6a3c-5b0e-9a55-0d0c7b8f3a11")


@dataclass(frozen=True, slots=True)
class ImportJob:
    """Whose import this is, and of which product's export. `started_at` is in seconds since 1970; recent means recent
    then."""

    id: str
    user_id: str
    started_at: float
    product: str = PRODUCT


class ChunkRow(NamedTuple):
    """One row of `conversation_chunks`. `node_ids` and `spans` are JSON, times are ISO 8601 in UTC.

    `spans` is an array of `{node, start, fresh, end, at, context}`, one for each message shown: see `records.Span`.
    """

    id: str
    user_id: str
    product: str
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
    spans: str
    created_at: str | None
    is_recent: bool
    import_id: str


class MessageRow(NamedTuple):
    """One row of `conversation_messages`: a kept message. See `records.Message`.

    `position` counts the conversation's messages from 0 in the order of the graph. `attachments` is a JSON array of
    names. `created_at` is the effective time, ISO 8601 in UTC.
    """

    user_id: str
    product: str
    conversation_id: str
    node_id: str
    parent_id: str | None
    thread: str
    on_active_path: bool
    position: int
    role: str
    created_at: str | None
    model: str | None
    text: str
    quoted: str
    attachments: str
    import_id: str


@dataclass(frozen=True, slots=True)
class ConversationRows:
    """Everything that one conversation becomes: what a sink replaces as one.

    `has_messages` is whether its messages are to be stored; `messages` is empty where they are not. `message_count` is
    the number of kept messages either way.
    """

    conversation_id: str
    product: str
    content_hash: str
    title: str
    create_time: str | None
    update_time: str | None
    node_count: int
    message_count: int
    chunks: tuple[ChunkRow, ...]
    messages: tuple[MessageRow, ...] = ()
    has_messages: bool = False
    model: str | None = None
    is_starred: bool = False
    is_archived: bool = False
    project: str | None = None
    memory_scope: str | None = None


def rows_of(
    conversation: Conversation, raw_hash: str, chunks: Iterable[Chunk], job: ImportJob, *, messages: bool = True
) -> ConversationRows:
    """The rows of `conversation`; the same input gives the same ids. Of `chunks` one is needed at a time.

    Without `messages` there are no rows of messages. With them each shares its text with the message.
    """
    return ConversationRows(
        conversation_id=conversation.id,
        product=job.product,
        content_hash=raw_hash,
        title=conversation.title,
        create_time=iso_time(conversation.create_time),
        update_time=iso_time(conversation.update_time),
        node_count=conversation.nodes,
        message_count=len(conversation.messages),
        chunks=tuple(_chunk_row(conversation, chunk, job) for chunk in chunks),
        messages=_message_rows(conversation, job) if messages else (),
        has_messages=messages,
        model=conversation.model,
        is_starred=conversation.is_starred,
        is_archived=conversation.is_archived,
        project=conversation.project,
        memory_scope=conversation.memory_scope,
    )


def iso_time(seconds: float | None) -> str | None:
    """ISO 8601 in UTC to the millisecond, all of one length, so that text sorts as time does."""
    if seconds is None:
        return None
    text = orjson.dumps(datetime.fromtimestamp(seconds, UTC)).decode()  # in a third of the time of isoformat()
    return f"{text[1:20]}{text[20:24] if text[20] == '.' else '.000'}Z"


def uuid5(namespace: uuid.UUID, name: bytes) -> str:
    """As `uuid.uuid5` gives it (RFC 9562), in a fifth of the time."""
    digits = hashlib.sha1(namespace.bytes + name, usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def _message_rows(conversation: Conversation, job: ImportJob) -> tuple[MessageRow, ...]:
    return tuple(
        _message_row(message, position, conversation.id, job) for position, message in enumerate(conversation.messages)
    )


def _message_row(message: Message, position: int, conversation_id: str, job: ImportJob) -> MessageRow:
    return MessageRow._make((  # in two thirds of the time of MessageRow(…)
        job.user_id, job.product, conversation_id, message.node_id, message.parent_id, message.thread,
        message.on_active_path, position, message.role, iso_time(message.create_time), message.model, message.text,
        message.quoted, orjson.dumps(message.attachments).decode() if message.attachments else "[]", job.id,
    ))  # fmt: skip


def _chunk_row(conversation: Conversation, chunk: Chunk, job: ImportJob) -> ChunkRow:
    node_ids = chunk.node_ids
    identity = orjson.dumps([job.user_id, conversation.id, chunk.thread, TIER, chunk.index])
    return ChunkRow(
        id=uuid5(_NAMESPACE, identity),
        user_id=job.user_id,
        product=job.product,
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
        spans=msgspec.json.encode(chunk.spans).decode(),
        created_at=iso_time(chunk.created_at),
        is_recent=chunk.created_at is not None and job.started_at - chunk.created_at < RECENT_SECONDS,
        import_id=job.id,
    )
