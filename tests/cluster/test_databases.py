"""Imports into databases as a person starts them: keys in `.env`, a Ray of their own, and what can be wrong there."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest
import ray
from pydantic import SecretStr

from ray_import.chunks.rows import ImportJob
from ray_import.cluster.session import Session
from ray_import.cluster.worker import ImportWorker
from ray_import.credentials import SupabaseAccess
from ray_import.destinations.base import Sink
from ray_import.destinations.migrations import migrations
from ray_import.destinations.postgres.calls import OPENING_PATIENCE_SECONDS
from ray_import.destinations.postgres.sink import DatabaseSink
from ray_import.destinations.postgres.supabase import SupabaseDatabase
from ray_import.destinations.registry import parse_destination
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.one_user import import_user
from ray_import.pipeline.progress import NoReporter
from ray_import.pipeline.sources import open_sources
from ray_import.settings import ImportSettings
from tests.cli.commands import PLAIN, Ended, ended, environment, ray_import, started
from tests.contract.destinations import COLUMNS, PostgresTables, SqliteFile
from tests.contract.test_postgres_tables import PROFILE
from tests.contract.test_refusals import ALL, CANARY, THE_POISONOUS, export_of, refuse
from tests.support.cluster.reimports import of_this_ray
from tests.support.gateway import faults
from tests.support.gateway.calls import Call
from tests.support.gateway.postgres import Database, Server
from tests.support.gateway.server import Gateway
from tests.support.in_process import InProcessWorkers

SAMPLE = Path(__file__).parents[2] / "examples" / "export"
WRITE = "/rpc/ray_import_write"
OF_THE_IMPORT = {"import_id", "imported_at", "seen_in", "is_recent"}
DEADLINE_SECONDS = 180
RUN = ("run", str(SAMPLE), "--executor", "ray", "--user-id", "ana", "--to")


def dot_env(folder: Path, **lines: str) -> None:
    (folder / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in lines.items()))


def keys_of(project: Gateway) -> dict[str, str]:
    return {"SUPABASE_URL": project.url, "SUPABASE_SERVICE_KEY": project.secret_key}


def import_here(export: Path, opened: Sink) -> None:
    """Imports without Ray."""
    work = BatchContext(ImportJob("import-0", "ana", 1_760_000_000.0), ImportSettings())
    with closing(opened) as sink:
        sources = open_sources([export], work.settings.read)
        summary = import_user(sources, work, sink, "x", lambda: InProcessWorkers(sink), NoReporter())
    assert summary.status == "complete"


def without_import(everything: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """All rows, but of each only what does not depend on when and by which import it came."""
    kept = {table: [name not in OF_THE_IMPORT for name in columns] for table, columns in COLUMNS.items()}
    return {
        table: sorted(
            (tuple(value for value, keep in zip(row, kept[table], strict=True) if keep) for row in rows), key=repr
        )
        for table, rows in everything.items()
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """The rows of the sample export in SQLite."""
    file = SqliteFile(tmp_path_factory.mktemp("undisturbed"))
    import_here(SAMPLE, file.open())
    rows = without_import(file.everything())
    assert len(rows["conversation_chunks"]) > 5
    return rows


def jobs_of(database: Database) -> list[tuple[Any, ...]]:
    with database.connected() as db:
        return db.execute("SELECT status, error FROM import_jobs ORDER BY started_at DESC").fetchall()


def wait_until(holds: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < until, what
        time.sleep(0.05)  # between two looks, not instead of one


def on_the_ray_of_the_tests(folder: Path, *arguments: str) -> Ended:
    """Runs `ray-import` without a Ray of its own, which takes seconds to start."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ray_import", *arguments],
        cwd=folder, env=of_this_ray() | PLAIN, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    return ended(process)


@pytest.mark.ray
@pytest.mark.usefixtures("session")
def test_a_worker_is_up_once_its_destination_has_answered(migrated_database: Database) -> None:
    """While it is asked whether it is, it waits for nothing that may take minutes."""
    worker = ray.remote(ImportWorker).remote(0, parse_destination(migrated_database.dsn))
    try:
        with migrated_database.connected() as db, db.transaction():
            db.execute("LOCK TABLE imported_conversations")
            assert ray.get(worker.ready.remote(), timeout=DEADLINE_SECONDS)
    finally:
        ray.kill(worker)


@pytest.mark.ray
def test_postgres_set_up_and_filled_has_the_rows_of_sqlite(
    session: Session, database: Database, tmp_path: Path, undisturbed: dict[str, list[Any]]
) -> None:
    dot_env(tmp_path, DATABASE_URL=database.tcp_dsn)
    for told in ("0001_tables.sql", "up to date"):
        migrated = ray_import(tmp_path, "migrate", "--to", "postgres")
        assert (migrated.code, told in migrated.err) == (0, True), migrated.err
    done = on_the_ray_of_the_tests(tmp_path, *RUN, database.dsn, "--json")
    assert (done.code, done.json["status"]) == (0, "complete"), done.err
    assert without_import(PostgresTables(database).everything()) == undisturbed
    assert jobs_of(database) == [("complete", None)]


@pytest.mark.ray
@pytest.mark.usefixtures("session")
@pytest.mark.parametrize(("when", "state"), [(THE_POISONOUS, "partial"), (ALL, "failed")])
def test_no_command_shows_the_text_of_a_trigger_when_it_refuses_rows(
    migrated_database: Database, tmp_path: Path, when: str, state: str
) -> None:
    refuse(PostgresTables(migrated_database), when)
    export = export_of(tmp_path / "export", 3, poison=1)
    (tmp_path / "users.jsonl").write_bytes(orjson.dumps({"user_id": "bob", "source": str(export)}))
    to = ("--to", migrated_database.dsn)
    done = on_the_ray_of_the_tests(tmp_path, "run", str(export), *to, "--json")
    assert done.json["status"] == state, done.err
    of_many = on_the_ray_of_the_tests(tmp_path, "reimport", "--users", "users.jsonl", *to, "--json")
    assert of_many.json["users"] == {"all": 1, state: 1}, of_many.err
    told = [ray_import(tmp_path, command, *to, "--json") for command in ("status", "rejects")]
    shown = "".join(one.out.decode() + one.err for one in (done, of_many, *told))
    assert ("P0001" in shown, CANARY in shown) == (True, False)
    with migrated_database.connected() as db:
        rows = db.execute("SELECT import_jobs::text FROM import_jobs UNION ALL SELECT u::text FROM import_run_users u")
        assert CANARY not in str(rows.fetchall())


@pytest.mark.ray
def test_supabase_that_is_away_for_a_while_gets_the_rows_of_sqlite_and_tells_the_front_end(
    migrated_database: Database, migrated_supabase: Gateway, tmp_path: Path, undisturbed: dict[str, list[Any]]
) -> None:
    """With what a newer export lacks pruned, and a row for the front end; the workers find the key in `.env`."""
    project = migrated_supabase
    older = tmp_path / "conversations.json"
    one_more = orjson.loads((SAMPLE / "conversations.json").read_bytes())[:1]
    one_more[0] |= {"id": "gone", "conversation_id": "gone", "update_time": 1_600_000_000.0}
    older.write_bytes(orjson.dumps(one_more))
    access = SupabaseAccess(project.url, SecretStr(project.secret_key))
    import_here(older, DatabaseSink(SupabaseDatabase(access)))
    assert PostgresTables(migrated_database).content()["ana"].keys() == {"gone"}
    with migrated_database.connected() as db:
        db.execute(PROFILE)

    away_until: list[float] = []
    refused: list[str] = []

    def away(call: Call) -> faults.Fault | None:
        if not away_until and call.path.endswith("ray_import_write"):
            away_until.append(time.monotonic() + 3)
        if not away_until or time.monotonic() > away_until[0]:
            return None
        refused.append(call.path)
        return faults.SCHEMA_LOADING if len(refused) % 2 else faults.RESET_BEFORE

    project.faults.decide = away
    dot_env(tmp_path, **keys_of(project))
    done = ray_import(tmp_path, *RUN, "supabase", "--prune", "--profile-table", "user_profiles", "--json")
    assert (done.code, done.json["status"]) == (0, "complete"), done.err
    assert len(refused) > 1
    assert without_import(PostgresTables(migrated_database).everything()) == undisturbed
    with migrated_database.connected() as db:
        profiles = db.execute(
            "SELECT user_id, import_status, import_stage, progress_percent, import_error, total_conversations,"
            " total_messages FROM user_profiles"
        ).fetchall()
    counted = done.json["conversations"]["imported"], done.json["messages"]["kept"]
    assert profiles == [("ana", "complete", "done", 100, None, *counted)]


@pytest.mark.ray
def test_a_second_import_of_a_user_is_refused_and_one_that_was_killed_is_taken_over_at_once(
    session: Session,
    migrated_database: Database,
    migrated_supabase: Gateway,
    tmp_path: Path,
    undisturbed: dict[str, list[Any]],
) -> None:
    """Whichever way the others come to the database."""
    project = migrated_supabase
    dot_env(tmp_path, **keys_of(project))
    project.faults.add(faults.HANG_BEFORE, path=WRITE)
    with subprocess.Popen(
        [sys.executable, "-m", "ray_import", *RUN, "supabase"],
        cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    ) as first:  # fmt: skip
        try:
            wait_until(lambda: project.served.count(WRITE) > 0, "the first import does not come to writing")
            of_ray = psutil.Process(first.pid).children(recursive=True)
            second = on_the_ray_of_the_tests(tmp_path, *RUN, "supabase")
        finally:
            os.killpg(first.pid, signal.SIGKILL)
    with migrated_database.connected() as db:
        ((import_id, status),) = db.execute("SELECT id::text, status FROM import_jobs").fetchall()
        ((silent_since,),) = db.execute("UPDATE import_jobs SET updated_at = now() RETURNING updated_at").fetchall()
    assert (second.code, import_id in second.err, "Traceback" in second.err) == (2, True, False), second.err
    assert status == "running"
    assert len(of_ray) > 3
    wait_until(lambda: not any(map(is_running, of_ray)), "Ray stays behind")

    third = on_the_ray_of_the_tests(tmp_path, *RUN, migrated_database.dsn, "--json")
    assert (third.code, third.json["status"]) == (0, "complete"), third.err
    assert jobs_of(migrated_database) == [("complete", None), ("failed", "interrupted")]
    with migrated_database.connected() as db:
        ended_at = db.execute("SELECT finished_at FROM import_jobs WHERE id::text = %s", (import_id,)).fetchone()
    # What is silent for too long ends with its last sign of life; this one's end was seen.
    assert ended_at is not None
    assert ended_at[0] > silent_since
    assert without_import(PostgresTables(migrated_database).everything()) == undisturbed


def is_running(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


# --- what can be wrong before Ray is started -----------------------------------------------------


def test_what_has_to_be_pasted_makes_a_project_ready(
    supabase_database: Database, supabase: Gateway, tmp_path: Path
) -> None:
    printed = ray_import(tmp_path, "migrate", "--print")
    assert (printed.code, printed.err) == (0, "")
    dot_env(tmp_path, **keys_of(supabase))
    before = ray_import(tmp_path, "status", "--to", "supabase")
    assert (before.code, "migrate" in before.err) == (3, True), before.err
    with supabase_database.connected() as db:
        db.execute(printed.out)
    after = ray_import(tmp_path, "status", "--to", "supabase", "--json")
    assert (after.code, after.json) == (0, {"jobs": []})


def test_a_project_is_migrated_over_its_database_and_without_that_address_it_is_said_how(
    supabase_database: Database, supabase: Gateway, tmp_path: Path
) -> None:
    dot_env(tmp_path, **keys_of(supabase))
    refused = ray_import(tmp_path, "migrate", "--to", "supabase")
    assert refused.code == 2
    assert "SUPABASE_DB_URL" in refused.err
    assert "--print" in refused.err
    dot_env(tmp_path, **keys_of(supabase), SUPABASE_DB_URL=supabase_database.tcp_dsn)
    done = ray_import(tmp_path, "migrate", "--to", "supabase")
    assert done.code == 0, done.err
    assert migrations("postgres")[-1].name in done.err
    assert supabase_database.server.password not in done.err


URL, KEY = "SUPABASE_URL", "SUPABASE_SERVICE_KEY"


@pytest.mark.parametrize(
    ("changed", "code", "told"),
    [
        ({URL: "", KEY: ""}, 2, f"{URL} and {KEY}"),
        ({URL: "https://[abc"}, 2, URL),
        ({KEY: "sb_secret_xyzzy"}, 3, KEY),
        ({}, 3, "ray-import migrate"),
    ],
    ids=["neither", "malformed", "wrong-key", "not-migrated"],
)
def test_what_is_wrong_with_a_project_is_told_in_two_lines(
    supabase: Gateway, tmp_path: Path, changed: dict[str, str], code: int, told: str
) -> None:
    dot_env(tmp_path, **keys_of(supabase) | changed)
    done = ray_import(tmp_path, *RUN, "supabase")
    assert done.code == code, done.err
    assert told in done.err
    assert 1 <= len(done.err_lines) <= 2
    assert (done.out, "xyzzy" in done.err) == (b"", False)


@pytest.mark.parametrize(
    ("address", "code", "told"),
    [
        ("", 2, "DATABASE_URL"),
        ("postgresql://postgres:xyzzy@127.0.0.1:port/x", 2, "address"),
        ("postgresql://postgres:xyzzy@127.0.0.1:{port}/postgres", 3, "password"),
        ("postgresql://postgres@/nothing?host={folder}&port={port}", 3, 'database "nothing" does not exist'),
        ("postgresql://postgres@/postgres?host={folder}&port={port}", 3, "ray-import migrate"),
    ],
    ids=["none", "port", "wrong-password", "no-database", "not-migrated"],
)
def test_what_is_wrong_with_a_postgres_is_told_in_two_lines(
    postgres: Server, tmp_path: Path, address: str, code: int, told: str
) -> None:
    dot_env(tmp_path, DATABASE_URL=address.format(port=postgres.port, folder=postgres.folder))
    done = ray_import(tmp_path, *RUN, "postgres")
    assert done.code == code, done.err
    assert told in done.err
    assert 1 <= len(done.err_lines) <= 2
    assert (done.out, "xyzzy" in done.err) == (b"", False)


def test_where_nobody_answers_that_is_told_soon(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("supabase", "postgres", "nowhere")]
    for folder in folders:
        folder.mkdir()
    dot_env(folders[0], SUPABASE_URL="http://127.0.0.1:1", SUPABASE_SERVICE_KEY="xyzzy")
    dot_env(folders[1], DATABASE_URL="postgresql://ana:xyzzy@127.0.0.1:1/chats")
    dot_env(folders[2], DATABASE_URL="postgresql://ana:xyzzy@no-such-host.invalid/chats")
    began = time.monotonic()
    for done in map(ended, [started(folder, *RUN, "nowhere") for folder in folders]):
        assert done.code == 2, done.err
    start_seconds = time.monotonic() - began  # of three commands at once, however busy the machine is
    began = time.monotonic()
    running = [
        started(folder, *RUN, to) for folder, to in zip(folders, ("supabase", "postgres", "postgres"), strict=True)
    ]
    for done in map(ended, running):
        assert done.code == 3, done.err
        assert "cannot be reached" in done.err
        assert len(done.err_lines) == 2
        assert "xyzzy" not in done.err
    waited_seconds = time.monotonic() - began - 2 * start_seconds  # modules for databases are loaded, too
    assert waited_seconds < OPENING_PATIENCE_SECONDS + 10
