"""Fixtures for every test that needs a database: `postgres`, `database`, `supabase_database`, `supabase`."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from ray_import.destinations.postgres.psycopg import PostgresDatabase
from tests.support.gateway.postgres import Database, Server, new_database, postgres_server, supabase_roles
from tests.support.gateway.server import Gateway, gateway

SUPABASE_TEMPLATE = "supabase_template"


@contextmanager
def _stand_in(database: Database) -> Iterator[Gateway]:
    """A gateway over `database`; fails where it has a fault of its own."""
    with gateway(database.dsn_as("authenticator")) as made:
        yield made
        assert made.served.failures == []


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One server for the whole session, started by the first test that needs it."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def database(postgres: Server) -> Iterator[Database]:
    """An empty database of a plain Postgres."""
    with new_database(postgres) as made:
        yield made


@pytest.fixture(scope="session")
def supabase_template(postgres: Server) -> str:
    """The name of a database that is as a new Supabase project's, to be copied."""
    return supabase_roles(Database(postgres, SUPABASE_TEMPLATE).create()).name


@pytest.fixture
def supabase_database(postgres: Server, supabase_template: str) -> Iterator[Database]:
    """An empty database as a new Supabase project has it."""
    with new_database(postgres, supabase_template) as made:
        yield made


@pytest.fixture
def supabase(supabase_database: Database) -> Iterator[Gateway]:
    """A stand-in for a Supabase project, over `supabase_database`."""
    with _stand_in(supabase_database) as made:
        yield made


@pytest.fixture(scope="session")
def migrated_template(postgres: Server, supabase_template: str) -> str:
    """The name of a Supabase project's database in which ray_import's tables are, to be copied."""
    made = Database(postgres, "migrated_template").create(supabase_template)
    with closing(PostgresDatabase(made.dsn)) as opened:
        opened.migrate()
    return made.name


@pytest.fixture
def migrated_database(postgres: Server, migrated_template: str) -> Iterator[Database]:
    """A Supabase project's database in which ray_import's tables are, and nothing in them."""
    with new_database(postgres, migrated_template) as made:
        yield made


@pytest.fixture
def migrated_supabase(migrated_database: Database) -> Iterator[Gateway]:
    """A stand-in for a Supabase project, over `migrated_database`."""
    with _stand_in(migrated_database) as made:
        yield made
