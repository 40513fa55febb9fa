"""`ray-import reimport` as far as it goes without Ray: what cannot be meant, dry runs, runs with nobody left."""

import os
import re
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ray_import.cli.reimport_run import planned, reimport
from ray_import.cluster.environment import JOB_CONFIG
from ray_import.destinations.base import RunKey, RunUser
from ray_import.destinations.migrations import LATEST_SQLITE, migrations
from ray_import.destinations.sqlite.sink import APPLICATION_ID, SqliteSink
from ray_import.errors import ConfigError
from ray_import.pipeline.selection import UserSelection
from ray_import.settings import ImportOptions, ImportSettings
from ray_import.source.version import version_of
from tests.cli.commands import Ended, ray_import, started
from tests.support.gateway import faults
from tests.support.gateway.server import Gateway, gateway

FROM = ["reimport", "--from", "supabase://exports/users"]
DRY_RUN = [*FROM, "--dry-run"]
SOURCE = "supabase://exports/users"


@pytest.fixture(scope="module")
def running() -> Iterator[Gateway]:
    with gateway("host=/nowhere") as made:
        for key in (
            "ana/2025.zip",
            "ana/2026.zip",
            "ben/deeper/export.zip",
            "eve.json",
            "ana/picture.png",
            "notes.txt",
        ):
            made.objects.put("exports", f"users/{key}", b"x" * 1_000)
        yield made
        assert made.served.failures == []


@pytest.fixture
def project(running: Gateway, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    monkeypatch.setenv("SUPABASE_URL", running.url)
    monkeypatch.setenv("SUPABASE_SERVICE_KEY", running.secret_key)
    running.faults.clear()
    return running


WAITS = re.compile(
    r"(connecting to the destination|reading the list of users|listing \S+|registering the users) …( \d+ s)?"
)


def is_an_error(result: Ended, code: int) -> bool:
    """Whether it ended with this code and one or two lines, and Ray was not started. On a busy machine, lines that say
    what the command waits for may come first."""
    lines = [line for line in result.err_lines if not WAITS.fullmatch(line)]
    return result.code == code and 1 <= len(lines) <= 2 and lines[0].startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([], "No list of users is given"),
        (["--users", "users.jsonl", "--from", SOURCE], "More than one list of users"),
        (
            ["--from", SOURCE, "--from-table", "profiles", "--source-column", "export"],
            "More than one list of users",
        ),
        (["--from-table", "profiles"], "--from-table and --source-column are only valid together"),
        (["--from", SOURCE, "--source-column", "export"], "--from-table and --source-column are only valid"),
        (["--from", "exports/users"], "exports/users does not name a folder in a bucket"),
        (
            ["--from", "https://abc.supabase.co/users?token=secret"],
            "https://abc.supabase.co/users does not name",
        ),
        (["--users", "users.jsonl", "--since", "soon"], "--since soon is not a valid date"),
        (["--from-table", "profiles", "--source-column", "export", "--since", "2020-01-01"], "has no dates of exports"),
    ],
)
def test_what_cannot_be_meant_is_an_error_before_anything_is_made(
    tmp_path: Path, arguments: list[str], what: str
) -> None:
    result = ray_import(tmp_path, "reimport", *arguments)
    assert is_an_error(result, 2), result
    assert what in result.err
    assert "secret" not in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_job_has_to_name_its_manifest_absolutely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(JOB_CONFIG, "{}")
    which = UserSelection(manifest=Path("users.csv"))
    to = f"sqlite:///{tmp_path}/chunks.db"
    with pytest.raises(ConfigError, match=r"users\.csv is relative"):
        reimport(which, to, ImportSettings(), None, None, ImportOptions())
    with pytest.raises(ConfigError, match=r"users\.csv is relative"):
        planned(which, to, ImportSettings(), None, ImportOptions())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
@pytest.mark.parametrize("url", ["nonsense", "ftp://hooks.example.com/secret", "https://"])
def test_an_alert_that_could_never_be_told_is_an_error_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, options: list[str]
) -> None:
    monkeypatch.setenv("ALERT_WEBHOOK", url)
    (tmp_path / "users.csv").write_text("user_id,source\nana,ana.json\n")
    result = ray_import(tmp_path, "reimport", "--users", "users.csv", *options)
    assert is_an_error(result, 2), result
    assert "ALERT_WEBHOOK is not a valid address" in result.err
    assert "secret" not in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["users.csv"]


def test_what_might_surprise_of_who_is_chosen_is_told(tmp_path: Path) -> None:
    (tmp_path / "users.jsonl").write_text('{"user_id": "ana", "source": "https://example.com/ana.zip"}\n')
    said = {"--since:": ["--since", "2200-01-01"], "--failed:": ["--failed", "--only", "ana"]}
    for words, options in said.items():
        result = ray_import(tmp_path, "reimport", "--users", "users.jsonl", "--dry-run", *options)
        assert result.code == 0, result
        assert words in result.err, result


@contextmanager
def ray_that(does: str, folder: Path) -> Iterator[None]:
    """Within it, importing Ray `does` that."""
    (folder / "ray.py").write_text(does)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(folder))
        yield


def run_over(users: str, folder: Path, *options: str) -> Ended:
    """A run into the database of the folder."""
    return ray_import(folder, "reimport", "--users", users, "--to", f"sqlite:///{folder}/chunks.db", "--json", *options)


def runs_in(folder: Path) -> list[tuple[str, str | None]]:
    """The status and the holder of each run that the database of the folder remembers."""
    with closing(sqlite3.connect(folder / "chunks.db")) as db:
        return db.execute("SELECT status, holder FROM import_runs").fetchall()


def test_a_run_with_nobody_to_import_starts_no_ray_and_waits_for_no_machine(tmp_path: Path) -> None:
    (tmp_path / "ana.json").write_text("[]")
    (tmp_path / "users.csv").write_text("user_id,source\nana,ana.json\n")
    with ray_that("raise AssertionError('Ray is imported')", tmp_path):
        result = run_over("users.csv", tmp_path, "--since", "2200-01-01")
    assert (result.code, result.json["users"]) == (0, {"all": 0}), result
    assert runs_in(tmp_path) == [("complete", None)]


def test_a_run_that_was_interrupted_when_all_were_done_is_over_at_once(tmp_path: Path) -> None:
    manifest = tmp_path / "users.csv"
    manifest.write_text(f"user_id,source\nana,{tmp_path}/gone.zip\n")
    with closing(SqliteSink(tmp_path / "chunks.db")) as sink:
        assert sink.start_run("run", RunKey(str(manifest), ImportSettings().rows_hash), "") is None
        [ana] = sink.add_users("run", [RunUser("ana", f"{tmp_path}/gone.zip")])
        assert sink.save_users("run", "", [replace(ana, state="failed", attempts=1, error="It is gone.")])
        sink.let_go("")
    with ray_that("raise AssertionError('Ray is imported')", tmp_path):
        result = run_over("users.csv", tmp_path)
    assert (result.code, result.json["run_id"], result.json["users"]) == (1, "run", {"all": 1, "failed": 1}), result
    assert [one["error"] for one in result.json["failed"]] == ["It is gone."]
    assert runs_in(tmp_path) == [("complete", None)]


def test_a_run_that_is_stopped_before_ray_is_there_is_let_go_of(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("user_id,source\nana,ana.zip\n")
    with ray_that("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nsignal.pause()\n", tmp_path):
        result = run_over("users.csv", tmp_path, "--executor", "ray")
    assert result.code == 3, result
    assert "nterrupted" in result.json["error"]
    assert runs_in(tmp_path) == [("interrupted", None)]


def test_a_manifest_may_have_a_name_that_is_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"users \xff.csv")
    (tmp_path / "ana.json").write_text("[]")
    (tmp_path / name).write_text("user_id,source\nana,ana.json\n")
    assert run_over(name, tmp_path, "--since", "2200-01-01").code == 0
    assert runs_in(tmp_path) == [("complete", None)]


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_a_list_is_refused_when_it_names_no_user(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "users.csv").write_text("user_id,source\n")
    result = ray_import(tmp_path, "reimport", "--users", "users.csv", *options)
    assert is_an_error(result, 2), result
    assert "users.csv lists no users." in result.err


def test_a_dry_run_ends_with_1_when_an_export_is_missing(tmp_path: Path) -> None:
    (tmp_path / "here.json").write_text("[]")
    (tmp_path / "users.csv").write_text("user_id,source\nana,here.json\nben,gone.zip\n")
    result = ray_import(tmp_path, "reimport", "--users", "users.csv", "--dry-run", "--json")
    assert (result.code, result.json["totals"]) == (1, {"all": 2, "missing": 1, "read": 1})


@pytest.mark.parametrize("version", [0, LATEST_SQLITE - 1, LATEST_SQLITE])
def test_a_dry_run_leaves_the_database_as_it_is(tmp_path: Path, version: int) -> None:
    source = tmp_path / "ana.json"
    source.write_text("[]")
    (tmp_path / "users.csv").write_text(f"user_id,source\nana,{source}\n")
    database = tmp_path / "chunks.db"
    with closing(sqlite3.connect(database)) as db:
        for migration in migrations("sqlite")[:version]:
            db.executescript(migration.sql)
        db.executescript(f"PRAGMA application_id = {APPLICATION_ID if version else 0}; PRAGMA user_version = {version}")
    if not version:
        database.unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    result = ray_import(
        tmp_path, "reimport", "--users", "users.csv", "--to", f"sqlite:///{database}", "--dry-run", "--json"
    )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    if version in (0, LATEST_SQLITE):
        assert (result.code, result.json["totals"]) == (0, {"all": 1, "read": 1}), result
    else:
        assert result.code == 3, result
        assert "ray-import migrate" in result.err


def test_dry_run_reads_an_export_again_when_it_was_imported_with_the_other_choice_of_messages(tmp_path: Path) -> None:
    source = tmp_path / "ana.json"
    source.write_text("[]")
    (tmp_path / "users.csv").write_text(f"user_id,source\nana,{source}\n")
    user = RunUser("ana", str(source), "complete", 1, version_of(source))
    with closing(SqliteSink(tmp_path / "chunks.db")) as sink:
        key = RunKey(str(tmp_path / "users.csv"), ImportSettings(messages=False).rows_hash)
        assert sink.start_run("run", key, "here/1") is None
        sink.add_users("run", [RunUser("ana", str(source))])
        assert sink.save_users("run", "here/1", [user])
        sink.complete_run("run", "here/1")
    dry_run = ("reimport", "--users", "users.csv", "--dry-run", "--json")
    assert ray_import(tmp_path, *dry_run, "--no-messages").json["totals"] == {"all": 1, "unchanged": 1}
    assert ray_import(tmp_path, *dry_run).json["totals"] == {"all": 1, "read": 1}


def test_a_dry_run_tells_who_from_where_how_much_and_what_was_passed_over(project: Gateway, tmp_path: Path) -> None:
    result = ray_import(tmp_path, *DRY_RUN, "--json", "--workers", "2")
    assert (result.code, result.err) == (0, "")
    told = result.json
    expected = [("ana", "ana/2026.zip"), ("ben", "ben/deeper/export.zip"), ("eve", "eve.json")]
    assert told["users"] == [
        {"user_id": user_id, "source": f"{SOURCE}/{key}", "state": "read", "size_bytes": 1_000}
        for user_id, key in expected
    ]
    assert (told["totals"], told["bytes_to_read"], told["goes_on"]) == ({"all": 3, "read": 3}, 3_000, None)
    assert told["passed_over"] == {"older_exports": 1, "no_exports": 2}
    assert told["estimate"]["workers"] == 2

    plain = ray_import(tmp_path, *DRY_RUN, "--only", "ben")
    assert (plain.code, plain.err) == (0, "")
    for words in ("ben   read   1.0 kB  supabase://exports/users/ben/deeper/export.zip", "1: 1 read",
                  "1 older exports, 2 files that are not exports", "about 1 s on"):  # fmt: skip
        assert words in plain.out.decode(), plain.out.decode()
    assert project.secret_key not in result.out.decode() + plain.out.decode()


def test_a_terminal_that_has_not_all_characters_shows_those_that_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    rows = "".join(f"user-{number},/gone/ж.zip\n" for number in range(51))
    (tmp_path / "users.csv").write_text(f"user_id,source\n{rows}")
    result = ray_import(tmp_path, "reimport", "--users", "users.csv", "--dry-run")
    assert (result.code, result.err) == (1, ""), result
    assert rb"/gone/\u0436.zip" in result.out
    assert b"... and 1 more" in result.out


def test_a_dry_run_does_not_load_ray(project: Gateway, tmp_path: Path) -> None:
    with ray_that("raise AssertionError('Ray is imported')", tmp_path):
        assert ray_import(tmp_path, *DRY_RUN).code == 0


@pytest.mark.parametrize(
    ("options", "users"),
    [
        (["--limit", "2"], ["ana", "ben"]),
        (["--since", "2020-01-01"], ["ana", "ben", "eve"]),
        (["--since", "2200-01-01"], []),
        (["--failed"], []),
    ],
)
def test_users_of_a_bucket_are_chosen_as_those_of_a_manifest(
    project: Gateway, tmp_path: Path, options: list[str], users: list[str]
) -> None:
    told = ray_import(tmp_path, *DRY_RUN, "--json", *options).json
    assert [user["user_id"] for user in told["users"]] == users


def test_what_is_wrong_with_a_bucket_is_told_in_two_lines(
    project: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = ray_import(tmp_path, "reimport", "--from", "supabase://missing/users")
    assert is_an_error(missing, 2), missing
    assert "There is no bucket missing in the project." in missing.err
    empty = ray_import(tmp_path, "reimport", "--from", "supabase://exports/other")
    assert is_an_error(empty, 2), empty
    assert "supabase://exports/other is empty or does not exist." in empty.err
    monkeypatch.setenv("SUPABASE_SERVICE_KEY", "sb_secret_wrong")
    wrong = ray_import(tmp_path, *FROM)
    assert is_an_error(wrong, 3), wrong
    assert "sb_secret_wrong" not in wrong.err
    monkeypatch.setenv("SUPABASE_SERVICE_KEY", "")
    unset = ray_import(tmp_path, *FROM, "--json")
    assert is_an_error(unset, 2), unset
    assert "SUPABASE_SERVICE_KEY is not set." in unset.json["error"]


def test_a_listing_that_is_interrupted_ends_at_once(project: Gateway, tmp_path: Path) -> None:
    arrived = threading.Event()
    project.faults.decide = lambda _: replace(faults.rate_limited(60), do=arrived.set)
    with started(tmp_path, *DRY_RUN) as process:
        assert arrived.wait(30)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err.decode()) == (3, b"", "interrupted\n")
    assert time.monotonic() - began < 10


def test_reimport_says_what_it_waits_for_when_a_listing_takes_long(project: Gateway, tmp_path: Path) -> None:
    """The listing does not end before the line was read: so that line is no part of the end."""
    released = threading.Event()
    project.faults.add(faults.doing(lambda: released.wait(60)), path="/object/list")
    with started(
        tmp_path, *FROM, "--to", f"sqlite:///{tmp_path}/chunks.db", "--limit", "1", "--since", "2200-01-01"
    ) as process:
        assert process.stderr is not None
        try:
            said = next(line for line in process.stderr if line.startswith(b"listing "))
            waits_still = process.poll() is None and not released.is_set()
        finally:
            released.set()
        process.communicate(timeout=60)
    assert said.decode() == "listing supabase://exports/users …\n"
    assert waits_still
    assert process.returncode == 0
