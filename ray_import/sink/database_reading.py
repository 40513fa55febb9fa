"""Reading conversations from a Postgres with ray_import's functions in it."""

from typing import Any

import orjson

from ray_import.chunks.rows import MessageRow
from ray_import.sink.database_calls import DatabaseCalls
from ray_import.sink.database_rows import our_time
from ray_import.sink.reading import StoredConversation, words_of

PAGE_BYTES = 4 * 1024 * 1024
"""A page ends with the message that exceeds it: a gateway need not pass on a long conversation at once."""

MOST_READINGS = 3


class DatabaseReading(DatabaseCalls):
    """See `Reading`."""

    def conversations(self, user_id: str | None, wanted: str, limit: int) -> list[StoredConversation]:
        """See `Reading.conversations`. The database's locale decides about upper and lower case."""
        found = self._call(
            "conversations", p_user_id=user_id, p_wanted=wanted, p_words=list(words_of(wanted)), p_limit=limit
        )
        times = ("create_time", "update_time")
        return [StoredConversation(**{**row, **{name: our_time(row[name]) for name in times}}) for row in found]

    def messages(self, user_id: str, product: str, conversation_id: str) -> list[MessageRow]:
        """See `Reading.messages`. Pages of different imports are not mixed: then all is read again, a few times, since
        rows that somebody else has changed may stay so."""
        rows: list[MessageRow] = []
        for _ in range(MOST_READINGS):
            rows = []
            while page := self._call(
                "messages",
                p_user_id=user_id,
                p_product=product,
                p_conversation_id=conversation_id,
                p_from=rows[-1].position + 1 if rows else 0,
                p_most_bytes=PAGE_BYTES,
            ):
                rows += map(message_of, page)
            if len({row.import_id for row in rows}) <= 1:
                break
        return rows


def message_of(found: dict[str, Any]) -> MessageRow:
    """A row, as ray_import_messages gives it."""
    attachments = orjson.dumps(found["attachments"]).decode()
    return MessageRow(**{**found, "created_at": our_time(found["created_at"]), "attachments": attachments})
