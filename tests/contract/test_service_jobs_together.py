"""The queue of jobs under several processes, lost answers, and databases that are away or full of what has ended."""

import multiprocessing
import socket
from collections.abc import Callable
from contextlib import closing
from time import monotonic
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from ray_import.destinations.base import LEASE_SECONDS
from ray_import.destinations.postgres.psycopg import PostgresDatabase
from ray_import.destinations.postgres.servers import postgres_at
from ray_import.destinations.postgres.service_jobs import DatabaseServiceJobs
from ray_import.destinations.service_jobs import RETENTION_DAYS, Accepted, ServiceJobs
from ray_import.errors import SinkBusy, SinkError
from tests.contract.destinations import DestinationUnderTest, PostgresTables, SupabaseTables, claim_all
from tests.contract.test_service_jobs import HOLDER, OTHER, PER_HOUR, claimed, new_job, put, seen
from tests.support.gateway import faults
from tests.support.gateway.postgres import Database
from tests.support.gateway.server import Gateway

SPAWN = multiprocessing.get_context("spawn")
JOBS, PROCESSES = 20, 4


def test_claim_gives_each_job_once_when_several_processes_claim_at_once(
    destination: DestinationUnderTest, jobs: ServiceJobs
) -> None:
    put(jobs, *range(JOBS))
    together, told = SPAWN.Barrier(PROCESSES), SPAWN.Queue()
    workers = [
        SPAWN.Process(target=claim_all, args=(destination, f"host/{number}", together, told))
        for number in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    claims = [told.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert sorted(job_id for ids in claims for job_id in ids) == sorted(f"job-{number}" for number in range(JOBS))
    assert {job.attempts for job in jobs.list_jobs()} == {1}


@pytest.mark.parametrize("call", ["claim", "beat", "accept"])
def test_queue_raises_busy_when_a_lock_is_held_for_longer_than_the_patience(
    destination: DestinationUnderTest, jobs: ServiceJobs, call: str
) -> None:
    put(jobs, 1)
    calls: dict[str, Callable[[ServiceJobs], object]] = {
        "claim": lambda own: own.claim(HOLDER),
        "beat": lambda own: own.beat(HOLDER, None),
        "accept": lambda own: own.accept(new_job(2), jobs_per_hour=PER_HOUR),
    }
    with closing(destination.open_jobs(0.5)) as own:
        with destination.locked_queue(), pytest.raises(SinkBusy):
            calls[call](own)
        while calls[call](own) is None:  # what was given up may just take the job
            pass
    if call == "claim":
        assert [(job.state, job.attempts) for job in jobs.list_jobs()] == [("running", 1)]


def test_open_jobs_raises_busy_when_nothing_listens_within_the_patience() -> None:
    with socket.socket() as nothing:
        nothing.bind(("127.0.0.1", 0))
        address = f"postgresql://u@127.0.0.1:{nothing.getsockname()[1]}/db"
        begun = monotonic()
        with pytest.raises(SinkBusy):
            postgres_at(address).open_jobs(patience_seconds=0.5)
        assert monotonic() - begun < 5  # without a patience of its own it is 6 s


def test_open_jobs_raises_busy_when_a_server_accepts_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(SinkBusy):
        postgres_at(f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/db").open_jobs(patience_seconds=0.5)


# --- Postgres ------------------------------------------------------------------------------------


def test_claim_takes_a_job_when_an_open_transaction_refers_to_it(migrated_database: Database) -> None:
    with (
        closing(PostgresTables(migrated_database).open_jobs(10)) as jobs,
        migrated_database.connected() as db,
        migrated_database.connected(autocommit=False) as other,
    ):
        put(jobs, 1)
        db.execute("CREATE TABLE events (job_id text REFERENCES service_jobs (id), what text)")
        other.execute("INSERT INTO events VALUES ('job-1', 'queued')")
        assert claimed(jobs).id == "job-1"
        with db.transaction():
            db.execute("SELECT FROM service_jobs WHERE id = 'job-1' FOR NO KEY UPDATE")
            other.execute("INSERT INTO events VALUES ('job-1', 'running')")  # which does not wait for a claim
        other.commit()


def test_accept_keeps_old_jobs_when_a_foreign_key_of_the_users_refers_to_them(migrated_database: Database) -> None:
    tables = PostgresTables(migrated_database)
    with closing(tables.open_jobs(10)) as jobs, migrated_database.connected() as db:
        put(jobs, 1)
        jobs.cancel("job-1", "u1")
        tables.age_service_job("job-1", "finished_at", 86_400 * (RETENTION_DAYS + 1))
        db.execute("CREATE TABLE events (job_id text REFERENCES service_jobs (id), what text)")
        db.execute("INSERT INTO events VALUES ('job-1', 'cancelled')")
        put(jobs, 2)
        assert [job.id for job in jobs.list_jobs()] == ["job-2", "job-1"]
        db.execute("DELETE FROM events")
        put(jobs, 3)
        assert [job.id for job in jobs.list_jobs()] == ["job-3", "job-2"]


def test_claim_passes_over_a_job_when_another_claim_has_locked_it(migrated_database: Database) -> None:
    with (
        closing(PostgresTables(migrated_database).open_jobs(10)) as jobs,
        migrated_database.connected(autocommit=False) as other,
    ):
        put(jobs, 1, 2)
        claim = "SELECT ray_import_service_claim(%s, NULL, 'call-1', %s) ->> 'id'"
        assert other.execute(claim, (OTHER, LEASE_SECONDS)).fetchone() == ("job-1",)
        assert claimed(jobs).id == "job-2"
        assert jobs.claim(HOLDER) is None
        other.rollback()
        assert claimed(jobs).id == "job-1"


ENDED = """
INSERT INTO service_jobs (id, user_id, state, stage, source, source_label, file_type, idempotency_key, request_hash,
    due_at, created_at, updated_at, finished_at)
SELECT 'old-' || n, 'u' || n % 1000, 'complete', 'import', '', '', '', 'key-' || n, 'h', t, t, t, t
FROM generate_series(1, 20000) n, lateral (SELECT now() - make_interval(hours => n) + interval '10 years') f (t)
"""
MOST_READ = 60
"""Rows of tables and indexes."""


@pytest.mark.parametrize(
    "asked",
    [
        lambda jobs: jobs.accept(new_job(2, user_id="u7", idempotency_key="k"), jobs_per_hour=50),
        lambda jobs: jobs.claim(HOLDER),
        lambda jobs: jobs.claim(HOLDER, "job-1"),
        lambda jobs: jobs.list_jobs(states=["queued", "running"]),
        lambda jobs: jobs.list_jobs(limit=5),
        lambda jobs: jobs.list_jobs("u7", limit=5),
        lambda jobs: jobs.release(HOLDER),
        lambda jobs: jobs.held(),
    ],
    ids=["accept", "claim", "claim one", "active", "newest", "of a user", "release", "held"],
)
def test_queue_reads_little_when_many_jobs_have_ended(
    migrated_database: Database, asked: Callable[[ServiceJobs], object]
) -> None:
    with (
        migrated_database.connected(prepare_threshold=None) as db,
        closing(DatabaseServiceJobs(OfConnection(migrated_database, db))) as jobs,
    ):
        put(jobs, 1)
        for _ in range(7):  # plans are made, and kept, while there is nothing
            asked(jobs)
        jobs.hand_back("job-1", HOLDER)
        db.execute(ENDED)
        with db.transaction():
            before = rows_read(db)
            asked(jobs)
            assert rows_read(db) - before <= MOST_READ


class OfConnection(PostgresDatabase):
    """The functions over a connection that is there."""

    def __init__(self, database: Database, connection: psycopg.Connection[Any]) -> None:
        super().__init__(database.dsn)
        self._given = connection

    def _connect(self) -> psycopg.Connection[Any]:
        return self._given


def rows_read(db: psycopg.Connection[Any]) -> int:
    """The rows of tables that this session has read in this transaction, and before as far as that is not counted."""
    row = db.execute(
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables"
        " WHERE relname LIKE 'service\\_%'"
    ).fetchone()
    assert row is not None
    return int(row[0])


# --- lost answers --------------------------------------------------------------------------------


def test_claim_does_not_leak_an_attempt_when_its_first_answer_is_lost(
    migrated_supabase: Gateway, migrated_database: Database
) -> None:
    destination = SupabaseTables(migrated_database, migrated_supabase.url, SecretStr(migrated_supabase.secret_key))
    for function in ("accept", "claim", "hand_over", "reach", "hand_back", "finish", "cancel"):
        path = f"/rpc/ray_import_service_{function}"
        migrated_supabase.faults.add(faults.RESET_AFTER, path=path, nth=[1])
    with closing(destination.open_jobs()) as jobs:
        assert jobs.accept(new_job(1), jobs_per_hour=1) == Accepted(job_id="job-1", is_new=True)
        assert claimed(jobs).attempts == 1
        assert jobs.hand_over("job-1", HOLDER, OTHER)
        assert jobs.reach_stage("job-1", OTHER, "profile", {"chunks": 1})
        assert jobs.hand_back("job-1", OTHER, counts_attempt=False)
        assert seen(jobs).attempts == 0
        assert claimed(jobs).attempts == 1
        assert jobs.finish("job-1", HOLDER, "complete", {})
        put(jobs, 2)
        cancelled = jobs.cancel("job-2", "u2")
        assert cancelled is not None
        assert cancelled.state == "cancelled"


def test_functions_are_not_called_again_by_another_call(migrated_database: Database) -> None:
    with migrated_database.connected() as db, closing(PostgresTables(migrated_database).open_jobs()) as jobs:
        put(jobs, 1)
        claim = "SELECT ray_import_service_claim(%s, NULL, %s, %s)"
        first = db.execute(claim, (HOLDER, "call-1", LEASE_SECONDS)).fetchone()
        assert db.execute(claim, (HOLDER, "call-1", LEASE_SECONDS)).fetchone() == first
        assert db.execute(claim, (HOLDER, "call-2", LEASE_SECONDS)).fetchone() == (None,)
        assert db.execute(claim, (OTHER, "call-1", LEASE_SECONDS)).fetchone() == (None,)
        back = "SELECT ray_import_service_hand_back('job-1', %s, %s, 0, false, NULL, NULL)"
        for call, is_done in (("call-3", True), ("call-3", True), ("call-4", False)):
            assert db.execute(back, (HOLDER, call)).fetchone() == (is_done,)
        assert seen(jobs).attempts == 0


def test_accept_refuses_an_id_when_it_is_another_users(jobs: ServiceJobs) -> None:
    put(jobs, 1)
    with pytest.raises(SinkError) as raised:
        jobs.accept(new_job(1, user_id="other"), jobs_per_hour=1)
    assert not raised.value.retry
    assert [job.user_id for job in jobs.list_jobs()] == ["u1"]


def test_columns_of_the_users_own_are_no_obstacle(migrated_database: Database) -> None:
    with migrated_database.connected() as db, closing(PostgresTables(migrated_database).open_jobs()) as jobs:
        db.execute("ALTER TABLE service_jobs ADD COLUMN note jsonb DEFAULT '{}'")
        put(jobs, 1)
        assert claimed(jobs) == seen(jobs)
        db.execute("UPDATE service_jobs SET note = %s", (Jsonb([1]),))
        assert jobs.list_jobs() == [seen(jobs)]
