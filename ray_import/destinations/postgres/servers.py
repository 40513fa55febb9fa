"""Destinations on servers: a Postgres, and a Supabase project."""

import os
import shlex
from contextlib import closing
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import SecretStr

from ray_import.credentials import environment, supabase_access
from ray_import.destinations.base import NEWEST_CHUNK, Migrated, Sink
from ray_import.destinations.postgres.address import shown_address, split_password
from ray_import.destinations.postgres.calls import PATIENCE_SECONDS, Database
from ray_import.destinations.postgres.psycopg import PostgresDatabase
from ray_import.destinations.postgres.service_jobs import DatabaseServiceJobs
from ray_import.destinations.postgres.sink import DatabaseSink
from ray_import.destinations.service_jobs import ServiceJobs
from ray_import.errors import ConfigError


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
        return DatabaseSink(self._database())

    def look(self) -> Sink:
        return self.open(create=False)

    def open_jobs(self, *, patience_seconds: float | None = None) -> ServiceJobs:
        return _opened_jobs(self._database(patience_seconds), patience_seconds)

    def migrate(self) -> Migrated:
        return _migrated(self.url, self._database())

    def query_hint(self) -> str:
        address = shlex.quote(self.url) if self.conninfo else '"$DATABASE_URL"'
        return f'psql {address} -c "{NEWEST_CHUNK}"'

    def export_password(self, *, to_children: bool) -> None:
        if self.password is None or environment().pgpassword == self.password:
            return
        if not to_children:
            raise ConfigError(
                "The password in --to would be sent through the cluster to its workers.",
                "Remove it from --to, and set PGPASSWORD (or DATABASE_URL, with --to postgres) where Ray is started.",
            )
        os.environ["PGPASSWORD"] = self.password.get_secret_value()

    def _database(self, answer_seconds: float | None = None) -> PostgresDatabase:
        if self.conninfo:
            return PostgresDatabase(self.conninfo, self.password, answer_seconds=answer_seconds)
        return PostgresDatabase(*split_password(_database_url()), answer_seconds=answer_seconds)


@dataclass(frozen=True, slots=True)
class SupabaseDestination:
    """`supabase`: the project of SUPABASE_URL and SUPABASE_SERVICE_KEY; see `Destination`."""

    url: str

    on_this_machine: ClassVar[bool] = False

    def open(self, *, create: bool = True) -> Sink:  # noqa: ARG002 - `migrate` makes the tables
        from ray_import.destinations.postgres.supabase import SupabaseDatabase  # noqa: PLC0415 - takes 0.4 s to import

        return DatabaseSink(SupabaseDatabase(supabase_access()))

    def look(self) -> Sink:
        return self.open(create=False)

    def open_jobs(self, *, patience_seconds: float | None = None) -> ServiceJobs:
        import httpx  # noqa: PLC0415 - takes memory that the service's web processes need not have

        from ray_import.destinations.postgres.supabase import TIMEOUT, SupabaseDatabase  # noqa: PLC0415 - takes 0.4 s to import

        timeout = TIMEOUT if patience_seconds is None else httpx.Timeout(patience_seconds)
        return _opened_jobs(SupabaseDatabase(supabase_access(), timeout), patience_seconds)

    def migrate(self) -> Migrated:
        """See `Destination.migrate`. The REST interface makes no tables: this goes to the database itself."""
        url = environment().supabase_db_url.get_secret_value().strip()
        if not url:
            raise ConfigError(
                "SUPABASE_DB_URL is not set: tables cannot be created with SUPABASE_SERVICE_KEY.",
                "Set it (see Connect in the project's dashboard), or paste the output of ray-import migrate --print"
                " into the SQL editor.",
            )
        conninfo, password = split_password(url)
        return _migrated(shown_address(conninfo), PostgresDatabase(conninfo, password))

    def query_hint(self) -> str:
        return ""

    def export_password(self, *, to_children: bool) -> None:
        """Does nothing: SUPABASE_SERVICE_KEY is in the environment already."""


def supabase_project() -> SupabaseDestination:
    """`supabase`. Raises ConfigError."""
    return SupabaseDestination(f"supabase {supabase_access().url}")


def postgres_of_environment() -> PostgresDestination:
    """`postgres`. Raises ConfigError."""
    return PostgresDestination(shown_address(split_password(_database_url())[0]), "")


def postgres_at(url: str) -> PostgresDestination:
    """`postgresql://…`. Raises ConfigError."""
    conninfo, password = split_password(url)
    if "sslpassword=" in conninfo:
        raise ConfigError(
            "--to contains the password of a TLS key.", "Set DATABASE_URL to this address, and use --to postgres."
        )
    return PostgresDestination(shown_address(conninfo), conninfo, password)


def _opened_jobs(database: Database, patience_seconds: float | None) -> ServiceJobs:
    patience = PATIENCE_SECONDS if patience_seconds is None else patience_seconds
    return DatabaseServiceJobs(database, patience_seconds=patience)


def _migrated(address: str, database: PostgresDatabase) -> Migrated:
    with closing(database):
        return Migrated(address, tuple(database.migrate()))


def _database_url() -> str:
    url = environment().database_url.get_secret_value().strip()
    if not url:
        raise ConfigError("DATABASE_URL is not set.", "Set it in the environment or .env, or use --to postgresql://….")
    return url
