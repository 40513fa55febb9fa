"""Finds the conversation that a destination refuses, by halves; and parts that a destination can take.

The size of a row in a call is that of all its columns, not of its text alone.
"""

from collections.abc import Callable, Iterator, Sequence

from ray_import.chunks.rows import ChunkRow, ConversationRows, MessageRow
from ray_import.destinations.base import WriteResult
from ray_import.destinations.refusals import FirstRefusals
from ray_import.errors import RowsRefused, SinkBusy, SinkOverloaded
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


Put = Callable[[Sequence[ConversationRows]], list[WriteResult]]

TOO_LARGE = "413"


def put_halving(
    conversations: Sequence[ConversationRows], put: Put, first: FirstRefusals | None = None
) -> list[WriteResult]:
    """What `put` gives, in the same order; where it refuses, or it is too much for it, of both halves.

    One conversation that is refused comes back as such, and `first` is told of it, which may raise EverythingRefused.
    One that is too slow alone raises SinkBusy: that is the destination's fault, not its.
    """
    try:
        replaced = put(conversations)
    except (RowsRefused, SinkOverloaded) as error:
        if len(conversations) > 1:
            middle = len(conversations) // 2
            return put_halving(conversations[:middle], put, first) + put_halving(conversations[middle:], put, first)
        if isinstance(error, SinkOverloaded) and error.code != TOO_LARGE:
            raise busy(error) from None
        if first is not None:
            first.refused(conversations[0].content_hash, error.code)
        return [WriteResult(0, 0, refused=error.code)]
    if first is not None:
        first.took(sum(one.written > 0 for one in replaced))
    return replaced


def busy(error: SinkOverloaded) -> SinkBusy:
    """What is too much and has no halves can only be asked again."""
    return SinkBusy(error.message, error.hint, code=error.code)


def parts_of(
    conversations: Sequence[ConversationRows], most_rows: int, most_bytes: int
) -> Iterator[list[ConversationRows]]:
    """Neighbours up to so many chunks and messages, and bytes of all columns, but at least one; no part has a
    conversation twice."""
    part: list[ConversationRows] = []
    ids: set[str] = set()
    rows = size = 0
    for conversation in conversations:
        sent = conversation_bytes(conversation)
        more = len(conversation.chunks) + len(conversation.messages)
        full = rows + more > most_rows or size + sent > most_bytes
        if part and (full or conversation.conversation_id in ids):
            yield part
            part, ids, rows, size = [], set(), 0, 0
        part.append(conversation)
        ids.add(conversation.conversation_id)
        rows += more
        size += sent
    if part:
        yield part
