"""Reading conversations from a SQLite file."""

from dataclasses import fields

from ray_import.chunks.rows import MessageRow
from ray_import.destinations.reading import StoredConversation, words_of
from ray_import.destinations.sqlite.file import SqliteConnection

_COLUMNS = ", ".join(field.name for field in fields(StoredConversation))
_FLAGS = ("is_starred", "is_archived", "has_messages")
_FIND = (
    f"WITH found AS (SELECT {_COLUMNS} FROM imported_conversations WHERE (?1 IS NULL OR user_id = ?1)"  # noqa: S608
    " AND (substr(conversation_id, 1, length(?2)) = ?2 OR ray_import_in_title(title)))"
    " SELECT * FROM found WHERE conversation_id = ?2 OR NOT EXISTS (SELECT 1 FROM found WHERE conversation_id = ?2)"
    " ORDER BY coalesce(update_time, create_time, '') DESC, conversation_id, user_id, product LIMIT ?3"
)
_MESSAGES = (
    f"SELECT {', '.join(MessageRow._fields)} FROM conversation_messages"  # noqa: S608
    " WHERE user_id = ? AND product = ? AND conversation_id = ? ORDER BY position"
)


class SqliteReading(SqliteConnection):
    def conversations(self, user_id: str | None, wanted: str, limit: int) -> list[StoredConversation]:
        words = [word.casefold() for word in words_of(wanted)]

        def in_title(title: str) -> bool:
            folded = title.casefold()
            return bool(words) and all(word in folded for word in words)

        with self._translated():
            self._db.create_function("ray_import_in_title", 1, in_title)
            found = self._db.execute(_FIND, (user_id, wanted, limit)).fetchall()
        names = [field.name for field in fields(StoredConversation)]
        rows = (dict(zip(names, row, strict=True)) for row in found)
        return [StoredConversation(**{**row, **{flag: bool(row[flag]) for flag in _FLAGS}}) for row in rows]

    def messages(self, user_id: str, product: str, conversation_id: str) -> list[MessageRow]:
        with self._translated():
            found = self._db.execute(_MESSAGES, (user_id, product, conversation_id)).fetchall()
        rows = (MessageRow(*row) for row in found)
        return [row._replace(on_active_path=bool(row.on_active_path)) for row in rows]
