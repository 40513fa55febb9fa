"""A SQLite file that is ours: how it is opened and made, what a transaction is, and what its errors mean."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from tenacity import retry, retry_if_exception, stop_after_delay, wait_random

from ray_import.destinations.migrations import LATEST_SQLITE, OTHER_VERSION, migrations
from ray_import.destinations.sqlite.schema import (
    MESSAGES_VERSION,
    PRODUCT_KEYS,
    change_keys,
    refuse_taken_names,
    refuse_unusable_tables,
)
from ray_import.errors import ConfigError, SinkBusy, SinkError

APPLICATION_ID = 0x52_41_59_49  # "RAYI"
HEADER_BYTES = 100
PAGE_BYTES = 16 * 1024
"""Holds a chunk whole: SQLite's usual 4 KB took 1.3 times as much CPU. 32 KB took less at first, but 1.2 times as much
once there was 1 GB in the file, since every key of an index that is hit by chance costs a page."""
CHECKPOINT_BYTES = 64 * 1024 * 1024
"""A page that is written again before this much is in the log is copied into the file once, not twice."""
BUSY_TIMEOUT_SECONDS = 60

_HINTS = {
    sqlite3.SQLITE_FULL: "The disk is full: free some space and run the import again; it resumes where it stopped.",
    sqlite3.SQLITE_READONLY: "Make the file and its folder writable for this user.",
    sqlite3.SQLITE_CANTOPEN: "Create the folder, and make it writable for this user.",
    sqlite3.SQLITE_NOTADB: "It is not a SQLite file; give another one with --to sqlite:///PATH.",
    sqlite3.SQLITE_CORRUPT: "The file is damaged; import into a new one with --to sqlite:///PATH.",
    sqlite3.SQLITE_ERROR: "Does a trigger that was added to its tables use a table or function that is not there?",
    sqlite3.SQLITE_BUSY: "Another program holds a lock on it: end that program and run it again.",
}

_UNREADABLE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_NO_SHARED_MEMORY = {
    sqlite3.SQLITE_IOERR_SHMMAP,
    sqlite3.SQLITE_IOERR_SHMOPEN,
    sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_SHMLOCK,
}
_LOCAL_DISK = "Use a local disk: SQLite needs shared memory, which many network shares do not support."


class SqliteConnection:
    """One connection to the file; made anew in every process that writes."""

    retries = 0
    """See `Sink.retries`: SQLite itself waits."""

    def __init__(
        self,
        path: Path,
        *,
        create: bool = True,
        read_only: bool = False,
        busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS,
        any_thread: bool = False,
    ) -> None:
        """Opens `path`, making the tables where there is nothing yet (and `create` allows it).

        With `read_only` a file of an earlier version is refused, and not brought up to date. So is one that is there
        (without `create`) and may not be written by this user. With `any_thread` it may be used by other threads than
        the one that opened it, one at a time.
        """
        self._path = path
        is_writable = str(path) == ":memory:" or (os.access(path.parent, os.W_OK) and os.access(path, os.W_OK))
        self._read_only = read_only or (not create and not is_writable)
        is_new = create and not path.exists()
        if not create and not (path.exists() and path.stat().st_size):
            raise ConfigError(f"There is no database {path}.", "Give an existing file with --to sqlite:///PATH.")
        if path.is_file() and 0 < path.stat().st_size < HEADER_BYTES:
            raise self._foreign()  # SQLite would take one byte for an empty database
        address = str(path) if is_writable or not self._read_only else self._address_for_reading()
        is_uri = address != str(path)
        self._creates = create
        with self._translated():
            self._db = sqlite3.connect(
                address,
                timeout=busy_timeout_seconds,
                isolation_level=None,
                uri=is_uri,
                check_same_thread=not any_thread,
            )
            try:
                self._prepare()
            except BaseException as error:
                self._db.close()
                if is_new and _lacks_shared_memory(error):  # so nobody else can be making it
                    self._remove()
                raise

    def _address_for_reading(self) -> str:
        """For a folder where no `-shm` can be made: without a log beside it the file is read as if nobody wrote it."""
        how = "mode=ro" if self._has_log else "immutable=1"
        return f"file:{quote(os.fsencode(self._path))}?{how}"

    @property
    def _wal(self) -> Path:
        return self._path.with_name(f"{self._path.name}-wal")

    @property
    def _has_log(self) -> bool:
        return self._wal.exists() and self._wal.stat().st_size > 0

    def _remove(self) -> None:
        for ending in ("-shm", "-wal", ""):
            self._path.with_name(f"{self._path.name}{ending}").unlink(missing_ok=True)

    def _prepare(self) -> None:
        with self._transaction("DEFERRED"):
            version = self._version_or_refuse()
        if self._read_only:
            self._db.execute("PRAGMA query_only = ON")
            if version < LATEST_SQLITE:
                raise SinkError(
                    f"{self._path} was created by an older ray-import"
                    f" (schema {version}; this one needs {LATEST_SQLITE}).",
                    "Run ray-import migrate with the same --to.",
                )
            return
        if version == 0:
            self._db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            self._switch_to_wal()
        if version < LATEST_SQLITE:
            with self._transaction():
                self._migrate(self._version_or_refuse())
        if self._creates:
            refuse_unusable_tables(self._db, self._path)
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_BYTES // PAGE_BYTES}")

    @retry(
        retry=retry_if_exception(lambda error: _primary_code(error) == sqlite3.SQLITE_BUSY),
        wait=wait_random(0.001, 0.05),
        stop=stop_after_delay(BUSY_TIMEOUT_SECONDS),
        reraise=True,
    )
    def _switch_to_wal(self) -> None:
        """SQLite's own timeout does not hold for this, and others may be making the same file.

        Raises _NoSharedMemory.
        """
        if self._db.execute("PRAGMA journal_mode = WAL").fetchone()[0] not in ("wal", "memory"):
            raise _NoSharedMemory

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
                f"{self._path} was created by a newer ray-import"
                f" (schema {version}; this one supports up to {LATEST_SQLITE}).",
                "Upgrade ray-import, or give another file with --to sqlite:///PATH.",
                OTHER_VERSION,
            )
        return version

    def _foreign(self) -> SinkError:
        return SinkError(
            f"{self._path} belongs to another program; it was not changed.",
            "Give another file with --to sqlite:///PATH.",
        )

    def _migrate(self, version: int) -> None:
        passing = [key.passing for key in PRODUCT_KEYS] if version < MESSAGES_VERSION else []
        refuse_taken_names(self._db, self._path, version, passing)
        for migration in migrations("sqlite"):
            if migration.version > version:
                for statement in migration.sql.split(";\n"):
                    self._db.execute(statement)
                if migration.version == MESSAGES_VERSION:
                    change_keys(self._db, PRODUCT_KEYS)
        self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self._db.execute(f"PRAGMA user_version = {LATEST_SQLITE}")

    def close(self) -> None:
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
            if _lacks_shared_memory(error):
                code = "" if isinstance(error, _NoSharedMemory) else f" ({name})"
                name, hint = f"its file system has no shared memory{code}", _LOCAL_DISK
            elif self._read_only and primary in _UNREADABLE and self._has_log:
                name = f"{self._wal.name} beside it holds changes that cannot be read in a read-only folder"
                hint = "Copy both files to a writable folder, and give the copy with --to."
            raise kind(f"{self._path} cannot be used: {name}.", hint) from None


class _NoSharedMemory(sqlite3.OperationalError):
    """SQLite stays in another journal mode, without an error, where it cannot share memory (its "unix-dotfile" VFS)."""


def _lacks_shared_memory(error: BaseException) -> bool:
    return isinstance(error, _NoSharedMemory) or getattr(error, "sqlite_errorcode", None) in _NO_SHARED_MEMORY


def _primary_code(error: BaseException) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None
