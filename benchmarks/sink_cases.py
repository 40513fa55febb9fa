"""The destinations that `benchmarks.sinks` compares, each new and empty when it is opened."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psycopg

from benchmarks.gateway_child import stand_in
from benchmarks.process_tree import ProcessTree
from ray_import.chunks.rows import ChunkRow, MessageRow
from ray_import.destinations.base import Sink
from ray_import.destinations.postgres.calls import PartLimits
from ray_import.destinations.postgres.psycopg import PostgresDatabase
from ray_import.destinations.postgres.rows import chunk_object, message_object
from ray_import.destinations.postgres.sink import DatabaseSink
from ray_import.destinations.postgres.supabase import MOST_BYTES, MOST_ROWS, SupabaseDatabase
from ray_import.destinations.sqlite.sink import SqliteSink
from tests.support.gateway.postgres import Database, Server, new_database, postgres_server, supabase_roles

TEMPLATE = "bench_template"
FILL = Path(__file__).with_name("fill_ledger.sql")


@dataclass(frozen=True, slots=True)
class Opened:
    """A destination under measurement; `database` and `gateway` are the processes beside this one, if there are any."""

    sink: Sink
    database: ProcessTree | None = None
    gateway: ProcessTree | None = None


class BareFunction(PostgresDatabase):
    """`select ray_import_write(…)` with the JSON that Supabase is sent, in parts of its size, with nothing between:
    what a gateway that costs nothing would make of it."""

    def __init__(self, conninfo: str) -> None:
        super().__init__(conninfo)
        self.limits = PartLimits(MOST_ROWS, MOST_BYTES)
        self._db = psycopg.connect(conninfo, autocommit=True, prepare_threshold=None)

    def write(
        self, batch: dict[str, Any], chunks: Sequence[ChunkRow], messages: Sequence[MessageRow]
    ) -> list[dict[str, Any]]:
        """See `Database.write`."""
        rows = [[chunk_object(chunk) for chunk in chunks], [message_object(message) for message in messages]]
        given = [orjson.dumps(value).decode() for value in (batch, *rows)]
        row = self._db.execute("SELECT public.ray_import_write(%s::jsonb, %s::json, %s::json)", given).fetchone()
        fates: list[dict[str, Any]] = row[0] if row else []
        return fates

    def close(self) -> None:
        """See `Database.close`."""
        self._db.close()
        super().close()


class Cases:
    """`with Cases(conversations) as cases: with cases.opened(name) as opened: ...`; one Postgres serves all.

    The databases hold so many conversations of the same user already.
    """

    NAMES = ("SQLite", "Postgres", "Postgres, TCP", "function", "Supabase")

    def __init__(self, already: int = 0) -> None:
        self._already = already
        self._stack = ExitStack()

    def __enter__(self) -> "Cases":
        self._server = self._stack.enter_context(postgres_server())
        self._tree = ProcessTree(_postmaster(self._server))
        template = supabase_roles(Database(self._server, TEMPLATE).create())
        with closing(PostgresDatabase(template.dsn)) as database:
            database.migrate()
        if self._already:
            with template.connected() as db:
                db.execute("SELECT set_config('bench.already', %s, false)", [str(self._already)])
                db.execute(FILL.read_bytes())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def opened(self, name: str) -> AbstractContextManager[Opened]:
        """A new, empty destination of that name."""
        return _sqlite() if name == "SQLite" else self._postgres(name)

    @contextmanager
    def _postgres(self, name: str) -> Iterator[Opened]:
        with new_database(self._server, TEMPLATE) as made:
            if name == "Supabase":
                with (
                    stand_in(made.dsn_as("authenticator")) as served,
                    closing(DatabaseSink(SupabaseDatabase(served.access))) as sink,
                ):
                    yield Opened(sink, self._tree, ProcessTree(served.pid))
                return
            kind = BareFunction if name == "function" else PostgresDatabase
            with closing(DatabaseSink(kind(made.tcp_dsn if "TCP" in name else made.dsn))) as sink:
                yield Opened(sink, self._tree)


@contextmanager
def _sqlite() -> Iterator[Opened]:
    with tempfile.TemporaryDirectory() as folder, closing(SqliteSink(Path(folder) / "chunks.db")) as sink:
        yield Opened(sink)


def _postmaster(server: Server) -> int:
    return int((Path(server.folder) / "postmaster.pid").read_text().split()[0])
