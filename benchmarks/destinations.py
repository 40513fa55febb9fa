"""Destinations of whole imports, new and empty, for `--to` of `benchmarks.import_export`."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal, get_args

from benchmarks.gateway_child import stand_in
from ray_import.destinations.postgres.psycopg import PostgresDatabase
from tests.support.gateway.postgres import Database, new_database, postgres_server, supabase_roles

Kind = Literal["sqlite", "postgres", "supabase"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@contextmanager
def destination(kind: Kind, folder: Path, delay_seconds: float = 0.0) -> Iterator[str]:
    """Its address for `--to`. Supabase is the tests' stand-in, each of whose calls begins so much later."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(dir=folder) as beside:
            yield f"sqlite:///{beside}/chunks.db"
        return
    with postgres_server() as server, new_database(server) as made:
        _set_up(made)
        if kind == "postgres":
            yield made.dsn
            return
        with stand_in(made.dsn_as("authenticator"), delay_seconds) as served:
            os.environ["SUPABASE_URL"] = served.access.url
            os.environ["SUPABASE_SERVICE_KEY"] = served.access.key.get_secret_value()
            try:
                yield "supabase"
            finally:
                del os.environ["SUPABASE_URL"], os.environ["SUPABASE_SERVICE_KEY"]


def _set_up(database: Database) -> None:
    supabase_roles(database)
    with closing(PostgresDatabase(database.dsn)) as opened:
        opened.migrate()
