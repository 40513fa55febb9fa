"""A run whose destination is away when it is told to stop, and two runs over the same users."""

import signal
import time
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest

from ray_import.cluster.session import Session
from ray_import.destinations.postgres.psycopg import PostgresDatabase
from ray_import.destinations.postgres.sink import DatabaseSink
from tests.support.cluster.reimports import Reimported, ended, of_own_ray, reimport, started, wait_until
from tests.support.gateway import faults
from tests.support.gateway.calls import Call
from tests.support.gateway.postgres import Database
from tests.support.gateway.server import Gateway
from tests.support.user_exports import Users, write_users

pytestmark = pytest.mark.ray


@pytest.fixture
def users(tmp_path: Path) -> Users:
    return write_users(tmp_path, [300.0, 40.0, 40.0, 40.0], seed=7)


@pytest.fixture
def project(migrated_supabase: Gateway, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """A Supabase project whose keys are in the environment."""
    monkeypatch.setenv("SUPABASE_URL", migrated_supabase.url)
    monkeypatch.setenv("SUPABASE_SERVICE_KEY", migrated_supabase.secret_key)
    return migrated_supabase


def stopped_once(refused: Event, users: Users) -> tuple[Reimported, float]:
    """A run that is told to stop then, and how many seconds that takes."""
    with started(users.manifest, "supabase", environment=of_own_ray()) as process:
        wait_until(refused.is_set, process)
        process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        return ended(process), time.monotonic() - asked


def statuses(database: Database) -> tuple[set[str], set[str]]:
    """Of the runs and of the imports."""
    with database.connected() as db:
        runs = db.execute("SELECT status FROM import_runs").fetchall()
        jobs = db.execute("SELECT status FROM import_jobs").fetchall()
    return {status for (status,) in runs}, {status for (status,) in jobs}


def test_a_run_whose_destination_is_away_stops_within_ten_seconds_and_goes_on_at_once(
    migrated_database: Database, project: Gateway, users: Users
) -> None:
    written, refused = Event(), Event()

    def away(call: Call) -> faults.Fault | None:
        """From the first that the driver has to tell of what is written."""
        if call.path.endswith("ray_import_write"):
            written.set()
        elif written.is_set() and call.path.endswith(("ray_import_update", "ray_import_run_tell")):
            refused.set()
        return faults.RESET_BEFORE if refused.is_set() else None

    project.faults.decide = away
    stopped, took = stopped_once(refused, users)
    assert (stopped.code, took < 10) == (3, True), (took, stopped.said)
    assert "interrupted" in stopped.report["error"]
    assert statuses(migrated_database)[0] == {"running"}

    project.faults.clear()
    done = reimport(users.manifest, "supabase", environment=of_own_ray())
    assert (done.code, done.report["users"]) == (0, {"all": 4, "complete": 4}), done.said
    runs, jobs = statuses(migrated_database)
    assert (runs, jobs) == ({"complete"}, {"complete", "failed"})


def test_a_run_that_cannot_say_that_it_is_complete_stops_within_ten_seconds(
    migrated_database: Database, project: Gateway, users: Users
) -> None:
    refused = Event()

    def away(call: Call) -> faults.Fault | None:
        if call.path.endswith("ray_import_run_complete"):
            refused.set()
        return faults.RESET_BEFORE if refused.is_set() else None

    project.faults.decide = away
    stopped, took = stopped_once(refused, users)
    assert (stopped.code, took < 10) == (3, True), (took, stopped.said)
    assert statuses(migrated_database)[0] == {"running"}


def test_a_second_run_over_the_same_users_is_refused_while_the_first_goes_on(
    session: Session, migrated_database: Database, users: Users
) -> None:
    to = migrated_database.dsn
    with closing(PostgresDatabase(to)) as lock, started(users.manifest, to) as process:
        with lock._transaction() as held:  # nobody can write while the second one asks
            held.execute("LOCK TABLE conversation_chunks IN ACCESS EXCLUSIVE MODE")
            wait_until(lambda: statuses(migrated_database)[1] == {"running"}, process)
            for options in ((), ("--force",), ("--only", "user-00001")):
                second = reimport(users.manifest, to, *options)
                assert second.code == 2, second.said
                assert "A run over these users is already running" in second.report["error"]
        first = ended(process)
    assert (first.code, first.report["users"]) == (0, {"all": 4, "complete": 4}), first.said
    with closing(DatabaseSink(PostgresDatabase(to))) as sink:
        assert len(sink.jobs()) == 4
