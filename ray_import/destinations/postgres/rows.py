"""What travels to ray_import's functions in a Postgres, and what comes back: JSON."""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from ray_import.chatgpt.extract import content_hash
from ray_import.chunks.rows import ChunkRow, ConversationRows, ImportJob, MessageRow, iso_time
from ray_import.destinations.base import Running, WriteResult
from ray_import.records import Reject


def batch_of(
    job: ImportJob,
    settings_hash: str,
    conversations: Sequence[ConversationRows],
    rejects: Sequence[Reject],
    settled: Sequence[str],
) -> dict[str, Any]:
    """The argument of ray_import_replace."""
    return {
        "user_id": job.user_id,
        "product": job.product,
        "import_id": job.id,
        "settings_hash": settings_hash,
        "imported_at": iso_time(job.started_at),
        "conversations": [
            {
                "conversation_id": rows.conversation_id,
                "content_hash": rows.content_hash,
                "title": rows.title,
                "create_time": rows.create_time,
                "update_time": rows.update_time,
                "node_count": rows.node_count,
                "message_count": rows.message_count,
                "chunk_count": len(rows.chunks),
                "has_messages": rows.has_messages,
                "model": rows.model,
                "is_starred": rows.is_starred,
                "is_archived": rows.is_archived,
                "project": rows.project,
                "memory_scope": rows.memory_scope,
            }
            for rows in conversations
        ],
        "rejects": [_reject(reject) for reject in rejects],
        "settled": list(settled),
    }


def _reject(reject: Reject) -> dict[str, Any]:
    return {
        "member": _storable(reject.member),
        "position": reject.position,
        "conversation_id": reject.conversation_id and _storable(reject.conversation_id),
        "reason": reject.reason,
        "raw": base64.b64encode(reject.raw).decode(),
        "raw_hash": content_hash(reject.raw),
    }


def _storable(name: str) -> str:
    """A name that Postgres takes; what comes from a damaged file may hold anything."""
    return name.replace("\0", "\ufffd").encode(errors="replace").decode()


def replaced_of(fate: dict[str, Any]) -> WriteResult:
    """What came of a conversation, from the fate that ray_import_replace gives."""
    match fate["fate"]:
        case "put_in":
            return WriteResult(fate["chunk_count"], fate["deleted"], own_messages=fate["own_messages"])
        case "same":
            return WriteResult(fate["chunk_count"], 0, same=True)
        case _:
            return WriteResult(0, 0, older=True)


def our_time(time: str | None) -> Any:
    """A time as Postgres writes it in JSON, written as ours."""
    return None if time is None else iso_time(datetime.fromisoformat(time).timestamp())


def our_running(found: dict[str, Any]) -> Running:
    """What ray_import_start and ray_import_run_start tell of another one that is running."""
    return Running(found["id"], found["holder"], our_time(found["started_at"]), found["silent_seconds"])


def chunk_object(chunk: ChunkRow) -> dict[str, Any]:
    """A row as JSON for ray_import_write."""
    return {**chunk._asdict(), "node_ids": orjson.loads(chunk.node_ids), "spans": orjson.loads(chunk.spans)}


def message_object(message: MessageRow) -> dict[str, Any]:
    """A row as JSON for ray_import_write."""
    return {**message._asdict(), "attachments": orjson.loads(message.attachments)}
