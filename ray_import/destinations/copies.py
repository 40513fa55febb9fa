"""Which of two copies of a conversation stays (extraction.md §2): decisions only, for every sink."""

from dataclasses import dataclass
from typing import Literal

from ray_import.chunks.rows import ConversationRows

Fate = Literal["put_in", "same", "older", "passed_over"]


@dataclass(frozen=True, slots=True)
class InLedger:
    """The copy of a conversation that is in."""

    update_time: str | None
    node_count: int
    content_hash: str
    settings_hash: str
    import_id: str
    message_count: int
    chunk_count: int


def newness(update_time: str | None, node_count: int) -> tuple[str, int]:
    """The greater one is the newer copy: by its update time (ISO 8601), then by its nodes."""
    return update_time or "", node_count


def resolve_copy(rows: ConversationRows, there: InLedger | None, settings_hash: str, import_id: str) -> Fate:
    """What to do with a copy that has come.

    `put_in`: it replaces what is there. `same`: this import has put in the very same. `older`: what is
    there is newer, or larger. `passed_over`: this import has put in another one that is just as new;
    batches have no order, so the one with the greater hash stays, and the ledger remembers the other's.
    """
    if there is None:
        return "put_in"
    own = there.import_id == import_id
    if own and (there.content_hash, there.settings_hash) == (rows.content_hash, settings_hash):
        return "same"
    old, new = newness(there.update_time, there.node_count), newness(rows.update_time, rows.node_count)
    if old > new:
        return "older"
    if own and old == new and there.content_hash > rows.content_hash:
        return "passed_over"
    return "put_in"


def passed_over_by(rows: ConversationRows, there: InLedger | None, import_id: str) -> str | None:
    """The hash to remember beside a copy that is put in: of this import's other one, if it was as new."""
    if there is None or there.import_id != import_id:
        return None
    as_new = (there.update_time, there.node_count) == (rows.update_time, rows.node_count)
    return there.content_hash if as_new else None
