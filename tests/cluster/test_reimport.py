"""Runs over many users, over the command line: how they end, what they leave, what the next one does."""

import os
import random
import re
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest

from ray_import.cluster.session import Session
from ray_import.destinations.sqlite.sink import SqliteSink
from tests.cluster.imports import at
from tests.support.cluster.reimports import (
    ended,
    jobs_by_user,
    of_own_ray,
    reimport,
    run_users,
    started,
    wait_until,
)
from tests.support.generate import write_export
from tests.support.user_exports import Users, done_in, import_one_by_one, query_in, rows_in, write_users

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("session")]


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Users:
    """30 users of 20 to 200 KB and one of 6 MB; one lacks a file, one has no export, one has a damaged conversation."""
    rng = random.Random(4)
    sizes = [rng.uniform(20, 200) for _ in range(30)] + [6_000.0]
    return write_users(tmp_path_factory.mktemp("users"), sizes, missing=1, foreign=1, damaged=1, seed=4)


@pytest.fixture(scope="module")
def undisturbed(users: Users, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of plain imports, one after the other."""
    path = tmp_path_factory.mktemp("undisturbed") / "chunks.db"
    readable = {user: source for user, source in users.sources.items() if users.expected[user] != "failed"}
    import_one_by_one(readable, at(path))
    return path


@pytest.fixture(scope="module")
def imported(session: Session, users: Users, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in which all users are; tests leave it as it is."""
    path = tmp_path_factory.mktemp("imported") / "chunks.db"
    assert reimport(users.manifest, to(path)).code == 1
    with closing(SqliteSink(path)):
        pass  # the last connection to close leaves all in the one file
    return path


@pytest.fixture
def database(imported: Path, tmp_path: Path) -> Path:
    """A copy of that."""
    path = tmp_path / "chunks.db"
    path.write_bytes(imported.read_bytes())
    return path


def to(database: Path) -> str:
    return f"sqlite:///{database}"


def states_of(users: Users) -> dict[str, int]:
    counts = {state: len(users.in_state(state)) for state in ("complete", "failed", "partial")}
    return {"all": len(users.sources), **counts}


def test_reimport_shows_percent_of_users_and_of_bytes_when_the_exports_are_files(users: Users, tmp_path: Path) -> None:
    """From the first line on, though one of the files is missing."""
    said = reimport(users.manifest, to(tmp_path / "chunks.db")).said
    shown = re.findall(r"^importing (\d+ % of users, \d+ % of bytes)?.*: \d+ of (\d+) users", said, re.MULTILINE)
    assert {of for _, of in shown} == {str(len(users.sources))}
    assert all(share for share, _ in shown)
    assert "joining Ray …" in said


def test_a_run_with_a_ray_of_its_own_is_as_many_plain_imports(users: Users, undisturbed: Path, tmp_path: Path) -> None:
    database = tmp_path / "chunks.db"
    done = reimport(users.manifest, to(database), environment=of_own_ray())

    assert (done.code, done.report["users"]) == (1, states_of(users)), done.said
    told = {one["user_id"]: one for one in done.report["failed"]}
    assert set(told) == set(users.in_state("failed")) | set(users.in_state("partial"))
    errors = " ".join(told[user]["error"] for user in users.in_state("failed"))
    assert "There is no file or folder" in errors
    assert "holds no conversations" in errors
    assert {user: state for user, (state, _) in run_users(database).items()} == dict(users.expected)
    assert set(done.report) == {"run_id", "what", "destination", "users", "bytes_read", "seconds", "workers", "failed"}
    assert "Traceback" not in done.said
    assert rows_in(database) == rows_in(undisturbed)


def test_a_second_run_passes_over_what_is_in_and_tries_the_rest_again(users: Users, database: Path) -> None:
    before = query_in(database, "SELECT * FROM conversation_chunks ORDER BY id")
    jobs = jobs_by_user(database)
    done = reimport(users.manifest, to(database))

    complete = len(users.in_state("complete"))
    assert (done.code, done.report.get("users")) == (1, {"all": 31, "failed": 2, "partial": 1, "skipped": complete})
    assert query_in(database, "SELECT * FROM conversation_chunks ORDER BY id") == before
    again = {user for user, statuses in jobs_by_user(database).items() if statuses != jobs.get(user)}
    assert again <= {*users.in_state("failed"), *users.in_state("partial")}
    assert {run_users(database)[user] for user in users.in_state("failed")} == {("failed", 1)}


def test_failed_is_over_those_that_lack_something_and_one_of_them_is_there_by_now(users: Users, database: Path) -> None:
    [lacking] = [user for user in users.in_state("failed") if not Path(users.sources[user]).exists()]
    write_export(Path(users.sources[lacking]), 0.02, seed=98)
    try:
        done = reimport(users.manifest, to(database), "--failed")
    finally:
        Path(users.sources[lacking]).unlink()
    assert (done.code, done.report.get("users")) == (1, {"all": 3, "complete": 1, "failed": 1, "partial": 1}), done
    assert run_users(database)[lacking] == ("complete", 1)


def test_only_and_force_read_again_what_is_in(users: Users, database: Path, undisturbed: Path) -> None:
    first, second, *_ = users.in_state("complete")
    done = reimport(users.manifest, to(database), "--only", first, "--only", second, "--force")
    assert (done.code, done.report["users"]) == (0, {"all": 2, "complete": 2})
    newest = {job for (job,) in query_in(database, "SELECT id FROM import_jobs ORDER BY rowid DESC LIMIT 2")}
    written = query_in(database, f"SELECT DISTINCT import_id FROM conversation_chunks WHERE user_id = '{first}'")
    assert {import_id for (import_id,) in written} < newest
    assert rows_in(database) == rows_in(undisturbed)


def test_a_changed_export_is_read_again_and_only_that(users: Users, database: Path) -> None:
    changed, *others = users.in_state("complete")[:4]
    path = Path(users.sources[changed])
    before, times = path.read_bytes(), path.stat()
    try:
        write_export(path, 0.1, seed=99)
        done = reimport(users.manifest, to(database), "--limit", "31", *(f"--only={one}" for one in (changed, *others)))
        assert (done.code, done.report["users"]) == (0, {"all": 4, "complete": 1, "skipped": 3})
        assert [len(jobs_by_user(database)[user]) for user in (changed, *others)] == [2, 1, 1, 1]
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_dry_run_tells_whom_it_would_import_and_writes_nothing(users: Users, tmp_path: Path) -> None:
    database = tmp_path / "chunks.db"
    done = reimport(users.manifest, to(database), "--dry-run", "--limit", "3")
    assert done.code == 0
    assert [one["user_id"] for one in done.report["users"]] == sorted(users.sources)[:3]
    assert not database.exists()


def test_a_killed_run_goes_on_and_reads_nobody_again(users: Users, undisturbed: Path, tmp_path: Path) -> None:
    database = tmp_path / "chunks.db"
    with started(users.manifest, to(database), environment=of_own_ray()) as process:
        wait_until(lambda: done_in(database) >= 4, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    done_before = {user for user, (state, _) in run_users(database).items() if state not in ("pending", "running")}
    [(run_id, status)] = query_in(database, "SELECT id, status FROM import_runs")
    assert (status, 4 <= len(done_before) < len(users.sources)) == ("running", True)
    jobs = jobs_by_user(database)

    done = reimport(users.manifest, to(database))
    assert (done.code, done.report["run_id"], done.report["users"]) == (1, run_id, states_of(users)), done.said
    assert {user: jobs_by_user(database).get(user) for user in done_before} == {
        user: jobs.get(user) for user in done_before
    }
    assert "running" not in [status for statuses in jobs_by_user(database).values() for status in statuses]
    assert rows_in(database) == rows_in(undisturbed)


def test_a_run_that_is_told_to_stop_stops_soon_and_goes_on_later(
    users: Users, undisturbed: Path, tmp_path: Path
) -> None:
    database = tmp_path / "chunks.db"
    with started(users.manifest, to(database), environment=of_own_ray()) as process:
        # The large one is at work for a while.
        wait_until(lambda: jobs_by_user(database).get("user-00030") == ["running"], process)
        process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        stopped = ended(process)
        took = time.monotonic() - asked
    assert (stopped.code, took < 10) == (3, True), stopped.said
    assert "interrupted" in stopped.report["error"]
    assert "Traceback" not in stopped.said
    [(run_id, status)] = query_in(database, "SELECT id, status FROM import_runs")
    assert status == "interrupted"
    assert query_in(database, "SELECT status, error FROM import_jobs WHERE user_id = 'user-00030'") == [
        ("failed", "interrupted")
    ]
    assert query_in(database, "SELECT id FROM import_jobs WHERE status = 'running'") == []

    done = reimport(users.manifest, to(database))
    assert (done.code, done.report["run_id"], done.report["users"]) == (1, run_id, states_of(users)), done.said
    assert rows_in(database) == rows_in(undisturbed)
