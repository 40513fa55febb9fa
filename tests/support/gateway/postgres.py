"""A real Postgres for the tests, from a wheel: one server a session, one empty database a test.

In tests, by the fixtures of `tests/support/gateway/fixtures.py`:

    def test_…(database: Database) -> None:           # an empty database, dropped afterwards
        with database.connected() as db: ...          # psycopg, as the superuser `postgres`, in autocommit

    def test_…(supabase_database: Database) -> None:  # the same with Supabase's roles, auth and grants

A `Database` is a small value that travels to other processes: `database.dsn` is over the Unix socket, without a
password; `database.tcp_dsn` is over 127.0.0.1, with the password that the server really checks. `database.beside("x")`
names another one, which `create()` makes and `drop()` takes away again.

The server is a process tree of its own (`tests/support/gateway/guardian.py`), started when the first test asks for it,
within three seconds. It is gone when the tests' process is, however that ends.
"""

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

ROOT = Path(__file__).parents[3]
SUPABASE_SQL = Path(__file__).with_name("supabase.sql")
STOPS_WITHIN_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server listens: in a folder, and on a port of 127.0.0.1."""

    folder: str
    port: int
    password: str = field(repr=False)

    def dsn(self, database: str, user: str = "postgres") -> str:
        """The address over the Unix socket, where everybody is who they say they are."""
        return f"postgresql://{user}@/{database}?host={self.folder}&port={self.port}"

    def tcp_dsn(self, database: str) -> str:
        """The address over TCP, with the password of `postgres`."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"


@dataclass(frozen=True, slots=True)
class Database:
    """A database of a server; it travels to other processes. It need not be there yet."""

    server: Server
    name: str

    @property
    def dsn(self) -> str:
        """Its address for the superuser `postgres`, over the Unix socket."""
        return self.server.dsn(self.name)

    @property
    def tcp_dsn(self) -> str:
        """Its address over TCP, with a password."""
        return self.server.tcp_dsn(self.name)

    def dsn_as(self, user: str) -> str:
        """Its address for another user who may log in, over the Unix socket."""
        return self.server.dsn(self.name, user)

    @contextmanager
    def connected(self, **options: Any) -> Iterator[psycopg.Connection[Any]]:
        """A connection in autocommit, closed at the end; `options` are those of `psycopg.connect`."""
        with psycopg.connect(self.dsn, **{"autocommit": True} | options) as db:
            yield db

    def beside(self, name: str) -> "Database":
        """Another database of the same server, by a name that begins with this one's."""
        return replace(self, name=f"{self.name}_{name}")

    def create(self, template: str = "template0") -> "Database":
        """Makes it, empty or as a copy of `template`, and returns itself."""
        self._administer("CREATE DATABASE {} TEMPLATE {}", self.name, template)
        return self

    def drop(self) -> None:
        """Takes it away, and ends every connection to it; nothing happens where it is not there."""
        self._administer("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)

    def _administer(self, command: str, *names: str) -> None:
        with psycopg.connect(self.server.dsn("postgres"), autocommit=True) as db:
            db.execute(sql.SQL(command).format(*map(sql.Identifier, names)))


@contextmanager
def postgres_server() -> Iterator[Server]:
    """Starts a server, and stops it and removes all that it wrote at the end."""
    guardian = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.support.gateway.guardian"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the tests; the guardian sees their end
    )
    with guardian:
        assert guardian.stdin is not None
        assert guardian.stdout is not None
        try:
            told = guardian.stdout.readline()
            if not told:
                raise RuntimeError("the test's Postgres did not start; what it said is above")
            yield Server(**json.loads(told))
        finally:
            with suppress(BrokenPipeError):  # it is gone already
                guardian.stdin.write("\n")
                guardian.stdin.close()
            guardian.wait(STOPS_WITHIN_SECONDS)


@contextmanager
def new_database(server: Server, template: str = "template0") -> Iterator[Database]:
    """An empty database, or a copy of `template`, dropped at the end."""
    made = Database(server, f"t{secrets.token_hex(6)}").create(template)
    try:
        yield made
    finally:
        made.drop()


def supabase_roles(database: Database) -> Database:
    """Makes of an empty database what a new Supabase project has, as far as it matters here; returns the database.

    The roles belong to the whole server and stay; the schema `auth` and the grants belong to the database. Other than
    there, `postgres` is a superuser here.
    """
    with database.connected() as db:
        db.execute(SUPABASE_SQL.read_bytes())
    return database
