"""The destinations that are held to the contract: `destination` is each of them in turn, `sink` is connected to it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from ray_import.destinations.base import Sink
from ray_import.destinations.service_jobs import ServiceJobs
from tests.contract.destinations import DestinationUnderTest, PostgresTables, SqliteFile, SupabaseTables

if TYPE_CHECKING:
    from tests.support.gateway.postgres import Database
    from tests.support.gateway.server import Gateway


@pytest.fixture(params=["sqlite", "postgres", "supabase"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> DestinationUnderTest:
    if request.param == "sqlite":
        return SqliteFile(tmp_path)
    database: Database = request.getfixturevalue("migrated_database")
    if request.param == "postgres":
        return PostgresTables(database)
    project: Gateway = request.getfixturevalue("migrated_supabase")
    return SupabaseTables(database, project.url, SecretStr(project.secret_key))


@pytest.fixture
def sink(destination: DestinationUnderTest) -> Iterator[Sink]:
    with closing(destination.open()) as opened:
        yield opened


@pytest.fixture
def jobs(destination: DestinationUnderTest) -> Iterator[ServiceJobs]:
    with closing(destination.open_jobs()) as opened:
        yield opened
