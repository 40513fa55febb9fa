"""Services over each destination that a test may need."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ray_import.destinations.registry import parse_destination
from ray_import.destinations.service_jobs import ServiceJobs
from tests.service.serving import Served, serving

if TYPE_CHECKING:
    from tests.support.gateway.postgres import Database


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One web process over a SQLite file, for all tests of a module: each takes users of its own."""
    folder = tmp_path_factory.mktemp("service")
    with serving("sqlite:///jobs.db", folder) as served:
        yield served


@pytest.fixture
def jobs(service: Served) -> Iterator[ServiceJobs]:
    """The queue of `service`."""
    opened = parse_destination(f"sqlite:///{service.log_path.parent}/jobs.db").open_jobs()
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "postgres"])
def to(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The destination of a service."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/jobs.db"
    database: Database = request.getfixturevalue("migrated_database")
    return database.dsn
