"""A worker whose database is away for a while, at each call of the queue."""

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.service.test_work import SMALL, hosts
from tests.service.workers import Site, Worker, site, wait_until
from tests.support.gateway.faults import BAD_GATEWAY
from tests.support.object_server import ObjectServer, object_server

if TYPE_CHECKING:
    from tests.support.gateway.postgres import Database
    from tests.support.gateway.server import Gateway

RPC = "/rpc/ray_import_service_"


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    with object_server() as made:
        yield made


@pytest.fixture
def place(
    tmp_path: Path, migrated_supabase: "Gateway", migrated_database: "Database", server: ObjectServer
) -> Iterator[Site]:
    """Workers over Supabase; the test itself looks into the database behind it."""
    keys = {"SUPABASE_URL": migrated_supabase.url, "SUPABASE_SERVICE_KEY": migrated_supabase.service_key}
    with site(tmp_path, migrated_database.dsn, **keys, **hosts(server)) as made:
        yield made


def started(place: Site) -> Worker:
    queue, place.to = place.to, "supabase"
    worker = place.started()
    place.to = queue
    return worker


@pytest.mark.parametrize("function", ["claim", "alive", "held"])
def test_worker_waits_and_continues_when_the_queue_is_away_while_it_is_idle(
    place: Site, migrated_supabase: "Gateway", server: ObjectServer, function: str
) -> None:
    migrated_supabase.faults.add(BAD_GATEWAY, path=RPC + function)
    worker = started(place)
    worker.wait_for("queue_away")
    migrated_supabase.faults.clear()
    job_id = place.accept("ada", server.put("a.json", SMALL))
    assert place.wait_for(job_id, "complete").attempts == 1
    assert worker.stop() == 0
    assert "Traceback" not in worker.log


@pytest.mark.parametrize(("data", "function"), [(SMALL, "finish"), (b"[1]", "finish")], ids=["good", "failed"])
def test_end_of_a_job_is_written_when_the_queue_is_back(
    place: Site, migrated_supabase: "Gateway", server: ObjectServer, data: bytes, function: str
) -> None:
    migrated_supabase.faults.add(BAD_GATEWAY, path=RPC + function)
    job_id = place.accept("ada", server.put("a.json", data))
    worker = started(place)
    worker.wait_for("queue_away")
    assert place.job(job_id).state == "running"
    migrated_supabase.faults.clear()
    job = place.wait_for(job_id, "complete", "failed")
    assert (job.state, job.attempts) == ("complete" if data is SMALL else "failed", 1)
    assert worker.stop() == 0


def test_lease_is_kept_when_heartbeats_were_lost_for_a_while(
    place: Site, migrated_supabase: "Gateway", server: ObjectServer
) -> None:
    with server.held_after(0):
        job_id = place.accept("ada", server.put("a.json", SMALL))
        worker = started(place)
        worker.wait_for("job_begun")
        served = migrated_supabase.served.count("service_alive")
        migrated_supabase.faults.add(BAD_GATEWAY, path=RPC + "alive")
        wait_until(lambda: migrated_supabase.served.count("service_alive") >= served + 2)
        migrated_supabase.faults.clear()
    assert place.wait_for(job_id, "complete").attempts == 1
    assert worker.stop() == 0


def test_worker_ends_in_time_when_it_cannot_tell_how_its_job_ended(
    place: Site, migrated_supabase: "Gateway", server: ObjectServer
) -> None:
    migrated_supabase.faults.add(BAD_GATEWAY, path=RPC + "finish")
    job_id = place.accept("ada", server.put("a.json", SMALL))
    worker = started(place)
    worker.wait_for("queue_away")
    assert worker.stop(signal.SIGTERM) == 0
    migrated_supabase.faults.clear()
    assert place.job(job_id).state == "running"
    again = started(place)
    assert place.wait_for(job_id, "complete").attempts == 2  # the first one is dead, which is seen at once
    assert again.stop() == 0


def test_worker_waits_and_continues_when_its_sqlite_file_is_locked(tmp_path: Path, server: ObjectServer) -> None:
    with site(tmp_path, f"sqlite:///{tmp_path}/chunks.db", **hosts(server)) as place:
        job_id = place.accept("ada", server.put("a.json", SMALL))
        with closing(sqlite3.connect(tmp_path / "chunks.db", isolation_level=None)) as db:
            db.execute("BEGIN EXCLUSIVE")
            worker = place.started()
            worker.wait_for("queue_away")
            db.execute("ROLLBACK")
        assert place.wait_for(job_id, "complete").attempts == 1
        assert worker.stop() == 0
