"""The service's processes: several at once, at their end, and with a database that does not answer."""

import signal
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest

from ray_import.destinations.registry import parse_destination
from tests.service.serving import Served, serving, wait_until

if TYPE_CHECKING:
    from tests.support.gateway.postgres import Database

TWO = ("--workers", "2")
ANSWERED_WITHIN_SECONDS = 3.0
"""The promise is about 2 s; the rest is for this machine."""
HEALTHY_WITHIN_SECONDS = 1.0
UNUSED = {
    "ray", "anthropic", "supabase", "httpx", "httpcore", "ijson", "rich", "typer", "numpy", "rensa",
    "markdown_it",
}  # fmt: skip
"""Packages that are large, and of no use in a web process."""


def at_once(calls: int, call: Callable[[int], httpx.Response]) -> list[httpx.Response]:
    """The answers to so many calls at the same time."""
    barrier = threading.Barrier(calls)

    def one(number: int) -> httpx.Response:
        barrier.wait(30)
        return call(number)

    with ThreadPoolExecutor(calls) as pool:
        return list(pool.map(one, range(calls)))


def test_service_accepts_one_job_when_two_processes_get_many_requests_at_once(to: str, tmp_path: Path) -> None:
    with serving(to, tmp_path, *TWO) as served:
        wait_until(lambda: len(served.web_processes()) == 2)
        answers = at_once(16, lambda _: served.submit("ada"))
        assert Counter(answer.status_code for answer in answers) == {202: 1, 409: 15}
        assert len({answer.json()["job_id"] for answer in answers}) == 1
        keyed = at_once(16, lambda _: served.submit("bob", {"Idempotency-Key": "k"}))
        assert {answer.status_code for answer in keyed} == {202}
        assert len({answer.json()["job_id"] for answer in keyed}) == 1
        others = at_once(16, lambda number: served.submit(f"user-{number}"))
        assert {answer.status_code for answer in others} == {202}
        with closing(parse_destination(to).open_jobs()) as jobs:
            assert jobs.stats().queued == 18


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_service_ends_with_0_and_answers_when_it_is_asked_to_stop(
    tmp_path: Path, workers: str, number: signal.Signals
) -> None:
    """The signal comes while a request waits for the file's lock; the lock is released afterwards."""
    to = f"sqlite:///{tmp_path}/jobs.db"
    with serving(to, tmp_path, "--workers", workers) as served:
        processes = served.web_processes()
        with locked_file(tmp_path / "jobs.db") as release, ThreadPoolExecutor(1) as pool:
            answer = pool.submit(served.submit, "ada")
            served.get("/health")
            wait_until(lambda: any(p.num_threads() > 1 for p in processes))
            time.sleep(0.3)  # the request is on its way: nothing outside shows that it waits for the lock
            served.process.send_signal(number)
            time.sleep(0.2)  # and the signal
            release()
            assert answer.result(30).status_code == 202
        assert served.process.wait(30) == 0
        assert [process for process in processes if process.is_running()] == []
    with closing(parse_destination(to).open_jobs()) as jobs:
        assert jobs.stats().queued == 1


def test_service_goes_on_when_a_web_process_is_killed(to: str, tmp_path: Path) -> None:
    with serving(to, tmp_path, *TWO) as served:
        wait_until(lambda: len(served.web_processes()) == 2)
        victim = served.web_processes()[0]
        victim.kill()
        wait_until(lambda: len({p.pid for p in served.web_processes()} - {victim.pid}) == 2)
        assert served.submit("ada").status_code == 202
        assert served.stop() == 0


def test_service_answers_all_when_web_processes_are_replaced_after_some_requests(tmp_path: Path) -> None:
    options = (*TWO, "--limit-max-requests", "20", "--limit-max-requests-jitter", "5")
    with serving("sqlite:///jobs.db", tmp_path, *options) as served:
        wait_until(lambda: len(served.web_processes()) == 2)
        first = {process.pid for process in served.web_processes()}

        def submit(number: int) -> int:
            # As clients and proxies do where a connection that was idle is closed: once more, with the same key.
            for _ in range(20):
                try:
                    answer = httpx.post(
                        f"{served.url}/import-full",
                        json={"user_id": f"u{number}", "storage_path": f"exports/u{number}/a.zip"},
                        headers={**served.client.headers, "Idempotency-Key": f"k{number}"},
                        timeout=30,
                        trust_env=False,
                    )
                except httpx.TransportError:
                    time.sleep(0.1)
                else:
                    return answer.status_code
            return 0

        assert {submit(number) for number in range(80)} == {202}
        wait_until(lambda: not first & {process.pid for process in served.web_processes()})
        with closing(parse_destination(f"sqlite:///{tmp_path}/jobs.db").open_jobs()) as jobs:
            assert jobs.stats().queued == 80


def test_web_process_imports_no_more_than_it_needs(to: str, tmp_path: Path) -> None:
    """The interpreter itself writes down all that it imports; what the command line imports stands before."""
    with serving(to, tmp_path, PYTHONPROFILEIMPORTTIME="1") as served:
        assert served.submit("ada").status_code == 202
        for path in ("/", "/metrics", "/ready", "/openapi.json", "/jobs?user_id=ada", "/nowhere"):
            served.get(path)
    imported = served.log().partition("listening at")[2]
    modules = {line.rpartition("|")[2].strip() for line in imported.splitlines() if line.startswith("import time:")}
    assert {"fastapi", "ray_import.service.web.routes"} <= modules
    assert {name.partition(".")[0] for name in modules} & UNUSED == set()
    assert [name for name in modules if name.startswith(("ray_import.cli", "ray_import.profile."))] == []


# --- a database that does not answer ---------------------------------------------------------------


@contextmanager
def locked_file(path: Path) -> Iterator[Callable[[], None]]:
    """Holds the lock that every writer of a SQLite file needs, until the block ends or the function is called."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield db.rollback


@contextmanager
def locked_table(database: "Database") -> Iterator[Callable[[], None]]:
    """Holds a lock that every use of the queue's table waits for."""
    with psycopg.connect(database.dsn) as db:
        db.execute("LOCK TABLE service_jobs IN ACCESS EXCLUSIVE MODE")
        yield db.rollback


@contextmanager
def silent_server() -> Iterator[int]:
    """The port of a server that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def seconds_of(call: Callable[[], httpx.Response]) -> tuple[float, httpx.Response]:
    began = time.monotonic()
    answer = call()
    return time.monotonic() - began, answer


def check_outage(served: Served) -> None:
    """503 in time, for as many requests as come; the process is healthy meanwhile."""
    with ThreadPoolExecutor(24) as pool:
        waiting = [pool.submit(seconds_of, partial(served.submit, f"away-{number}")) for number in range(20)]
        pages = [pool.submit(seconds_of, partial(served.get, path)) for path in ("/", "/metrics")]
        while not all(future.done() for future in waiting):
            seconds, answer = seconds_of(lambda: served.get("/health"))
            assert (answer.status_code, seconds < HEALTHY_WITHIN_SECONDS) == (200, True)
        for future in waiting:
            seconds, answer = future.result()
            assert (answer.status_code, seconds < ANSWERED_WITHIN_SECONDS) == (503, True), (answer.text, seconds)
            assert int(answer.headers["retry-after"]) > 0
            assert answer.json() == {"error": "The database is not available. Repeat the request later."}
        assert [future.result()[1].status_code for future in pages] == [503, 503]
    answer = served.get("/ready")
    assert (answer.status_code, answer.json()["missing"]) == (503, ["database"])


def test_service_answers_503_until_the_lock_is_released_when_a_sqlite_file_is_locked(tmp_path: Path) -> None:
    with serving(f"sqlite:///{tmp_path}/jobs.db", tmp_path) as served:
        with locked_file(tmp_path / "jobs.db"):
            seconds, answer = seconds_of(lambda: served.submit("away"))
            assert (answer.status_code, seconds < ANSWERED_WITHIN_SECONDS) == (503, True)
            assert served.get("/ready").json()["missing"] == ["worker"]  # reading needs no lock
        assert served.submit("ada").status_code == 202


def test_service_answers_503_until_the_lock_is_released_when_a_postgres_hangs(
    migrated_database: "Database", tmp_path: Path
) -> None:
    with serving(migrated_database.dsn, tmp_path) as served:
        assert served.submit("before").status_code == 202
        with locked_table(migrated_database):
            check_outage(served)
        wait_until(lambda: served.submit("after").status_code in (202, 409))
        wait_until(lambda: served.get("/ready").json()["missing"] == ["worker"])


def test_service_reconnects_when_a_postgres_has_closed_its_connections(
    migrated_database: "Database", tmp_path: Path
) -> None:
    with serving(migrated_database.dsn, tmp_path) as served:
        for number in range(8):
            assert served.submit(f"before-{number}").status_code == 202
        with migrated_database.connected() as db:
            db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        for number in range(8):
            assert served.submit(f"after-{number}").status_code == 202


def test_service_answers_503_when_nothing_listens_where_the_postgres_should(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serving(f"postgresql://u:passw0rd-of-u@127.0.0.1:{port}/d", tmp_path) as served:
        check_outage(served)
        assert "passw0rd-of-u" not in served.log()


def test_service_answers_503_when_the_postgres_accepts_and_says_nothing(tmp_path: Path) -> None:
    with silent_server() as port, serving(f"postgresql://u@127.0.0.1:{port}/d", tmp_path) as served:
        check_outage(served)
        assert served.stop() == 0


def test_ready_names_the_migrations_when_a_postgres_has_no_tables(database: "Database", tmp_path: Path) -> None:
    with serving(database.dsn, tmp_path) as served:
        answer = served.get("/ready")
        assert (answer.status_code, answer.json()["missing"]) == (503, ["migrations"])
        refused = served.submit("ada")
        assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
        parse_destination(database.dsn).migrate()
        wait_until(lambda: served.get("/ready").json()["missing"] == ["worker"])
        assert served.submit("ada").status_code == 202


def test_ready_names_the_migrations_when_a_postgres_has_those_of_an_older_version(
    migrated_database: "Database", tmp_path: Path
) -> None:
    with migrated_database.connected() as db:
        db.execute("CREATE OR REPLACE FUNCTION ray_import_version() RETURNS integer LANGUAGE sql AS 'SELECT 3'")
    with serving(migrated_database.dsn, tmp_path) as served:
        assert served.get("/ready").json()["missing"] == ["migrations"]


def test_service_answers_422_when_the_users_table_does_not_know_the_user(
    migrated_database: "Database", tmp_path: Path
) -> None:
    """As where an operator has made the column refer to a table of users."""
    with migrated_database.connected() as db:
        db.execute("CREATE TABLE known_users (id text primary key)")
        db.execute("INSERT INTO known_users VALUES ('ada')")
        db.execute("ALTER TABLE service_jobs ADD FOREIGN KEY (user_id) REFERENCES known_users (id)")
    with serving(migrated_database.dsn, tmp_path) as served:
        assert served.submit("ada").status_code == 202
        answer = served.submit("bob")
        assert (answer.status_code, answer.json()["fields"][0]["field"]) == (422, "user_id")
        assert "bob" not in answer.text + served.log()
