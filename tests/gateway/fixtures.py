"""Fixtures for every test that needs a database: `postgres`, `database`, `supabase_database`."""

import secrets
from collections.abc import Iterator

import pytest

from tests.gateway.postgres import Database, Server, postgres_server, supabase_roles

SUPABASE_TEMPLATE = "supabase_template"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One server for the whole session, started by the first test that needs it."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def database(postgres: Server) -> Iterator[Database]:
    """An empty database of a plain Postgres."""
    made = Database(postgres, f"t{secrets.token_hex(6)}")
    made.create()
    yield made
    made.drop()


@pytest.fixture(scope="session")
def supabase_template(postgres: Server) -> str:
    """The name of a database that is as a new Supabase project's, to be copied."""
    return supabase_roles(Database(postgres, SUPABASE_TEMPLATE).create()).name


@pytest.fixture
def supabase_database(postgres: Server, supabase_template: str) -> Iterator[Database]:
    """An empty database as a new Supabase project has it."""
    made = Database(postgres, f"s{secrets.token_hex(6)}")
    made.create(supabase_template)
    yield made
    made.drop()
