"""From `--to` to a sink."""

import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ray_import.destinations.base import NEWEST_CHUNK, Destination, Migrated, Sink
from ray_import.destinations.service_jobs import ServiceJobs
from ray_import.destinations.sqlite.service_jobs import SqliteServiceJobs
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.errors import ConfigError

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")


@dataclass(frozen=True, slots=True)
class SqliteDestination:
    """`sqlite:///PATH`; see `Destination`."""

    url: str
    path: Path

    on_this_machine: ClassVar[bool] = True

    def open(self, *, create: bool = True) -> Sink:
        return SqliteSink(self.path, create=create)

    def look(self) -> Sink:
        is_there = self.path.exists() and self.path.stat().st_size
        return SqliteSink(self.path, read_only=True) if is_there else SqliteSink(Path(":memory:"))

    def open_jobs(self, *, patience_seconds: float | None = None) -> ServiceJobs:
        return SqliteServiceJobs(self.path, patience_seconds=patience_seconds)

    def migrate(self) -> Migrated:
        self.open().close()
        return Migrated(self.url, ())

    def query_hint(self) -> str:
        if shutil.which("sqlite3"):
            return f'sqlite3 {shlex.quote(str(self.path))} "{NEWEST_CHUNK}"'
        script = "import sqlite3, sys; print(*next(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]), ()))"
        return f'{shlex.quote(sys.executable)} -c "{script}" {shlex.quote(str(self.path))} "{NEWEST_CHUNK}"'

    def export_password(self, *, to_children: bool) -> None:
        """Does nothing: a SQLite file has no password."""


def is_absolute(url: str) -> bool:
    """Whether the address means the same from every working directory."""
    return not url.startswith(_SQLITE) or Path(url.removeprefix(_SQLITE)).expanduser().is_absolute()


def parse_destination(url: str) -> Destination:
    """Understands `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://…`, `postgres` and `supabase`.

    Raises ConfigError.
    """
    if url not in ("supabase", "postgres") and not url.startswith(_POSTGRES):
        if "postgres" in url and not url.startswith(_SQLITE):
            from ray_import.destinations.postgres.address import refuse_usual_mistakes  # noqa: PLC0415 - imports psycopg

            refuse_usual_mistakes(url)
        return _sqlite_file(url)
    # Their clients take a quarter of a second to import, which whoever writes to a file need not wait for.
    from ray_import.destinations.postgres import servers  # noqa: PLC0415

    match url:
        case "supabase":
            return servers.supabase_project()
        case "postgres":
            return servers.postgres_of_environment()
        case _:
            return servers.postgres_at(url)


def _sqlite_file(url: str) -> SqliteDestination:
    rest = url.removeprefix(_SQLITE)
    if rest == url or not rest or rest == ":memory:":
        raise ConfigError(
            f"--to{_kind_of(url)} is not a known destination.",
            "Use sqlite:///chunks.db, sqlite:////an/absolute/path.db, supabase, or postgresql://USER@HOST/DATABASE.",
        )
    try:
        path = Path(rest).expanduser().absolute()
        is_folder = path.is_dir()
    except PermissionError:
        raise ConfigError(f"--to {url} is in a folder that this user cannot open.") from None
    except (OSError, RuntimeError, ValueError):
        raise ConfigError(f"--to {url} is not a valid path.") from None
    if is_folder:
        raise ConfigError(f"--to {url} is a folder.", "Give a file in it.")
    return SqliteDestination(f"{_SQLITE}{path}", path)


def _kind_of(url: str) -> str:
    """What may be shown of an address of which nothing is known: a name, or what stands before the first colon."""
    kind, colon, _ = url.partition(":")
    return f" {kind}{colon}{'…' if colon else ''}" if kind and not set(kind) & set("@=?# ") else ""
