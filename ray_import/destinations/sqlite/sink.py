"""The embedded default: one SQLite file, written by all workers at the same time.

Each worker writes its own rows. SQLite lets one transaction write at a time; the others wait for it
(WAL mode, a long busy timeout), and since a batch is in within some milliseconds nobody starves:
`benchmarks/sqlite_writers.py` has the figures, also for one writer for all.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import orjson

from ray_import.chatgpt.extract import content_hash
from ray_import.chunks.rows import ChunkRow, ConversationRows, ImportJob, MessageRow, iso_time
from ray_import.destinations.base import KeptReject, LedgerEntry, Pruned, RejectLimits, WriteResult
from ray_import.destinations.copies import InLedger, passed_over_by, resolve_copy
from ray_import.destinations.halving import put_halving
from ray_import.destinations.refusals import FirstRefusals
from ray_import.destinations.sqlite.file import APPLICATION_ID
from ray_import.destinations.sqlite.ledger import SqliteJobs, SqliteRuns
from ray_import.destinations.sqlite.profiles import SqliteProfiles
from ray_import.errors import ConfigError, RowsRefused
from ray_import.records import Reject

__all__ = ["APPLICATION_ID", "SqliteSink"]

_LEDGER = (
    "user_id", "product", "conversation_id", "content_hash", "other_hash", "settings_hash", "title", "create_time",
    "update_time", "node_count", "message_count", "chunk_count", "import_id", "imported_at", "seen_in", "model",
    "is_starred", "is_archived", "project", "memory_scope", "has_messages",
)  # fmt: skip


def _insert(table: str, columns: Sequence[str]) -> str:
    """By name, for there may be columns of the user's own."""
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608


def _with_number(columns: Sequence[str], flag: str) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """What makes a number of the bool in a row's column `flag`.

    For each bool, sqlite3 searches for an adapter: that takes a fifth of the time in which the row is stored.
    """
    place = columns.index(flag)
    return lambda row: (*row[:place], int(row[place]), *row[place + 1 :])


_chunk_values = _with_number(ChunkRow._fields, "is_recent")
_message_values = _with_number(MessageRow._fields, "on_active_path")
_INSERT_CHUNK = _insert("conversation_chunks", ChunkRow._fields)
_INSERT_MESSAGE = _insert("conversation_messages", MessageRow._fields)
_OF_CONVERSATION = "user_id = ? AND product = ? AND conversation_id = ?"
_UPSERT_CONVERSATION = (  # not REPLACE, which would empty columns of the user's own
    f"{_insert('imported_conversations', _LEDGER)} ON CONFLICT (user_id, product, conversation_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _LEDGER[3:])
)
_SELECT_CONVERSATION = (
    f"SELECT {', '.join(field.name for field in fields(InLedger))} FROM imported_conversations"  # noqa: S608
    f" WHERE {_OF_CONVERSATION}"
)
_PROVES_NOTHING = (  # imports of user ?1 that failed before they wrote any chunks
    "SELECT id FROM import_jobs WHERE user_id = ?1 AND status = 'failed' AND id NOT IN"
    " (SELECT import_id FROM imported_conversations WHERE user_id = ?1 AND chunk_count > 0)"
)
_KEPT = "SELECT 1 FROM import_rejects WHERE user_id = ? AND product = ? AND raw_hash = ?"
_KEEP = (
    "INSERT INTO import_rejects"
    " (import_id, user_id, product, source_member, position, conversation_id, reason, raw, raw_hash)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class SqliteSink(SqliteJobs, SqliteRuns, SqliteProfiles):
    def known(self, user_id: str, settings_hash: str, hashes: Sequence[str]) -> dict[str, LedgerEntry]:
        with self._translated():
            found = self._db.execute(
                " UNION ALL ".join(  # not OR, for which SQLite goes through all that the user has
                    f"SELECT {column}, import_id, message_count FROM imported_conversations"  # noqa: S608
                    f" WHERE user_id = ?1 AND settings_hash = ?2 AND {column} IN (SELECT value FROM json_each(?3))"
                    for column in ("content_hash", "other_hash")
                ),
                (user_id, settings_hash, orjson.dumps(hashes).decode()),
            )
            return {hash_: LedgerEntry(import_id, messages) for hash_, import_id, messages in found}

    def write(
        self,
        job: ImportJob,
        settings_hash: str,
        conversations: Sequence[ConversationRows],
        rejects: Sequence[Reject],
        settled: Sequence[str] = (),
    ) -> list[WriteResult]:
        first = FirstRefusals(lambda hashes: self.takes_none(job, hashes))
        replaced: list[WriteResult] = []
        if conversations:
            with self._translated():
                replaced = put_halving(conversations, lambda part: self._put(job, settings_hash, part), first)
        self.keep_rejects(job, rejects, settled)
        return replaced

    def _put(self, job: ImportJob, settings_hash: str, conversations: Sequence[ConversationRows]) -> list[WriteResult]:
        """All of them or, where one is refused, none: a transaction of its own, which a trigger may roll back."""
        try:
            with self._transaction():
                replaced = [self._replace(job, settings_hash, rows) for rows in conversations]
                self._delete_rejects(job, [rows.content_hash for rows in conversations])
        except (sqlite3.IntegrityError, sqlite3.DataError, UnicodeError) as error:
            code = getattr(error, "sqlite_errorname", type(error).__name__)
            raise RowsRefused(f"SQLite rejected a row ({code}).", code=code) from None
        return replaced

    def keep_rejects(
        self, job: ImportJob, rejects: Sequence[Reject], settled: Sequence[str] = (), limits: RejectLimits | None = None
    ) -> int:
        if not rejects and not settled:
            return 0
        hashed = [(content_hash(reject.raw), reject) for reject in rejects]
        left = 0
        with self._translated(), self._transaction():
            self._delete_rejects(job, settled)
            count, size = (0, 0) if limits is None else self._met_rejects(job, [raw_hash for raw_hash, _ in hashed])
            for raw_hash, reject in hashed:
                if self._db.execute(_KEPT, (job.user_id, job.product, raw_hash)).fetchone():
                    continue
                if limits is not None and (count >= limits.count or size + len(reject.raw) > limits.bytes):
                    left += 1
                    continue
                place = (reject.member, reject.position, reject.conversation_id)
                self._db.execute(_KEEP, (job.id, job.user_id, job.product, *place, reject.reason, reject.raw, raw_hash))
                count, size = count + 1, size + len(reject.raw)
        return left

    def _met_rejects(self, job: ImportJob, hashes: Sequence[str]) -> tuple[int, int]:
        """How many are kept of those that this import has met, `hashes` among them, and their bytes."""
        self._db.execute(
            "UPDATE import_rejects SET seen_in = ?1 WHERE user_id = ?2 AND import_id <> ?1 AND seen_in IS NOT ?1"
            " AND raw_hash IN (SELECT value FROM json_each(?3))",
            (job.id, job.user_id, orjson.dumps(hashes).decode()),
        )
        count, size = self._db.execute(
            "SELECT count(*), coalesce(sum(length(raw)), 0) FROM import_rejects"
            " WHERE user_id = ?1 AND ?2 IN (import_id, seen_in)",
            (job.user_id, job.id),
        ).fetchone()
        return count, size

    def _delete_rejects(self, job: ImportJob, hashes: Sequence[str]) -> None:
        self._db.execute(
            "DELETE FROM import_rejects WHERE user_id = ? AND raw_hash IN (SELECT value FROM json_each(?))",
            (job.user_id, orjson.dumps(hashes).decode()),
        )

    def takes_none(self, job: ImportJob, hashes: Sequence[str] = ()) -> bool:
        with self._translated():
            has_put_in = self._db.execute(
                "SELECT 1 FROM imported_conversations WHERE user_id = ? AND import_id = ? AND chunk_count > 0 LIMIT 1",
                (job.user_id, job.id),
            ).fetchone()
            is_new = (
                not hashes
                or self._db.execute(
                    "SELECT 1 FROM json_each(?3) WHERE value NOT IN"  # noqa: S608
                    " (SELECT raw_hash FROM import_rejects WHERE user_id = ?1 AND import_id <> ?2"
                    f" AND import_id NOT IN ({_PROVES_NOTHING})) LIMIT 1",
                    (job.user_id, job.id, orjson.dumps(hashes).decode()),
                ).fetchone()
            )
        return has_put_in is None and bool(is_new)

    def withdraw_rejects(self, job: ImportJob, reason: str) -> bool:
        with self._translated(), self._transaction():
            deleted = self._db.execute(
                "DELETE FROM import_rejects WHERE user_id = ?1 AND reason = ?3"  # noqa: S608
                f" AND (import_id = ?2 OR import_id IN ({_PROVES_NOTHING}))",
                (job.user_id, job.id, reason),
            ).rowcount
            earlier = self._db.execute(
                "SELECT 1 FROM import_rejects WHERE user_id = ? AND reason = ? LIMIT 1", (job.user_id, reason)
            ).fetchone()
        return deleted > 0 or earlier is None

    def _replace(self, job: ImportJob, settings_hash: str, rows: ConversationRows) -> WriteResult:
        key = (job.user_id, rows.product, rows.conversation_id)
        there = self._in_ledger(key)
        fate = resolve_copy(rows, there, settings_hash, job.id)
        if there is not None and fate == "same":
            return WriteResult(there.chunk_count, 0, same=True)
        if fate == "passed_over":
            self._db.execute(
                f"UPDATE imported_conversations SET other_hash = ? WHERE {_OF_CONVERSATION}",  # noqa: S608
                (rows.content_hash, *key),
            )
        if fate != "put_in":
            return WriteResult(0, 0, older=True)
        deleted = 0 if there is None else self._delete_content(key)
        self._db.executemany(_INSERT_CHUNK, map(_chunk_values, rows.chunks))
        self._db.executemany(_INSERT_MESSAGE, map(_message_values, rows.messages))
        self._db.execute(
            _UPSERT_CONVERSATION,
            (
                *key, rows.content_hash, passed_over_by(rows, there, job.id), settings_hash, rows.title,
                rows.create_time, rows.update_time, rows.node_count, rows.message_count, len(rows.chunks),
                job.id, iso_time(job.started_at), job.id, rows.model, int(rows.is_starred), int(rows.is_archived),
                rows.project, rows.memory_scope, int(rows.has_messages),
            ),
        )  # fmt: skip
        own = there.message_count if there is not None and there.import_id == job.id else None
        return WriteResult(len(rows.chunks), deleted, own_messages=own)

    def _delete_content(self, key: tuple[str, str, str]) -> int:
        """Deletes the chunks and messages of a conversation; how many chunks."""
        self._db.execute(f"DELETE FROM conversation_messages WHERE {_OF_CONVERSATION}", key)  # noqa: S608
        return self._db.execute(f"DELETE FROM conversation_chunks WHERE {_OF_CONVERSATION}", key).rowcount  # noqa: S608

    def _in_ledger(self, key: tuple[str, str, str]) -> InLedger | None:
        found = self._db.execute(_SELECT_CONVERSATION, key).fetchone()
        return None if found is None else InLedger(*found)

    def rejects(self, user_id: str | None = None) -> list[KeptReject]:
        with self._translated():
            found = self._db.execute(
                "SELECT raw_hash, r.user_id, product, import_id, started_at, source_member, position, conversation_id,"
                " reason, length(raw) FROM import_rejects AS r LEFT JOIN import_jobs AS j ON j.id = import_id"
                " WHERE ?1 IS NULL OR r.user_id = ?1 ORDER BY started_at DESC, import_id, source_member, position",
                (user_id,),
            ).fetchall()
        return [KeptReject(*row) for row in found]

    def reject_bytes(self, user_id: str, raw_hash: str) -> bytes | None:
        with self._translated():
            found = self._db.execute(
                "SELECT raw FROM import_rejects WHERE user_id = ? AND raw_hash = ?", (user_id, raw_hash)
            ).fetchone()
        return None if found is None else found[0]

    def mark_seen(self, job: ImportJob, hashes: Sequence[str], conversation_ids: Sequence[str]) -> None:
        with self._translated(), self._transaction():
            for column, values in (
                ("content_hash", hashes), ("other_hash", hashes), ("conversation_id", conversation_ids),
            ):  # fmt: skip
                self._db.execute(
                    "UPDATE imported_conversations SET seen_in = ?1 WHERE user_id = ?2 AND product = ?4"  # noqa: S608
                    f" AND {column} IN (SELECT value FROM json_each(?3)) AND seen_in IS NOT ?1",
                    (job.id, job.user_id, orjson.dumps(values).decode(), job.product),
                )

    def prune(self, job: ImportJob) -> Pruned:
        with self._translated(), self._transaction():
            gone = self._db.execute(
                "DELETE FROM imported_conversations WHERE user_id = ?1 AND product = ?3 AND seen_in IS NOT ?2"
                " AND coalesce(update_time, create_time, '') <= (SELECT max(coalesce(update_time, create_time))"
                " FROM imported_conversations WHERE user_id = ?1 AND product = ?3 AND seen_in = ?2)"
                " RETURNING user_id, product, conversation_id",
                (job.user_id, job.id, job.product),
            ).fetchall()
            chunks = sum(self._delete_content(key) for key in gone)
        return Pruned(len(gone), chunks)

    def set_profile(self, table: str, user_id: str, values: dict[str, Any]) -> None:  # noqa: ARG002 - the port's
        raise _without_profiles()

    def profile_takes(self, table: str, user_id: str, endings: Sequence[dict[str, Any]]) -> list[bool]:  # noqa: ARG002
        raise _without_profiles()


def _without_profiles() -> ConfigError:
    return ConfigError(
        "--profile-table is not available for SQLite.", "Use it with --to supabase or --to postgresql://…."
    )
