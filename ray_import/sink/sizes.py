"""How much of a call to a destination a row takes: the bytes of all its columns, not of its text alone."""

from ray_import.chunks.rows import ChunkRow, ConversationRows, MessageRow
from ray_import.records import Reject

ROW_BYTES = 300
"""For the names, numbers and punctuation of a row as JSON."""


def row_bytes(row: ChunkRow | MessageRow) -> int:
    """About what a chunk or a message takes as JSON."""
    return ROW_BYTES + _utf8_bytes("".join([value for value in row if isinstance(value, str)]))


def conversation_bytes(rows: ConversationRows) -> int:
    """About what a conversation's row of the ledger, all its chunks and all its messages take."""
    texts = (rows.conversation_id, rows.content_hash, rows.title, rows.model, rows.project, rows.memory_scope)
    own = ROW_BYTES + sum(_utf8_bytes(text) for text in texts if text)
    return own + sum(map(row_bytes, rows.chunks)) + sum(map(row_bytes, rows.messages))


def row_count(rows: ConversationRows) -> int:
    """How many rows of chunks and messages a conversation has."""
    return len(rows.chunks) + len(rows.messages)


def reject_bytes(reject: Reject) -> int:
    """About what a reject takes, its raw bytes as base64."""
    texts = (reject.member, reject.conversation_id or "", reject.reason)
    return ROW_BYTES + -(-len(reject.raw) // 3) * 4 + sum(map(_utf8_bytes, texts))


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))
