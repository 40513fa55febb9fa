"""Destinations as the contract tests make them, and what is done with them in processes of their own.

Light to import: each spawned process does so.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from unittest.mock import patch
from uuid import UUID

import orjson
from pydantic import SecretStr

from ray_import.chunks.rows import PRODUCT, ChunkRow, ConversationRows, ImportJob, MessageRow, iso_time, uuid5
from ray_import.credentials import SupabaseAccess
from ray_import.destinations.base import Sink
from ray_import.destinations.postgres.psycopg import PostgresDatabase
from ray_import.destinations.postgres.servers import postgres_at, supabase_project
from ray_import.destinations.postgres.sink import DatabaseSink
from ray_import.destinations.postgres.supabase import SupabaseDatabase
from ray_import.destinations.service_jobs import ServiceJobs
from ray_import.destinations.sqlite.service_jobs import SqliteServiceJobs
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.records import Reject
from tests.support.gateway.postgres import Database

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

SETTINGS = "settings-1"
STARTED_AT = 1_790_000_000.0
IDS = UUID(int=0)
LEDGER_COLUMNS = (
    "user_id", "product", "conversation_id", "content_hash", "other_hash", "settings_hash", "title", "create_time",
    "update_time", "node_count", "message_count", "chunk_count", "import_id", "imported_at", "seen_in", "model",
    "is_starred", "is_archived", "project", "memory_scope", "has_messages",
)  # fmt: skip
REJECT_COLUMNS = (
    "import_id", "user_id", "product", "source_member", "position", "conversation_id", "reason", "raw", "raw_hash",
)  # fmt: skip
COLUMNS = {
    "conversation_chunks": ChunkRow._fields,
    "conversation_messages": MessageRow._fields,
    "imported_conversations": LEDGER_COLUMNS,
    "import_rejects": REJECT_COLUMNS,
}
"""What every destination has of each table, and what two destinations have to agree in."""


def import_of(number: int, user_id: str = "u1") -> ImportJob:
    """The import of that number; they start a minute apart."""
    return ImportJob(f"import-{number}", user_id, STARTED_AT + 60 * number)


def rows_for(
    conversation_id: str,
    *,
    version: str = "v1",
    chunks: int = 2,
    job: ImportJob | None = None,
    update_time: float | None = 1_700_000_000.0,
    nodes: int = 5,
    text: str = "text",
    messages: bool = True,
) -> ConversationRows:
    """Rows of which every chunk and message names its version; the hash is the version, too. One message a chunk."""
    owner = job or import_of(1)
    return ConversationRows(
        conversation_id=conversation_id,
        product=PRODUCT,
        content_hash=f"{conversation_id}-{version}",
        title=version,
        create_time=iso_time(1_690_000_000.0),
        update_time=iso_time(update_time),
        node_count=nodes,
        message_count=chunks,
        chunks=tuple(
            ChunkRow(
                id=uuid5(IDS, f"{owner.user_id}/{conversation_id}/{i}".encode()),
                user_id=owner.user_id,
                product=PRODUCT,
                conversation_id=conversation_id,
                thread="main",
                title=version,
                content=f"{version} {text}",
                chunk_tier="medium",
                chunk_index=i,
                chunk_count=chunks,
                token_count=3,
                message_count=1,
                node_ids=f'["n{i}"]',
                spans=f'[{{"node":"n{i}","at":9,"start":0,"fresh":0,"end":{len(text)},"context":false}}]',
                created_at=iso_time(1_690_000_000.0),
                is_recent=False,
                import_id=owner.id,
            )
            for i in range(chunks)
        ),
        messages=tuple(_message_row(owner, conversation_id, i, f"{version} {text}") for i in range(chunks * messages)),
        has_messages=messages,
        model="gpt-4o",
        is_starred=True,
        project="g-p-1",
    )


def _message_row(owner: ImportJob, conversation_id: str, number: int, text: str) -> MessageRow:
    return MessageRow(
        user_id=owner.user_id,
        product=PRODUCT,
        conversation_id=conversation_id,
        node_id=f"n{number}",
        parent_id=f"n{number - 1}" if number else None,
        thread="main",
        on_active_path=True,
        position=number,
        role="user",
        created_at=iso_time(1_690_000_000.0),
        model=None,
        text=text,
        quoted="",
        attachments='["a.pdf"]',
        import_id=owner.id,
    )


def twice_the_same_chunk(rows: ConversationRows) -> ConversationRows:
    """What no destination takes."""
    return replace(rows, chunks=(rows.chunks[0], rows.chunks[0]))


def reject_of(raw: bytes, position: int = 0, reason: str = "invalid_json") -> Reject:
    """An item that could not be imported."""
    return Reject("conversations.json", position, None, reason, raw)


Content = dict[str, dict[str, list[str]]]
"""By user and conversation the contents of the chunks, in order; those without chunks are there, too."""


class DestinationUnderTest(Protocol):
    """A destination under test: what the port does not show is asked here. It travels to processes."""

    def beside(self, name: str) -> "DestinationUnderTest":
        """Another, empty one of its kind."""

    def open(self) -> Sink:
        """Connects as an import does, making what is not there yet."""

    def content(self) -> Content:
        """What a reader sees, at one moment, on a connection of its own."""

    def rejects(self) -> list[tuple[str, str, bytes]]:
        """User, reason and bytes of all rejects, in the order in which they were kept."""

    def everything(self) -> Any:
        """All rows but the jobs', as something that can be compared."""

    def run_statuses(self) -> dict[str, str]:
        """By id the status of each run."""

    def silence_job(self, import_id: str, seconds: float) -> None:
        """Makes a running import look as if it had said nothing for so long."""

    def silence_run(self, run_id: str, seconds: float) -> None:
        """The same with a run."""

    def silence_profile(self, run_id: str, seconds: float) -> None:
        """The same with a run of a profile."""

    def open_jobs(self, patience_seconds: float | None = None) -> ServiceJobs:
        """Connects to the service's queue."""

    def locked_queue(self) -> AbstractContextManager[None]:
        """Nobody else reads or writes jobs of the service meanwhile."""

    def age_service_job(self, job_id: str, column: str, seconds: float) -> None:
        """Makes a time of a job of the service that much older."""

    def age_worker(self, holder: str, seconds: float) -> None:
        """Makes the last sign of life of a worker that much older."""


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """A SQLite file in a folder."""

    folder: Path

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / "chunks.db"

    @contextmanager
    def connected(self) -> Iterator[sqlite3.Connection]:
        """A connection that is no sink's."""
        with closing(sqlite3.connect(self.path, timeout=60, isolation_level=None)) as db:
            yield db

    def beside(self, name: str) -> "SqliteFile":
        """See `DestinationUnderTest.beside`."""
        (self.folder / name).mkdir()
        return SqliteFile(self.folder / name)

    def open(self) -> Sink:
        """See `DestinationUnderTest.open`."""
        return SqliteSink(self.path)

    def content(self) -> Content:
        """See `DestinationUnderTest.content`."""
        with self.connected() as db:
            db.execute("BEGIN")
            found = content_of(lambda query: db.execute(query).fetchall())
            db.execute("COMMIT")
        return found

    def rejects(self) -> list[tuple[str, str, bytes]]:
        """See `DestinationUnderTest.rejects`."""
        with self.connected() as db:
            return db.execute("SELECT user_id, reason, raw FROM import_rejects ORDER BY rowid").fetchall()

    def everything(self) -> dict[str, list[Any]]:
        """See `DestinationUnderTest.everything`."""
        with self.connected() as db:
            return everything_in(lambda query: db.execute(query).fetchall())

    def run_statuses(self) -> dict[str, str]:
        """See `DestinationUnderTest.run_statuses`."""
        with self.connected() as db:
            return dict(db.execute("SELECT id, status FROM import_runs").fetchall())

    def silence_job(self, import_id: str, seconds: float) -> None:
        """See `DestinationUnderTest.silence_job`."""
        self._silence("import_jobs", import_id, seconds)

    def silence_run(self, run_id: str, seconds: float) -> None:
        """See `DestinationUnderTest.silence_run`."""
        self._silence("import_runs", run_id, seconds)

    def silence_profile(self, run_id: str, seconds: float) -> None:
        """See `DestinationUnderTest.silence_profile`."""
        self._silence("profile_runs", run_id, seconds)

    def open_jobs(self, patience_seconds: float | None = None) -> ServiceJobs:
        """See `DestinationUnderTest.open_jobs`."""
        return SqliteServiceJobs(self.path, patience_seconds=patience_seconds)

    @contextmanager
    def locked_queue(self) -> Iterator[None]:
        """See `DestinationUnderTest.locked_queue`."""
        with self.connected() as db:
            db.execute("BEGIN IMMEDIATE")
            yield

    def age_service_job(self, job_id: str, column: str, seconds: float) -> None:
        """See `DestinationUnderTest.age_service_job`."""
        self._age("service_jobs", "id", job_id, column, seconds)

    def age_worker(self, holder: str, seconds: float) -> None:
        """See `DestinationUnderTest.age_worker`."""
        self._age("service_workers", "holder", holder, "seen_at", seconds)

    def _silence(self, table: str, id_: str, seconds: float) -> None:
        self._age(table, "id", id_, "updated_at", seconds)

    def _age(self, table: str, key: str, id_: str, column: str, seconds: float) -> None:
        with self.connected() as db:
            db.execute(
                f"UPDATE {table} SET {column} = strftime('%Y-%m-%dT%H:%M:%fZ', {column}, ?) WHERE {key} = ?",
                (f"-{seconds} seconds", id_),
            )


@dataclass(frozen=True, slots=True)
class PostgresTables:
    """A database of a Postgres, set up, and written over Postgres' own protocol."""

    database: Database

    def beside(self, name: str) -> "PostgresTables":
        """See `DestinationUnderTest.beside`."""
        other = self.database.beside(name).create()
        PostgresDatabase(other.dsn).migrate()
        return PostgresTables(other)

    def open(self) -> Sink:
        """See `DestinationUnderTest.open`."""
        return DatabaseSink(PostgresDatabase(self.database.dsn))

    def content(self) -> Content:
        """See `DestinationUnderTest.content`."""
        with self.database.connected() as db, db.transaction():
            db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            return content_of(lambda query: db.execute(query.encode()).fetchall())

    def rejects(self) -> list[tuple[str, str, bytes]]:
        """See `DestinationUnderTest.rejects`."""
        with self.database.connected() as db:
            return db.execute("SELECT user_id, reason, raw FROM import_rejects ORDER BY number").fetchall()

    def everything(self) -> dict[str, list[Any]]:
        """See `DestinationUnderTest.everything`."""
        with self.database.connected() as db:
            return everything_in(lambda query: db.execute(query.encode()).fetchall())

    def run_statuses(self) -> dict[str, str]:
        """See `DestinationUnderTest.run_statuses`."""
        with self.database.connected() as db:
            return dict(db.execute("SELECT id, status FROM import_runs").fetchall())

    def silence_job(self, import_id: str, seconds: float) -> None:
        """See `DestinationUnderTest.silence_job`."""
        self._silence("import_jobs", import_id, seconds)

    def silence_run(self, run_id: str, seconds: float) -> None:
        """See `DestinationUnderTest.silence_run`."""
        self._silence("import_runs", run_id, seconds)

    def silence_profile(self, run_id: str, seconds: float) -> None:
        """See `DestinationUnderTest.silence_profile`."""
        self._silence("profile_runs", run_id, seconds)

    def open_jobs(self, patience_seconds: float | None = None) -> ServiceJobs:
        """See `DestinationUnderTest.open_jobs`."""
        return postgres_at(self.database.dsn).open_jobs(patience_seconds=patience_seconds)

    @contextmanager
    def locked_queue(self) -> Iterator[None]:
        """See `DestinationUnderTest.locked_queue`."""
        with self.database.connected(autocommit=False) as db:
            db.execute("LOCK TABLE service_jobs, service_workers")
            yield
            db.rollback()

    def age_service_job(self, job_id: str, column: str, seconds: float) -> None:
        """See `DestinationUnderTest.age_service_job`."""
        self._age("service_jobs", "id", job_id, column, seconds)

    def age_worker(self, holder: str, seconds: float) -> None:
        """See `DestinationUnderTest.age_worker`."""
        self._age("service_workers", "holder", holder, "seen_at", seconds)

    def _silence(self, table: str, id_: str, seconds: float) -> None:
        self._age(table, "id", id_, "updated_at", seconds)

    def _age(self, table: str, key: str, id_: str, column: str, seconds: float) -> None:
        with self.database.connected() as db:
            db.execute(
                f"UPDATE {table} SET {column} = {column} - make_interval(secs => %s) WHERE {key} = %s".encode(),
                (seconds, id_),
            )


@dataclass(frozen=True, slots=True)
class SupabaseTables(PostgresTables):
    """The database of a Supabase project, written through its gateway by the official client."""

    url: str
    key: SecretStr

    def open(self) -> Sink:
        """See `DestinationUnderTest.open`."""
        return DatabaseSink(SupabaseDatabase(SupabaseAccess(self.url, self.key)))

    def open_jobs(self, patience_seconds: float | None = None) -> ServiceJobs:
        """See `DestinationUnderTest.open_jobs`."""
        environment = {"SUPABASE_URL": self.url, "SUPABASE_SERVICE_KEY": self.key.get_secret_value()}
        with patch.dict("os.environ", environment):
            return supabase_project().open_jobs(patience_seconds=patience_seconds)


Fetch = Callable[[str], list[tuple[Any, ...]]]


def content_of(fetch: Fetch) -> Content:
    """The chunks by user and conversation; fails where they, the messages and the ledger disagree."""
    found: Content = {}
    counts: dict[tuple[str, str], int] = {}
    messages: dict[tuple[str, str], int] = {}
    for user_id, conversation_id, count, message_count, has_messages in fetch(
        "SELECT user_id, conversation_id, chunk_count, message_count, has_messages FROM imported_conversations"
    ):
        counts[user_id, conversation_id] = count
        if has_messages and message_count:
            messages[user_id, conversation_id] = message_count
        found.setdefault(user_id, {})[conversation_id] = []
    for user_id, conversation_id, content in fetch(
        "SELECT user_id, conversation_id, content FROM conversation_chunks ORDER BY chunk_index"
    ):
        assert (user_id, conversation_id) in counts, "chunks of no conversation"
        found[user_id][conversation_id].append(content)
    for (user_id, conversation_id), count in counts.items():
        assert len(found[user_id][conversation_id]) == count, f"half of {conversation_id}"
    stored = fetch("SELECT user_id, conversation_id, count(*) FROM conversation_messages GROUP BY 1, 2")
    assert {(user_id, conversation_id): count for user_id, conversation_id, count in stored} == messages
    return found


def everything_in(fetch: Fetch) -> dict[str, list[Any]]:
    """All rows of all tables but the jobs, in SQLite's types and some order."""
    return {
        table: sorted((tuple(map(_plain, row)) for row in fetch(f"SELECT {', '.join(columns)} FROM {table}")), key=repr)
        for table, columns in COLUMNS.items()
    }


_SPANS = '[{"node":'
"""How spans begin in SQLite. Postgres keeps keys in another order."""


def _plain(value: Any) -> Any:
    match value:
        case UUID():
            return str(value)
        case datetime():
            return iso_time(value.timestamp())
        case list():
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
        case str() if value.startswith(_SPANS):
            return _plain(orjson.loads(value))
        case bool():
            return int(value)
        case _:
            return value


# --- what is done in processes of their own ------------------------------------------------------

CONVERSATIONS_A_BATCH = 5


def batch_of(number: int, owner: ImportJob) -> list[ConversationRows]:
    """The conversations of batch `number`: always the same."""
    names = (f"c{number * CONVERSATIONS_A_BATCH + i}" for i in range(CONVERSATIONS_A_BATCH))
    return [rows_for(name, chunks=1 + i, job=owner, text="x" * 2000) for i, name in enumerate(names)]


def write_batches(
    destination: DestinationUnderTest, owner: ImportJob, numbers: range, after: Callable[[int], object]
) -> None:
    """Writes the batches of `numbers`, calling `after` when each one is in."""
    with closing(destination.open()) as sink:
        for number in numbers:
            sink.write(owner, SETTINGS, batch_of(number, owner), [reject_of(b"bad %d" % number, number)])
            after(number)


def write_at_the_same_time(
    destination: DestinationUnderTest, owner: ImportJob, numbers: range, together: Barrier
) -> None:
    """A process that begins with others."""
    together.wait(60)
    write_batches(destination, owner, numbers, lambda _: None)


def write_and_tell(destination: DestinationUnderTest, owner: ImportJob, numbers: range, told: Connection) -> None:
    """A process that says how far it is."""
    write_batches(destination, owner, numbers, told.send)


def claim_all(destination: DestinationUnderTest, holder: str, together: Barrier, told: "Queue[list[str]]") -> None:
    """A process that claims jobs of the service until there are none, and tells which."""
    with closing(destination.open_jobs()) as jobs:
        together.wait(60)
        claimed = []
        while job := jobs.claim(holder):
            claimed.append(job.id)
            jobs.beat(holder, job.id)
    told.put(claimed)


def rewrite(destination: DestinationUnderTest, owner: ImportJob, versions: int, told: Connection) -> None:
    """A process that replaces one conversation again and again, by another number of chunks each time."""
    with closing(destination.open()) as sink:
        for i in range(1, versions + 1):
            rows = rows_for("a", version=f"v{i}", chunks=1 + i % 7, job=owner, update_time=1_700_000_000.0 + i)
            sink.write(owner, SETTINGS, [rows], [])
            if i == 1:
                told.send(i)
    told.send(versions)
