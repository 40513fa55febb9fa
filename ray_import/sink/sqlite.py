"""The embedded default: one SQLite file, written by all workers at the same time.

Each worker writes its own rows. SQLite lets one transaction write at a time; the others wait for it
(WAL mode, a long busy timeout), and since a batch is in within some milliseconds nobody starves:
`benchmarks/sqlite_writers.py` has the figures, also for one writer for all.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from tenacity import retry, retry_if_exception, stop_after_delay, wait_random

from ray_import.chunks.rows import ChunkRow, ConversationRows, Import, iso_time
from ray_import.errors import ConfigError, RowsRefused, SinkBusy, SinkError
from ray_import.extraction.extract import content_hash
from ray_import.records import Reject
from ray_import.sink.copies import InLedger, fate_of, passed_over_by
from ray_import.sink.halving import put_halving
from ray_import.sink.migrations import LATEST_SQLITE, migrations
from ray_import.sink.port import (
    LEASE_SECONDS,
    Job,
    JobStatus,
    KeptReject,
    Known,
    Pruned,
    Replaced,
    Running,
    RunStatus,
    RunUser,
)

APPLICATION_ID = 0x52_41_59_49  # "RAYI"
HEADER_BYTES = 100
PAGE_BYTES = 16 * 1024
"""Holds a chunk whole: SQLite's usual 4 KB took 1.3 times as much CPU. 32 KB took less at first, but 1.2 times as much
once there was 1 GB in the file, since every key of an index that is hit by chance costs a page."""
CHECKPOINT_BYTES = 64 * 1024 * 1024
"""A page that is written again before this much is in the log is copied into the file once, not twice."""
BUSY_TIMEOUT_SECONDS = 60

_INSERT_CHUNK = f"INSERT INTO conversation_chunks VALUES ({', '.join('?' * len(ChunkRow._fields))})"  # noqa: S608 - only marks
_HINTS = {
    sqlite3.SQLITE_FULL: "The disk is full: make room and run the import again, it goes on where it stopped.",
    sqlite3.SQLITE_READONLY: "The file or its folder is read-only for this user.",
    sqlite3.SQLITE_CANTOPEN: "The folder has to exist and to be writable for this user.",
    sqlite3.SQLITE_NOTADB: "It is no SQLite file; name another with --to sqlite:///PATH.",
    sqlite3.SQLITE_CORRUPT: "The file is damaged; import into a new one with --to sqlite:///PATH.",
    sqlite3.SQLITE_BUSY: "Another program keeps it locked.",
}


class SqliteSink:
    """One connection to the file; made anew in every process that writes."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        """Opens `path`, making the tables where there is nothing yet (and `create` allows it)."""
        self._path = path
        if not create and not (path.exists() and path.stat().st_size):
            raise ConfigError(f"There is no database {path}.", "Name it with --to sqlite:///PATH.")
        if path.is_file() and 0 < path.stat().st_size < HEADER_BYTES:
            raise self._foreign()  # SQLite would take one byte for an empty database
        with self._translated():
            self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        with self._transaction("DEFERRED"):
            version = self._version_or_refuse()
        if version == 0:
            self._db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            self._switch_to_wal()
        if version < LATEST_SQLITE:
            with self._transaction():
                self._migrate(self._version_or_refuse())
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_BYTES // PAGE_BYTES}")

    @retry(
        retry=retry_if_exception(lambda error: _primary_code(error) == sqlite3.SQLITE_BUSY),
        wait=wait_random(0.001, 0.05),
        stop=stop_after_delay(BUSY_TIMEOUT_SECONDS),
        reraise=True,
    )
    def _switch_to_wal(self) -> None:
        """SQLite's own timeout does not hold for this, and others may be making the same file."""
        self._db.execute("PRAGMA journal_mode = WAL")

    def _version_or_refuse(self) -> int:
        """To be called in a transaction: another process may be making the tables just now."""
        version: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        owner = self._db.execute("PRAGMA application_id").fetchone()[0]
        if owner != APPLICATION_ID and (
            owner or version or self._db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
        ):
            raise self._foreign()
        if version > LATEST_SQLITE:
            raise SinkError(
                f"{self._path} was made by a newer ray-import (schema {version}; this one knows {LATEST_SQLITE}).",
                "Upgrade ray-import, or name another file with --to sqlite:///PATH.",
            )
        return version

    def _foreign(self) -> SinkError:
        return SinkError(
            f"{self._path} is a file of something else; nothing in it was changed.",
            "Name another file with --to sqlite:///PATH.",
        )

    def _migrate(self, version: int) -> None:
        for migration in migrations("sqlite"):
            if migration.version > version:
                for statement in migration.sql.split(";\n"):
                    self._db.execute(statement)
        self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self._db.execute(f"PRAGMA user_version = {LATEST_SQLITE}")

    def known(self, user_id: str, settings_hash: str, hashes: Sequence[str]) -> dict[str, Known]:
        """See `Sink.known`."""
        with self._translated():
            found = self._db.execute(
                " UNION ALL ".join(  # not OR, for which SQLite goes through all that the user has
                    f"SELECT {column}, import_id, message_count FROM imported_conversations"  # noqa: S608
                    f" WHERE user_id = ?1 AND settings_hash = ?2 AND {column} IN (SELECT value FROM json_each(?3))"
                    for column in ("content_hash", "other_hash")
                ),
                (user_id, settings_hash, orjson.dumps(hashes).decode()),
            )
            return {hash_: Known(import_id, messages) for hash_, import_id, messages in found}

    def write(
        self,
        of: Import,
        settings_hash: str,
        conversations: Sequence[ConversationRows],
        rejects: Sequence[Reject],
        settled: Sequence[str] = (),
    ) -> list[Replaced]:
        """See `Sink.write`."""
        if not conversations and not rejects and not settled:
            return []
        with self._translated(), self._transaction():
            replaced = put_halving(conversations, lambda part: self._put(of, settings_hash, part))
            let_go = [
                *settled,
                *(rows.content_hash for rows, one in zip(conversations, replaced, strict=True) if not one.refused),
            ]
            self._db.execute(
                "DELETE FROM import_rejects WHERE user_id = ? AND raw_hash IN (SELECT value FROM json_each(?))",
                (of.user_id, orjson.dumps(let_go).decode()),
            )
            self._db.executemany(
                "INSERT INTO import_rejects VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (user_id, raw_hash) DO NOTHING",
                (
                    (of.id, of.user_id, r.member, r.position, r.conversation_id, r.reason, r.raw, content_hash(r.raw))
                    for r in rejects
                ),
            )
        return replaced

    def _put(self, of: Import, settings_hash: str, conversations: Sequence[ConversationRows]) -> list[Replaced]:
        """All of them or, where one is refused, none."""
        self._db.execute("SAVEPOINT part")
        try:
            replaced = [self._replace(of, settings_hash, rows) for rows in conversations]
        except (sqlite3.IntegrityError, sqlite3.DataError, UnicodeError) as error:
            self._db.execute("ROLLBACK TO part")
            code = getattr(error, "sqlite_errorname", type(error).__name__)
            raise RowsRefused(f"SQLite refuses a row ({code}).", code=code) from None
        self._db.execute("RELEASE part")
        return replaced

    def _replace(self, of: Import, settings_hash: str, rows: ConversationRows) -> Replaced:
        there = self._in_ledger(of.user_id, rows.conversation_id)
        fate = fate_of(rows, there, settings_hash, of.id)
        if there is not None and fate == "same":
            return Replaced(there.chunk_count, 0, same=True)
        key = (of.user_id, rows.conversation_id)
        if fate == "passed_over":
            self._db.execute(
                "UPDATE imported_conversations SET other_hash = ? WHERE user_id = ? AND conversation_id = ?",
                (rows.content_hash, *key),
            )
        if fate != "put_in":
            return Replaced(0, 0, older=True)
        delete = "DELETE FROM conversation_chunks WHERE user_id = ? AND conversation_id = ?"
        deleted = self._db.execute(delete, key).rowcount if there is not None else 0
        self._db.executemany(_INSERT_CHUNK, rows.chunks)
        self._db.execute(
            "INSERT OR REPLACE INTO imported_conversations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *key, rows.content_hash, passed_over_by(rows, there, of.id), settings_hash, rows.title,
                rows.create_time, rows.update_time, rows.node_count, rows.message_count, len(rows.chunks),
                of.id, iso_time(of.started_at), of.id,
            ),
        )  # fmt: skip
        own = there.message_count if there is not None and there.import_id == of.id else None
        return Replaced(len(rows.chunks), deleted, own_messages=own)

    def _in_ledger(self, user_id: str, conversation_id: str) -> InLedger | None:
        found = self._db.execute(
            f"SELECT {', '.join(field.name for field in fields(InLedger))} FROM imported_conversations"  # noqa: S608
            " WHERE user_id = ? AND conversation_id = ?",
            (user_id, conversation_id),
        ).fetchone()
        return None if found is None else InLedger(*found)

    def rejects(self, user_id: str | None = None) -> list[KeptReject]:
        """See `Sink.rejects`."""
        with self._translated():
            found = self._db.execute(
                "SELECT raw_hash, r.user_id, import_id, started_at, source_member, position, conversation_id, reason,"
                " length(raw) FROM import_rejects AS r LEFT JOIN import_jobs AS j ON j.id = import_id"
                " WHERE ?1 IS NULL OR r.user_id = ?1 ORDER BY started_at DESC, import_id, source_member, position",
                (user_id,),
            ).fetchall()
        return [KeptReject(*row) for row in found]

    def reject_bytes(self, user_id: str, raw_hash: str) -> bytes | None:
        """See `Sink.reject_bytes`."""
        with self._translated():
            found = self._db.execute(
                "SELECT raw FROM import_rejects WHERE user_id = ? AND raw_hash = ?", (user_id, raw_hash)
            ).fetchone()
        return None if found is None else found[0]

    def mark_seen(self, of: Import, hashes: Sequence[str], conversation_ids: Sequence[str]) -> None:
        """See `Sink.mark_seen`."""
        with self._translated(), self._transaction():
            for column, values in (
                ("content_hash", hashes), ("other_hash", hashes), ("conversation_id", conversation_ids),
            ):  # fmt: skip
                self._db.execute(
                    "UPDATE imported_conversations SET seen_in = ?1 WHERE user_id = ?2"  # noqa: S608
                    f" AND {column} IN (SELECT value FROM json_each(?3)) AND seen_in IS NOT ?1",
                    (of.id, of.user_id, orjson.dumps(values).decode()),
                )

    def prune(self, of: Import) -> Pruned:
        """See `Sink.prune`."""
        with self._translated(), self._transaction():
            gone = self._db.execute(
                "DELETE FROM imported_conversations WHERE user_id = ?1 AND seen_in IS NOT ?2"
                " AND coalesce(update_time, create_time, '') <= (SELECT max(coalesce(update_time, create_time))"
                " FROM imported_conversations WHERE user_id = ?1 AND seen_in = ?2) RETURNING conversation_id",
                (of.user_id, of.id),
            ).fetchall()
            chunks = self._db.execute(
                "DELETE FROM conversation_chunks WHERE user_id = ?"
                " AND conversation_id IN (SELECT value FROM json_each(?))",
                (of.user_id, orjson.dumps([conversation_id for (conversation_id,) in gone]).decode()),
            ).rowcount
        return Pruned(len(gone), chunks)

    def start_job(self, of: Import, source: str, holder: str) -> Running | None:
        """See `Sink.start_job`."""
        now = time.time()
        with self._translated(), self._transaction():
            self._db.execute(
                "UPDATE import_jobs SET status = 'failed', error = 'interrupted', finished_at = updated_at"
                " WHERE user_id = ? AND status = 'running' AND updated_at < ?",
                (of.user_id, iso_time(now - LEASE_SECONDS)),
            )
            running = self._db.execute(
                "SELECT id, holder, started_at, updated_at, counts FROM import_jobs"
                " WHERE user_id = ? AND status = 'running' AND id <> ?",
                (of.user_id, of.id),
            ).fetchone()
            if running is None:
                self._db.execute(
                    "INSERT INTO import_jobs (id, user_id, source, status, counts, started_at, updated_at, holder)"
                    " VALUES (?, ?, ?, 'running', '{}', ?, ?, ?)",
                    (of.id, of.user_id, source, iso_time(of.started_at), iso_time(now), holder),
                )
                return None
        id_, its_holder, started_at, updated_at, counts = running
        silent_seconds = now - datetime.fromisoformat(updated_at).timestamp()
        return Running(id_, its_holder or "", started_at, silent_seconds, orjson.loads(counts))

    def beat(self, import_id: str) -> bool:
        """See `Sink.beat`."""
        with self._translated():
            found = self._db.execute(
                "UPDATE import_jobs SET updated_at = ? WHERE id = ? AND status = 'running'",
                (iso_time(time.time()), import_id),
            )
            return found.rowcount == 1

    def update_job(
        self, import_id: str, counts: dict[str, Any], status: JobStatus = "running", error: str | None = None
    ) -> bool:
        """See `Sink.update_job`."""
        now = iso_time(time.time())
        finished = None if status == "running" else now
        with self._translated():
            found = self._db.execute(
                "UPDATE import_jobs SET status = ?, counts = ?, error = ?, updated_at = ?, finished_at = ?"
                " WHERE id = ? AND status = 'running'",
                (status, orjson.dumps(counts).decode(), error, now, finished, import_id),
            )
            return found.rowcount == 1

    def set_profile(self, table: str, user_id: str, values: dict[str, Any]) -> None:  # noqa: ARG002 - the port's
        """See `Sink.set_profile`."""
        raise ConfigError("A SQLite file has no table of profiles.", "--profile-table is for supabase and postgresql.")

    def jobs(self) -> list[Job]:
        """See `Sink.jobs`."""
        with self._translated():
            found = self._db.execute(
                "SELECT id, user_id, source, status, counts, error, started_at, updated_at, finished_at"
                " FROM import_jobs ORDER BY started_at DESC, rowid DESC"
            ).fetchall()
        return [_job(row) for row in found]

    def last_run(self, what: str, settings_hash: str) -> tuple[str, RunStatus] | None:
        """See `RunLedger.last_run`."""
        with self._translated():
            found = self._db.execute(
                "SELECT id, status FROM import_runs WHERE what = ? AND settings_hash = ?"
                " ORDER BY started_at DESC, rowid DESC LIMIT 1",
                (what, settings_hash),
            ).fetchone()
        return None if found is None else (found[0], found[1])

    def run_users(self, run_id: str) -> list[RunUser]:
        """See `RunLedger.run_users`."""
        with self._translated():
            found = self._db.execute(
                "SELECT user_id, source, state, attempts, version, error, counts FROM import_run_users"
                " WHERE run_id = ? ORDER BY user_id",
                (run_id,),
            ).fetchall()
        return [RunUser(*(*row[:-1], orjson.loads(row[-1]))) for row in found]

    def open_run(self, run_id: str, what: str, settings_hash: str, users: Sequence[RunUser]) -> list[RunUser]:
        """See `RunLedger.open_run`."""
        now = iso_time(time.time())
        with self._translated(), self._transaction():
            self._db.execute(
                "INSERT INTO import_runs VALUES (?1, ?2, ?3, 'running', ?4, ?4)"
                " ON CONFLICT (id) DO UPDATE SET status = 'running', updated_at = ?4",
                (run_id, what, settings_hash, now),
            )
            self._db.executemany(
                "INSERT INTO import_run_users VALUES (?, ?, ?, 'pending', 0, '', NULL, '{}', ?) ON CONFLICT DO NOTHING",
                ((run_id, user.user_id, user.source, now) for user in users),
            )
        return self.run_users(run_id)

    def save_user(self, run_id: str, user: RunUser) -> None:
        """See `RunLedger.save_user`."""
        with self._translated():
            self._db.execute(
                "UPDATE import_run_users SET state = ?, attempts = ?, version = ?, error = ?, counts = ?,"
                " updated_at = ? WHERE run_id = ? AND user_id = ?",
                (
                    user.state, user.attempts, user.version, user.error, orjson.dumps(user.counts).decode(),
                    iso_time(time.time()), run_id, user.user_id,
                ),
            )  # fmt: skip

    def close_run(self, run_id: str, status: RunStatus) -> None:
        """See `RunLedger.close_run`."""
        with self._translated():
            self._db.execute(
                "UPDATE import_runs SET status = ?, updated_at = ? WHERE id = ?",
                (status, iso_time(time.time()), run_id),
            )

    def versions(self, settings_hash: str) -> dict[str, tuple[str, str]]:
        """See `RunLedger.versions`."""
        with self._translated():
            found = self._db.execute(
                "SELECT u.user_id, u.source, u.version FROM import_run_users u JOIN import_runs r ON r.id = u.run_id"
                " WHERE r.settings_hash = ? AND u.state IN ('complete', 'skipped') ORDER BY u.updated_at, u.rowid",
                (settings_hash,),
            ).fetchall()
        return {user_id: (source, version) for user_id, source, version in found}

    def users_of(self, table: str, column: str) -> list[tuple[str, str]]:  # noqa: ARG002 - the port's
        """See `RunLedger.users_of`."""
        raise ConfigError("A SQLite file has no table of users.", "--from-table is for supabase and postgresql.")

    def close(self) -> None:
        """See `Sink.close`."""
        self._db.close()

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        # IMMEDIATE: the lock is waited for at the start, where nothing was read that could be stale.
        self._db.execute(f"BEGIN {kind}")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a full disk has rolled back already
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            primary = _primary_code(error)
            kind = SinkBusy if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) else SinkError
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            hint = _HINTS.get(primary, "") if primary is not None else ""
            raise kind(f"{self._path} cannot be used: {name}.", hint) from None


def _primary_code(error: BaseException) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def _job(row: tuple[Any, ...]) -> Job:
    id_, user_id, source, status, counts, error, started_at, updated_at, finished_at = row
    if status == "running" and updated_at < (iso_time(time.time() - LEASE_SECONDS) or ""):
        status, error = "failed", "interrupted"  # without a word; the next import of this user writes it down
    return Job(id_, user_id, source, status, orjson.loads(counts), error, started_at, updated_at, finished_at)
