"""How much of a call to a destination a row takes: the bytes of all its columns, not of its text alone."""

from ray_import.chunks.rows import ChunkRow, ConversationRows, MessageRow
from ray_import.records import Reject

ROW_BYTES = 300
"""For the names, numbers and punctuation of a row as JSON."""


def chunk_bytes(row: ChunkRow) -> int:
    """About what a chunk takes as JSON."""
    return _row_bytes(row)


def message_bytes(row: MessageRow) -> int:
    """About what a message takes as JSON."""
    return _row_bytes(row)


def conversation_bytes(rows: ConversationRows) -> int:
    """About what a conversation's row of the ledger, all its chunks and all its messages take."""
    texts = (rows.conversation_id, rows.content_hash, rows.title, rows.model, rows.project, rows.memory_scope)
    ledger = ROW_BYTES + sum(_utf8_bytes(text) for text in texts if text)
    return ledger + sum(map(chunk_bytes, rows.chunks)) + sum(map(message_bytes, rows.messages))


def reject_bytes(reject: Reject) -> int:
    """About what a reject takes, its raw bytes as base64."""
    texts = (reject.member, reject.conversation_id or "", reject.reason)
    return ROW_BYTES + -(-len(reject.raw) // 3) * 4 + sum(map(_utf8_bytes, texts))


def _row_bytes(row: tuple[object, ...]) -> int:
    return ROW_BYTES + _utf8_bytes("".join([value for value in row if isinstance(value, str)]))


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))
