"""The same export into every destination, while one request in ten goes wrong: the same rows."""

import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from ray_import.chunks.rows import ImportJob
from ray_import.credentials import SupabaseAccess
from ray_import.destinations.base import Sink
from ray_import.destinations.postgres.psycopg import PostgresDatabase
from ray_import.destinations.postgres.sink import DatabaseSink
from ray_import.destinations.postgres.supabase import SupabaseDatabase
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.one_user import import_user
from ray_import.pipeline.progress import NoReporter
from ray_import.pipeline.report import Summary
from ray_import.pipeline.sources import open_sources
from ray_import.settings import FlowLimits, ImportSettings
from tests.contract.destinations import PostgresTables, SqliteFile
from tests.support.gateway import faults
from tests.support.gateway.calls import Call
from tests.support.gateway.postgres import Database
from tests.support.gateway.server import Gateway
from tests.support.generate import write_export
from tests.support.in_process import InProcessWorkers

CHANCE = 0.1
SETTINGS = ImportSettings(flow=FlowLimits(batch_bytes=24 * 1024))
OF = ImportJob("import-1", "u1", 1_760_000_000.0)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "conversations.json"
    write_export(path, 4, seed=7)
    return path


@pytest.fixture(scope="module")
def undisturbed(export: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Summary, Any]:
    """What an import into SQLite says and leaves."""
    file = SqliteFile(tmp_path_factory.mktemp("sqlite"))
    return imported(export, file.open()), file.everything()


def imported(export: Path, opened: Sink) -> Summary:
    work = BatchContext(OF, SETTINGS)
    with closing(opened) as sink:
        sources = open_sources([export], SETTINGS.read)
        return import_user(sources, work, sink, "x", lambda: InProcessWorkers(sink), NoReporter())


def same(found: Summary, expected: Summary) -> bool:
    """Whether two imports tell the same; `deleted` may be lost with an answer."""
    return (found.status, found.counts, found.problems) == (expected.status, expected.counts, expected.problems)


class Unlucky(PostgresDatabase):
    """A connection to a real server that the server ends, before or after a commit, by chance."""

    def __init__(self, database: Database, seed: int) -> None:
        super().__init__(database.dsn)
        self._database = database
        self._random = random.Random(seed)
        self.ended = 0

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection[Any]]:
        unlucky = self._random.random() < CHANCE
        after = self._random.random() < 0.5
        with super()._transaction() as connection:
            if unlucky and not after:
                self._end(connection)
            yield connection
        if unlucky and after:
            with self._translated(), self._connected() as connection:
                self._end(connection)
                connection.execute("SELECT 1")  # the answer is lost, what was done is in

    def _end(self, connection: psycopg.Connection[Any]) -> None:
        self.ended += 1
        with self._database.connected() as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (connection.info.backend_pid,))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_server_that_ends_one_connection_in_ten_gets_the_same_rows(
    export: Path, undisturbed: tuple[Summary, Any], migrated_database: Database, seed: int
) -> None:
    database = Unlucky(migrated_database, seed)
    summary = imported(export, DatabaseSink(database))
    assert database.ended > 5
    assert same(summary, undisturbed[0])
    assert PostgresTables(migrated_database).everything() == undisturbed[1]


FAULTS = (
    faults.rate_limited(0),
    faults.BAD_GATEWAY,
    faults.SCHEMA_LOADING,
    faults.POOL_EXHAUSTED,
    faults.STATEMENT_TIMEOUT,
    faults.TOO_LARGE,
    faults.DEADLOCK,
    faults.CONNECTION_LOST,
    faults.RESET_BEFORE,
    faults.RESET_AFTER,
    faults.HANG_BEFORE,
    faults.HANG_AFTER,
)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_gateway_where_one_request_in_ten_goes_wrong_gets_the_same_rows(
    export: Path,
    undisturbed: tuple[Summary, Any],
    migrated_database: Database,
    migrated_supabase: Gateway,
    seed: int,
) -> None:
    chance = random.Random(seed)
    met = set()

    def decide(call: Call) -> faults.Fault | None:
        if chance.random() >= CHANCE:
            return None
        fault = chance.choice(FAULTS)
        if fault is faults.TOO_LARGE and len(call.body) < 16 * 1024:
            return None  # what is small is not too large
        met.add(fault.name)
        return fault

    migrated_supabase.faults.decide = decide
    access = SupabaseAccess(migrated_supabase.url, SecretStr(migrated_supabase.service_key))
    summary = imported(export, DatabaseSink(SupabaseDatabase(access, httpx.Timeout(1.0))))
    assert summary.error is None
    assert len(met) > 5
    assert same(summary, undisturbed[0])
    assert PostgresTables(migrated_database).everything() == undisturbed[1]
