"""A run over many users on several machines: who works where, a machine that is lost, one that joins, none at all."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ray_import.destinations.postgres.psycopg import PostgresDatabase
from ray_import.destinations.postgres.servers import PostgresDestination
from tests.support.cluster.reimports import ended, processes, run_users, started, wait_until
from tests.support.cluster.several_nodes import add, cpus_asked_for, lose, raylet_of, several_nodes
from tests.support.gateway.postgres import Database
from tests.support.object_server import ObjectServer, object_server
from tests.support.user_exports import Users, import_one_by_one, rows_left, users_of, write_users

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def served() -> Iterator[ObjectServer]:
    with object_server() as server:
        yield server


@pytest.fixture(scope="module")
def users(served: ObjectServer, tmp_path_factory: pytest.TempPathFactory) -> Users:
    """40 users of 60 KB, whose exports are on a server."""
    folder = tmp_path_factory.mktemp("users")
    written = write_users(folder, [60.0] * 40, seed=6)
    urls = {user: served.put(f"{user}.json", Path(source).read_bytes()) for user, source in written.sources.items()}
    return users_of(folder / "served.csv", urls, {})


@pytest.fixture
def to(database: Database) -> str:
    with closing(PostgresDatabase(database.dsn)) as opened:
        opened.migrate()
    return database.dsn


def rows_of(database: Database) -> dict[str, list[str]]:
    with database.connected() as db:
        return rows_left(lambda query: db.execute(query.encode()).fetchall())


def undisturbed_rows(users: Users, database: Database) -> dict[str, list[str]]:
    other = database.beside("undisturbed").create()
    with closing(PostgresDatabase(other.dsn)) as opened:
        opened.migrate()
    import_one_by_one(users.sources, PostgresDestination(other.dsn, other.dsn))
    found = rows_of(other)
    other.drop()
    return found


def done_in(database: Database) -> int:
    with database.connected() as db:
        found = db.execute("SELECT count(*) FROM import_run_users WHERE state NOT IN ('pending', 'running')").fetchone()
    return int(found[0]) if found else 0


def environment(cluster: Any) -> dict[str, str]:
    return dict(os.environ) | {"RAY_ADDRESS": cluster.address}


class Nodes:
    """Which processes of which node were seen."""

    def __init__(self, *nodes: Any) -> None:
        self.raylets = [raylet_of(node) for node in nodes]
        self.seen: dict[str, set[int]] = {"ImportWorker": set(), "read_export": set()}

    def look(self) -> None:
        for number, raylet in enumerate(self.raylets):
            for kind, nodes in self.seen.items():
                if raylet.is_running() and processes(raylet.pid, kind):
                    nodes.add(number)


HELD_AFTER_REQUESTS = 20
"""A few users take so many; the others' exports wait, so that no run is over before something has happened to it."""


def test_workers_and_readers_are_on_all_machines_and_one_that_is_lost_costs_nothing(
    served: ObjectServer, users: Users, database: Database, to: str
) -> None:
    with several_nodes(1) as cluster:
        lost = add(cluster, 1)
        nodes = Nodes(cluster.head_node, lost)
        with started(users.manifest, to, environment=environment(cluster)) as process:

            def both_work() -> bool:
                nodes.look()
                return done_in(database) >= 3 and all(len(seen) == 2 for seen in nodes.seen.values())

            with served.held_after(HELD_AFTER_REQUESTS):
                wait_until(both_work, process)
                lose(lost)
            done = ended(process)
    assert (done.code, done.report["users"]) == (0, {"all": 40, "complete": 40}), done
    assert rows_of(database) == undisturbed_rows(users, database)


def test_a_machine_that_joins_in_the_middle_is_worked_on(
    served: ObjectServer, users: Users, database: Database, to: str
) -> None:
    with several_nodes(1) as cluster, started(users.manifest, to, environment=environment(cluster)) as process:
        with served.held_after(HELD_AFTER_REQUESTS):
            wait_until(lambda: done_in(database) >= 1, process)
            nodes = Nodes(add(cluster, 1))

            def works() -> bool:
                nodes.look()
                return bool(nodes.seen["ImportWorker"])

            wait_until(works, process)
        done = ended(process)
    assert (done.code, done.report["users"], done.report["workers"]) == (0, {"all": 40, "complete": 40}, 2), done


def test_with_a_head_that_runs_no_work_a_run_asks_for_machines_and_waits_for_them_also_when_the_only_one_is_lost(
    served: ObjectServer, users: Users, database: Database, to: str
) -> None:
    with several_nodes(0) as cluster:
        options = ("--workers", "5", "--max-connections", "3")
        with started(users.manifest, to, *options, environment=environment(cluster)) as process:
            wait_until(lambda: cpus_asked_for(cluster) == 3, process)
            with served.held_after(HELD_AFTER_REQUESTS):
                lost = add(cluster, 1)
                wait_until(lambda: done_in(database) >= 2, process)
                lose(lost)
            add(cluster, 1)
            done = ended(process)
        assert cpus_asked_for(cluster) == 0
    assert (done.code, done.report["users"]) == (0, {"all": 40, "complete": 40}), done
    assert "waiting for a machine" in done.said


def test_a_run_that_is_stopped_while_it_waits_for_a_machine_asks_for_none_any_more(
    users: Users, database: Database, to: str
) -> None:
    with several_nodes(0) as cluster:
        with started(users.manifest, to, "--workers", "3", environment=environment(cluster)) as process:
            wait_until(lambda: cpus_asked_for(cluster) == 3, process)
            process.send_signal(signal.SIGTERM)
            done = ended(process)
        assert cpus_asked_for(cluster) == 0
    assert (done.code, done_in(database)) == (3, 0), done


@pytest.mark.parametrize("others", [0, 1])
def test_into_a_file_on_a_head_that_runs_no_work_exports_from_elsewhere_are_read_there(
    served: ObjectServer, users: Users, tmp_path: Path, others: int
) -> None:
    """Of another machine nothing is needed, and none is missed."""
    with several_nodes(0) as cluster:
        lost = [add(cluster, 1) for _ in range(others)]
        database = tmp_path / "chunks.db"
        with started(users.manifest, f"sqlite:///{database}", environment=environment(cluster)) as process:
            with served.held_after(HELD_AFTER_REQUESTS):
                wait_until(lambda: ("complete", 1) in run_users(database).values(), process)
                for node in lost:
                    lose(node)
            done = ended(process)
    assert (done.code, done.report["users"]) == (0, {"all": 40, "complete": 40}), done
