"""Postgres over its own protocol: columns travel as arrays, a part of a batch is one transaction, also by a pooler."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from operator import itemgetter
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from ray_import.chunks.rows import ChunkRow, MessageRow
from ray_import.credentials import environment
from ray_import.destinations.halving import chunk_bytes, message_bytes
from ray_import.destinations.migrations import LATEST_POSTGRES, migrations
from ray_import.destinations.postgres.calls import PartLimits, while_opening
from ray_import.destinations.postgres.connect import ImpatientConnection, connection_error
from ray_import.destinations.postgres.sqlstates import LATER, sink_error
from ray_import.destinations.postgres.tables import refuse_unusable_tables
from ray_import.destinations.refusals import FOREIGN_KEY_VIOLATION, unknown_user
from ray_import.errors import RowsRefused, SinkBusy, SinkError

CONNECT_TIMEOUT_SECONDS = 10
DEAD_AFTER_SECONDS = 60
"""A connection on which nothing is acknowledged for so long is given up."""
MOST_ROWS, MOST_BYTES = 20_000, 32 * 1024 * 1024
SLICE_BYTES = 2 * 1024 * 1024

_CHUNK = {
    "id": "text[]::uuid[]", "conversation_id": "text[]", "thread": "text[]", "title": "text[]", "content": "text[]",
    "chunk_tier": "text[]", "chunk_index": "integer[]", "chunk_count": "integer[]", "token_count": "integer[]",
    "message_count": "integer[]", "node_ids": "text[]::jsonb[]", "spans": "text[]::jsonb[]",
    "created_at": "text[]::timestamptz[]", "is_recent": "boolean[]",
}  # fmt: skip
"""Those of a chunk that are its own, as they travel: a column is one array."""
_MESSAGE = {
    "conversation_id": "text[]", "node_id": "text[]", "parent_id": "text[]", "thread": "text[]",
    "on_active_path": "boolean[]", "position": "integer[]", "role": "text[]", "created_at": "text[]::timestamptz[]",
    "model": "text[]", "text": "text[]", "quoted": "text[]", "attachments": "text[]::jsonb[]",
}  # fmt: skip
"""The same of a message."""
_NOT_MIGRATED = ("42883", "42P01")
"""There is no such function yet; or its table is gone."""
_MIGRATION_REFUSED = "RI001"
"""What our migrations raise, about the tables and not about rows: the only text of a server that is shown."""

_Row = TypeVar("_Row", ChunkRow, MessageRow)


def _put(function: str, columns: dict[str, str]) -> sql.Composed:
    """The call of a function with a user, a product, an import and columns."""
    arrays = sql.SQL(", ").join(sql.SQL(f"p_{name} => %b::{kind}") for name, kind in columns.items())
    return sql.SQL("SELECT public.{}(%b, %b, %b, {})").format(sql.Identifier(function), arrays)


_PUT_CHUNKS, _PUT_MESSAGES = _put("ray_import_put_chunks", _CHUNK), _put("ray_import_put_messages", _MESSAGE)
_chunk_columns = itemgetter(*map(ChunkRow._fields.index, _CHUNK))
_message_columns = itemgetter(*map(MessageRow._fields.index, _MESSAGE))


class _ForeignKeyViolated(Exception):
    """Which one, as the arguments of ray_import_is_on_user; it does not leave this module."""

    def __init__(self, constraint: dict[str, str | None]) -> None:
        super().__init__()
        self.constraint = constraint


class PostgresDatabase:
    """One connection, made when it is needed, and made anew when it is lost."""

    def __init__(
        self, conninfo: str, password: SecretStr | None = None, *, answer_seconds: float | None = None
    ) -> None:
        """With `answer_seconds` a connection is given up where a connect or a statement takes longer."""
        self._conninfo = conninfo
        self._password = password
        self._answer_seconds = answer_seconds
        self._connection: psycopg.Connection[Any] | None = None
        self._was_connected = False
        self.limits = PartLimits(MOST_ROWS, MOST_BYTES)

    def call(self, function: str, arguments: dict[str, Any]) -> Any:
        statement = sql.SQL("SELECT public.{}({})").format(
            sql.Identifier(function),
            sql.SQL(", ").join(
                sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in arguments
            ),
        )
        values = {name: Jsonb(value) if isinstance(value, dict | list) else value for name, value in arguments.items()}
        with self._translated(), self._connected() as connection:  # one statement: by itself a transaction
            row = connection.execute(statement, values).fetchone()
        return None if row is None else row[0]

    def write(
        self, batch: dict[str, Any], chunks: Sequence[ChunkRow], messages: Sequence[MessageRow]
    ) -> list[dict[str, Any]]:
        try:
            return self._write(batch, chunks, messages)
        except _ForeignKeyViolated as error:
            violated = error.constraint
        if self.call("ray_import_is_on_user", violated):
            raise unknown_user(batch["user_id"])
        raise sink_error(FOREIGN_KEY_VIOLATION)

    def _write(
        self, batch: dict[str, Any], chunks: Sequence[ChunkRow], messages: Sequence[MessageRow]
    ) -> list[dict[str, Any]]:
        owner = [batch[name] for name in ("user_id", "product", "import_id")]
        with self._transaction() as connection:
            row = connection.execute("SELECT public.ray_import_replace(%s)", (Jsonb(batch),)).fetchone()
            fates: list[dict[str, Any]] = row[0] if row else []
            put_in = {fate["conversation_id"] for fate in fates if fate["fate"] == "put_in"}
            new_chunks = [chunk for chunk in chunks if chunk.conversation_id in put_in]
            for some_chunks in _slices(new_chunks, chunk_bytes):
                columns = map(list, _chunk_columns(list(zip(*some_chunks, strict=True))))
                connection.execute(_PUT_CHUNKS, (*owner, *columns))
            new_messages = [message for message in messages if message.conversation_id in put_in]
            for some_messages in _slices(new_messages, message_bytes):
                columns = map(list, _message_columns(list(zip(*some_messages, strict=True))))
                connection.execute(_PUT_MESSAGES, (*owner, *columns))
        return fates

    def migrate(self) -> list[str]:
        """Applies the steps that are missing and returns their names; waits a little for a server that is away.

        Raises SinkError, naming tables and columns, where tables that exist cannot be used.
        """
        version = while_opening(self._version)
        with self._translated(), self._connected() as connection:
            refuse_unusable_tables(connection, version)
        applied = []
        for migration in migrations("postgres"):
            if migration.version > version:
                with self._translated(), self._connected() as connection:
                    _apply(migration.sql, connection)
                applied.append(migration.name)
        with self._translated(), self._connected() as connection:
            refuse_unusable_tables(connection, LATEST_POSTGRES)
        return applied

    def _version(self) -> int:
        try:
            version: int = self.call("ray_import_version", {})
        except SinkError as error:
            if not error.code.startswith(_NOT_MIGRATED):
                raise
            return 0
        return version

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection[Any]]:
        with self._translated(), _named_foreign_key(), self._connected() as connection, connection.transaction():
            yield connection

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
            self._was_connected = True
        try:
            yield self._connection
        except psycopg.OperationalError:
            self.close()  # whatever state it is in
            raise

    def _connect(self) -> psycopg.Connection[Any]:
        options = self._options()
        try:
            connection = ImpatientConnection.connect(self._conninfo, **options)
            connection.answer_seconds = self._answer_seconds
        except psycopg.Error as error:
            parts = psycopg.conninfo.conninfo_to_dict(self._conninfo)
            password = options.get("password", "")
            raise connection_error(error, parts, password, was_connected=self._was_connected) from None
        except UnicodeError:
            raise SinkError("The address of the Postgres has an invalid host name.", "Correct it.") from None
        encoding = connection.info.parameter_status("server_encoding") or "UTF8"
        if encoding != "UTF8":
            connection.close()
            raise SinkError(
                f"The database has the encoding {encoding}: ray-import needs UTF8.",
                "Make one with CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0, and name that.",
            )
        return connection

    def _options(self) -> dict[str, Any]:
        password = self._password or environment().pgpassword
        return {
            "autocommit": True,
            "prepare_threshold": None,  # behind a transaction pooler the next statement may meet another server
            "application_name": "ray_import",
            "client_encoding": "utf8",  # whatever PGCLIENTENCODING or the address says: conversations hold all letters
            "connect_timeout": CONNECT_TIMEOUT_SECONDS if self._answer_seconds is None else ceil(self._answer_seconds),
            "keepalives_idle": DEAD_AFTER_SECONDS // 2,
            "tcp_user_timeout": DEAD_AFTER_SECONDS * 1000,
            **({"password": password.get_secret_value()} if password.get_secret_value() else {}),
        }

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except UnicodeError:
            raise RowsRefused("A row contains invalid text (22021).", code="22021") from None
        except psycopg.Error as error:
            raise _ours(error) from None


@contextmanager
def _named_foreign_key() -> Iterator[None]:
    """Also around a commit, where a deferred constraint is checked."""
    try:
        yield
    except psycopg.errors.ForeignKeyViolation as error:
        told = error.diag
        constraint = {
            "p_schema": told.schema_name, "p_table": told.table_name, "p_constraint": told.constraint_name,
        }  # fmt: skip
        raise _ForeignKeyViolated(constraint) from None


def _slices(rows: Sequence[_Row], bytes_of: Callable[[_Row], int]) -> Iterator[Sequence[_Row]]:
    """Neighbours, of moderate size: a statement's values are in memory a few times."""
    start = size = 0
    for end, row in enumerate(rows):
        if size > SLICE_BYTES:
            yield rows[start:end]
            start, size = end, 0
        size += bytes_of(row)
    if rows:
        yield rows[start:]


def _apply(script: str, connection: psycopg.Connection[Any]) -> None:
    try:
        connection.execute(script.encode())
    except psycopg.Error as error:
        if error.sqlstate != _MIGRATION_REFUSED:
            raise
        raise SinkError(f"{error.diag.message_primary}.", error.diag.message_hint or "") from None


def _ours(error: psycopg.Error) -> SinkError:
    if error.sqlstate:
        return sink_error(error.sqlstate)
    if isinstance(error, psycopg.DataError):
        return sink_error("22000")
    if isinstance(error, psycopg.OperationalError):
        return SinkBusy("The connection to Postgres was lost.", LATER)
    return SinkError(f"Postgres returned an unexpected error ({type(error).__name__}).")
