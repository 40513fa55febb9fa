"""From `--to` to a sink."""

import os
import shlex
import shutil
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

from pydantic import SecretStr

from ray_import.credentials import environment, supabase_access
from ray_import.errors import ConfigError
from ray_import.sink.database import DatabaseSink
from ray_import.sink.port import Sink
from ray_import.sink.postgres import PostgresDatabase, shown_address, split_password
from ray_import.sink.sqlite import SqliteSink
from ray_import.source.address import without_secrets

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")
_NEWEST = "SELECT content FROM conversation_chunks ORDER BY created_at DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Migrated:
    """A database that was set up: its address, and the steps that were missing."""

    address: str
    applied: tuple[str, ...]


class Destination(Protocol):
    """A destination's address, which travels to the workers; each of them opens it for itself.

    It holds no secret: those are in the environment of whoever opens it.
    """

    @property
    def url(self) -> str:
        """What is shown of it."""

    @property
    def on_this_machine(self) -> bool:
        """Whether only processes of this machine can write to it."""

    def open(self, *, create: bool = True) -> Sink:
        """Connects. With `create`, makes what is not there yet, if it is made on the way."""

    def migrate(self) -> Migrated:
        """Sets the destination up."""

    def look_command(self) -> str:
        """A command that shows the newest chunk, with what this machine has; empty where there is none."""

    def hand_down_password(self, *, to_children: bool) -> None:
        """Lets the workers find a password that was given with the address, if they are to be processes of this one;
        else raises ConfigError where there is one."""


@dataclass(frozen=True, slots=True)
class SqliteDestination:
    """`sqlite:///PATH`; see `Destination`."""

    url: str
    path: Path

    on_this_machine: ClassVar[bool] = True

    def open(self, *, create: bool = True) -> Sink:
        """See `Destination.open`."""
        return SqliteSink(self.path, create=create)

    def migrate(self) -> Migrated:
        """See `Destination.migrate`."""
        self.open().close()
        return Migrated(self.url, ())

    def look_command(self) -> str:
        """See `Destination.look_command`."""
        if shutil.which("sqlite3"):
            return f'sqlite3 {shlex.quote(str(self.path))} "{_NEWEST}"'
        script = f"import sqlite3, sys; print(*next(sqlite3.connect(sys.argv[1]).execute('{_NEWEST}')))"
        return f'{shlex.quote(sys.executable)} -c "{script}" {shlex.quote(str(self.path))}'

    def hand_down_password(self, *, to_children: bool) -> None:
        """See `Destination.hand_down_password`."""


@dataclass(frozen=True, slots=True)
class PostgresDestination:
    """`postgresql://…`, or `postgres` for the address in DATABASE_URL; see `Destination`.

    `conninfo` is empty for the latter: whoever opens it looks there. The password stays in the process.
    """

    url: str
    conninfo: str
    password: SecretStr | None = field(default=None, repr=False, compare=False)

    on_this_machine: ClassVar[bool] = False

    def __reduce__(self) -> tuple[type["PostgresDestination"], tuple[str, str]]:
        return PostgresDestination, (self.url, self.conninfo)

    def open(self, *, create: bool = True) -> Sink:  # noqa: ARG002 - `migrate` makes the tables
        """See `Destination.open`."""
        return DatabaseSink(self._database())

    def migrate(self) -> Migrated:
        """See `Destination.migrate`."""
        return _migrated(self.url, self._database())

    def look_command(self) -> str:
        """See `Destination.look_command`."""
        return (
            f'psql {shlex.quote(self.url)} -c "{_NEWEST}"' if self.conninfo else f'psql "$DATABASE_URL" -c "{_NEWEST}"'
        )

    def hand_down_password(self, *, to_children: bool) -> None:
        """See `Destination.hand_down_password`."""
        if self.password is None or environment().pgpassword == self.password:
            return
        if not to_children:
            raise ConfigError(
                "The password in --to would have to travel through the cluster to its workers.",
                "Leave it out there, and set PGPASSWORD (or DATABASE_URL, with --to postgres) where Ray was started.",
            )
        os.environ["PGPASSWORD"] = self.password.get_secret_value()

    def _database(self) -> PostgresDatabase:
        if self.conninfo:
            return PostgresDatabase(self.conninfo, self.password)
        return PostgresDatabase(*split_password(_database_url()))


@dataclass(frozen=True, slots=True)
class SupabaseDestination:
    """`supabase`: the project of SUPABASE_URL and SUPABASE_SERVICE_KEY; see `Destination`."""

    url: str

    on_this_machine: ClassVar[bool] = False

    def open(self, *, create: bool = True) -> Sink:  # noqa: ARG002 - `migrate` makes the tables
        """See `Destination.open`."""
        from ray_import.sink.supabase import SupabaseDatabase  # noqa: PLC0415 - takes 0.4 s to import

        return DatabaseSink(SupabaseDatabase(supabase_access()))

    def migrate(self) -> Migrated:
        """See `Destination.migrate`. The REST interface makes no tables: this goes to the database itself."""
        url = environment().supabase_db_url.get_secret_value()
        if not url:
            raise ConfigError(
                "SUPABASE_DB_URL is not set: tables cannot be made with SUPABASE_SERVICE_KEY.",
                "Set it (Connect, in the project's dashboard), or paste what ray-import migrate --print prints into"
                " the SQL editor.",
            )
        conninfo, password = split_password(url)
        return _migrated(shown_address(conninfo), PostgresDatabase(conninfo, password))

    def look_command(self) -> str:
        """See `Destination.look_command`."""
        return ""

    def hand_down_password(self, *, to_children: bool) -> None:
        """See `Destination.hand_down_password`."""


def _migrated(address: str, database: PostgresDatabase) -> Migrated:
    with closing(database):
        return Migrated(address, tuple(database.migrate()))


def _database_url() -> str:
    url = environment().database_url.get_secret_value()
    if not url:
        raise ConfigError("DATABASE_URL is not set.", "Set it in the environment or .env, or use --to postgresql://….")
    return url


def is_absolute(url: str) -> bool:
    """Whether the address means the same from every working directory."""
    return not url.startswith(_SQLITE) or Path(url.removeprefix(_SQLITE)).expanduser().is_absolute()


def parse_destination(url: str) -> Destination:
    """Understands `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://…`, `postgres` and `supabase`.

    Raises ConfigError.
    """
    if url == "supabase":
        return SupabaseDestination(f"supabase {supabase_access().url}")
    if url == "postgres":
        return PostgresDestination(shown_address(split_password(_database_url())[0]), "")
    if url.startswith(_POSTGRES):
        conninfo, password = split_password(url)
        if "sslpassword=" in conninfo:
            raise ConfigError(
                "--to has the password of a key in it.", "Give that address in DATABASE_URL: --to postgres."
            )
        return PostgresDestination(shown_address(conninfo), conninfo, password)
    return _sqlite_file(url)


def _sqlite_file(url: str) -> SqliteDestination:
    rest = url.removeprefix(_SQLITE)
    if rest == url or not rest or rest == ":memory:":
        raise ConfigError(
            f"--to{'' if '=' in url else f' {without_secrets(url)}'} is no destination that is known.",
            "Use sqlite:///chunks.db, sqlite:////an/absolute/path.db, supabase, or postgresql://USER@HOST/DATABASE.",
        )
    try:
        path = Path(rest).expanduser().absolute()
        is_folder = path.is_dir()
    except (OSError, RuntimeError, ValueError):
        raise ConfigError(f"--to {url} is no path that can be.") from None
    if is_folder:
        raise ConfigError(f"--to {url} names a folder.", "Name a file in it.")
    return SqliteDestination(f"{_SQLITE}{path}", path)
