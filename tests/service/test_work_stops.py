"""A worker that is asked to stop, killed, cancelled, or loses its lease, at each moment of a job."""

import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.commands import ray_import
from tests.cluster.imports import tables
from tests.service.test_work import SMALL, at, hosts
from tests.service.workers import STOPS_WITHIN_SECONDS, Site, Worker, site, wait_until
from tests.support.generate import write_export
from tests.support.object_server import ObjectServer, object_server

if TYPE_CHECKING:
    from tests.support.gateway.postgres import Database

CONVERSATIONS = "SELECT count(*) FROM imported_conversations"


@pytest.fixture(params=["sqlite", "postgres"])
def to(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/chunks.db"
    database: Database = request.getfixturevalue("migrated_database")
    return database.dsn


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    with object_server() as made:
        yield made


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """10 MB of JSON: a server that is asked for four ranges of it has sent 5 MB, which is more than a batch."""
    path = tmp_path_factory.mktemp("export") / "conversations.json"
    write_export(path, 10, seed=3)
    return path.read_bytes()


def importing(place: Site, server: ObjectServer, export: bytes) -> tuple[Worker, str]:
    """A worker that has imported a part of an export and waits for more of it, within `server.held_after`."""
    job_id = place.accept("ada", server.put("large.json", export))
    worker = place.started()
    worker.wait_for("job_begun")
    wait_until(lambda: has_rows(place))
    return worker, job_id


def has_rows(place: Site) -> bool:
    try:
        return at(place, CONVERSATIONS)[0][0] > 0
    except sqlite3.OperationalError:
        return False


def test_worker_stops_at_once_when_it_is_idle(tmp_path: Path, to: str) -> None:
    with site(tmp_path, to) as place:
        worker = place.started()
        worker.wait_for("worker_started")
        began = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - began < 10
        assert "Traceback" not in worker.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_job_is_handed_back_without_an_attempt_when_the_worker_stops_in_the_import(
    tmp_path: Path, to: str, server: ObjectServer, large: bytes, number: signal.Signals
) -> None:
    with site(tmp_path, to, **hosts(server)) as place:
        with server.held_after(4):
            worker, job_id = importing(place, server, large)
            assert worker.stop(number) == 0
            job = place.job(job_id)
            assert (job.state, job.attempts, job.error) == ("queued", 0, None)
            assert "Traceback" not in worker.log
        before = at(place, CONVERSATIONS)[0][0]
        assert place.once() == {"complete": 1}
        job = place.job(job_id)
        assert (job.state, job.attempts, job.counts["conversations"]["unchanged"]) == ("complete", 1, before)


def test_job_is_handed_back_when_sigterm_comes_twice(
    tmp_path: Path, to: str, server: ObjectServer, large: bytes
) -> None:
    with site(tmp_path, to, **hosts(server)) as place, server.held_after(4):
        worker, job_id = importing(place, server, large)
        worker.process.send_signal(signal.SIGTERM)
        worker.process.send_signal(signal.SIGTERM)
        assert worker.stop() == 0
        assert (place.job(job_id).state, place.job(job_id).attempts) == ("queued", 0)


def test_worker_takes_no_other_job_when_it_is_asked_to_stop(
    tmp_path: Path, to: str, server: ObjectServer, large: bytes
) -> None:
    with site(tmp_path, to, **hosts(server)) as place, server.held_after(4):
        worker, _ = importing(place, server, large)
        other = place.accept("ben", server.put("b.json", SMALL))
        assert worker.stop() == 0
        assert place.job(other).attempts == 0
        assert len(worker.events("job_begun")) == 1


def test_job_is_taken_over_at_once_when_its_worker_was_killed_on_this_machine(
    tmp_path: Path, to: str, server: ObjectServer, large: bytes
) -> None:
    """The import's own lease, too, is known to be a dead process's."""
    with site(tmp_path, to, **hosts(server)) as place:
        with server.held_after(4):
            worker, job_id = importing(place, server, large)
            worker.kill()
        assert place.job(job_id).state == "running"
        began = time.monotonic()
        assert place.once() == {"complete": 1}
        assert time.monotonic() - began < 50
        job = place.job(job_id)
        assert (job.state, job.attempts) == ("complete", 2)
        failed = at(place, "SELECT error FROM import_jobs WHERE status = 'failed'")
        assert failed == [("interrupted",)]


def test_tables_are_those_of_an_undisturbed_import_when_workers_were_killed(
    tmp_path: Path, server: ObjectServer, large: bytes
) -> None:
    export = tmp_path / "large.json"
    export.write_bytes(large)
    assert ray_import(tmp_path, "run", export, "--user-id", "ada", "--to", "sqlite:///other.db").code == 0
    with site(tmp_path, f"sqlite:///{tmp_path}/chunks.db", **hosts(server)) as place:
        with server.held_after(4):
            worker, job_id = importing(place, server, large)
            worker.kill()
        with server.held_after(4):
            again = place.started()
            again.wait_for("job_begun")
            again.kill()
        assert place.once() == {"complete": 1}
        assert place.job(job_id).attempts == 3
    assert tables(tmp_path / "chunks.db")["chunks"] == tables(tmp_path / "other.db")["chunks"]
    with closing(sqlite3.connect(tmp_path / "chunks.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_import_ends_and_the_worker_goes_on_when_its_job_is_cancelled(
    tmp_path: Path, to: str, server: ObjectServer, large: bytes
) -> None:
    with site(tmp_path, to, **hosts(server)) as place:
        with server.held_after(4):
            worker, job_id = importing(place, server, large)
            with place.jobs() as jobs:
                told = jobs.cancel(job_id, "ada")
            assert told is not None
            assert told.cancel_requested
            job = place.wait_for(job_id, "cancelled")
        assert (job.source, job.attempts) == ("", 1)
        other = place.accept("ben", server.put("b.json", SMALL))
        assert place.wait_for(other, "complete").attempts == 1
        assert at(place, "SELECT status, error FROM import_jobs WHERE user_id = 'ada'") == [("failed", "interrupted")]
        assert worker.stop() == 0


def test_import_ends_and_nothing_is_written_to_the_job_when_its_lease_is_lost(
    tmp_path: Path, to: str, server: ObjectServer, large: bytes
) -> None:
    with site(tmp_path, to, **hosts(server)) as place:
        with server.held_after(4):
            worker, job_id = importing(place, server, large)
            at(place, "UPDATE service_jobs SET holder = 'another-host/0/0' WHERE id = %s", job_id)
            worker.wait_for("job_lease_lost")
            seen = at(place, "SELECT state, holder, attempts, counts, error FROM service_jobs WHERE id = %s", job_id)
            assert [(state, holder, attempts) for state, holder, attempts, *_ in seen] == [
                ("running", "another-host/0/0", 1)
            ]
        other = place.accept("ben", server.put("b.json", SMALL))
        assert place.wait_for(other, "complete").attempts == 1
        assert (
            at(place, "SELECT state, holder, attempts, counts, error FROM service_jobs WHERE id = %s", job_id) == seen
        )
        assert worker.stop() == 0


def test_job_of_another_machine_is_taken_over_when_its_lease_has_expired(
    tmp_path: Path, to: str, server: ObjectServer
) -> None:
    with site(tmp_path, to, **hosts(server)) as place:
        job_id = place.accept("ada", server.put("a.json", SMALL))
        with place.jobs() as jobs:
            assert jobs.claim("another-host/0/0") is not None
        assert place.once() == {}
        at(place, "UPDATE service_jobs SET updated_at = '2020-01-01T00:00:00Z'")
        assert place.once() == {"complete": 1}
        assert place.job(job_id).attempts == 2


def test_worker_ends_in_time_when_its_main_thread_cannot_be_interrupted(
    tmp_path: Path, to: str, server: ObjectServer
) -> None:
    with site(tmp_path, to, **hosts(server)) as place:
        place.module = "tests.service.stuck"
        job_id = place.accept("ada", server.put("a.json", SMALL))
        worker = place.started()
        worker.wait_for("stuck")
        began = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - began < STOPS_WITHIN_SECONDS
        assert worker.events("worker_stopped_hard")
        assert (place.job(job_id).state, place.job(job_id).attempts) == ("queued", 0)
