"""`ray-import run` and `retry-rejects` without Ray, as a person uses them."""

import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from ray_import.chunks.rows import ConversationRows, ImportJob
from ray_import.cli.run import import_exports
from ray_import.destinations.base import Sink, WriteResult
from ray_import.destinations.registry import SqliteDestination
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.errors import LeaseLost
from ray_import.records import Reject
from ray_import.settings import FlowLimits, ImportOptions, ImportSettings
from tests.cli.commands import ended, environment, ray_import, started
from tests.cluster.imports import tables
from tests.inline.importing import imported
from tests.support.generate import write_export

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE = ROOT / "examples" / "export"
NOT_NEEDED = ("ray", "httpx", "httpcore", "supabase", "psycopg", "anthropic", "markdown_it", "pydantic_settings")
DEADLINE_SECONDS = 240


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5 MB of JSON."""
    path = tmp_path_factory.mktemp("export") / "conversations.json"
    write_export(path, 5, seed=3)
    return path


@pytest.fixture(scope="module")
def undisturbed(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    result = ray_import(folder, "run", export, "--user-id", "ada", "--to", "sqlite:///chunks.db")
    assert result.code == 0, result.err
    return folder / "chunks.db"


def marks() -> list[Path]:
    return list(Path(os.environ["XDG_STATE_HOME"]).glob("ray-import/marks/*.mark"))


def ledger_rows(database: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM imported_conversations").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # the file, or its tables, are not made yet


def run_of(export: Path) -> list[str | bytes | Path]:
    """An import in small batches, so that it takes a while."""
    return ["run", export, "--user-id", "ada", "--to", "sqlite:///chunks.db", "--batch-bytes", "4000", "--json"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_run_ends_in_order_and_continues_when_it_was_interrupted(
    export: Path, undisturbed: Path, tmp_path: Path, stop: signal.Signals
) -> None:
    database = tmp_path / "chunks.db"
    process = started(tmp_path, *run_of(export))
    until = time.monotonic() + DEADLINE_SECONDS
    while not ledger_rows(database) and process.poll() is None and time.monotonic() < until:
        pass
    process.send_signal(stop)
    result = ended(process)
    assert (result.code, result.json["status"]) == (3, "failed"), result.err
    assert "Traceback" not in result.err
    assert 0 < ledger_rows(database) < ledger_rows(undisturbed)
    assert marks() == []
    with closing(sqlite3.connect(database)) as db:
        assert db.execute("SELECT status, error FROM import_jobs").fetchall() == [("failed", "interrupted")]
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    again = ray_import(tmp_path, *run_of(export))
    assert (again.code, again.json["status"]) == (0, "complete")
    assert tables(database) == tables(undisturbed)


def test_run_continues_at_once_when_the_last_one_was_killed(export: Path, undisturbed: Path, tmp_path: Path) -> None:
    """Its lease is over with its process, and its mark sends one batch to a child process."""
    database = tmp_path / "chunks.db"
    process = started(tmp_path, *run_of(export))
    while not ledger_rows(database) and process.poll() is None:
        pass
    process.kill()
    assert ended(process).code == -signal.SIGKILL
    assert len(marks()) == 1
    again = ray_import(tmp_path, *run_of(export))
    assert (again.code, again.json["status"]) == (0, "complete"), again.err
    assert marks() == []
    assert tables(database) == tables(undisturbed)


def test_run_fails_and_continues_when_the_disk_was_full(export: Path, undisturbed: Path, tmp_path: Path) -> None:
    """A limit on the size of files is to SQLite what a full disk is."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))

    full = subprocess.run(
        [sys.executable, "-m", "ray_import", *run_of(export)],
        cwd=tmp_path, env=environment(), preexec_fn=limit, capture_output=True, check=False,
    )  # fmt: skip
    assert (full.returncode, orjson.loads(full.stdout)["status"]) == (3, "failed"), full.stderr
    assert b"Traceback" not in full.stderr
    assert marks() == []
    again = ray_import(tmp_path, *run_of(export))
    assert (again.code, again.json["status"]) == (0, "complete"), again.err
    assert tables(tmp_path / "chunks.db") == tables(undisturbed)


class TakenOver(SqliteSink):
    """Somebody else ends the job of this import while it writes."""

    def write(
        self,
        job: ImportJob,
        settings_hash: str,
        conversations: Sequence[ConversationRows],
        rejects: Sequence[Reject],
        settled: Sequence[str] = (),
    ) -> list[WriteResult]:
        self._db.execute("UPDATE import_jobs SET status = 'failed', error = 'interrupted'")
        return super().write(job, settings_hash, conversations, rejects, settled)


class TakenOverDestination(SqliteDestination):
    def open(self, *, create: bool = True) -> Sink:
        return TakenOver(self.path, create=create)


def test_import_fails_when_another_one_has_taken_its_lease(export: Path, tmp_path: Path) -> None:
    database = tmp_path / "chunks.db"
    summary = imported(export, TakenOverDestination(f"sqlite:///{database}", database), tmp_path)
    assert (summary.status, type(summary.error), summary.exit_code) == ("failed", LeaseLost, 3)
    assert list(tmp_path.glob("*.mark")) == []


@pytest.mark.parametrize("options", [[], ["--executor", "inline"]])
def test_run_of_a_small_export_imports_no_module_of_ray_or_of_servers(tmp_path: Path, options: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "ray_import", "run", str(SAMPLE), *options]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True)
    imports = set(re.findall(r"^import time:.*\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert "ray_import.inline.workers" in imports
    assert {name for name in imports if name.split(".")[0] in NOT_NEEDED} == set()
    assert re.search(r"^importing without Ray \(.+\)$", done.stderr, re.MULTILINE)


def test_run_is_one_process_when_it_needs_no_ray(export: Path, tmp_path: Path) -> None:
    process = started(tmp_path, *run_of(export))
    while not ledger_rows(tmp_path / "chunks.db") and process.poll() is None:
        pass
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    assert (ended(process).code, children) == (0, "")


def test_run_is_refused_when_workers_are_asked_for_without_ray(tmp_path: Path) -> None:
    result = ray_import(tmp_path, "run", SAMPLE, "--executor", "inline", "--workers", "2")
    assert (result.code, "--workers" in result.err) == (2, True)
    assert not (tmp_path / "chunks.db").exists()


def test_rejects_are_retried_in_a_child_process(tmp_path: Path) -> None:
    """They may have ended a process before; those that cannot be read stay."""
    (tmp_path / "x.json").write_bytes(b'[{"mapping": NaN}]')
    assert ray_import(tmp_path, "run", "x.json").code == 1
    result = ray_import(tmp_path, "retry-rejects", "--executor", "inline", "--json")
    (one,) = result.json["imports"]
    assert (result.code, one["status"], one["conversations"]["rejected"], one["workers"]) == (1, "partial", 1, 1)


def test_reimport_imports_its_users_one_after_the_other_and_continues_without_ray(
    export: Path, undisturbed: Path, tmp_path: Path
) -> None:
    users = [{"user_id": user_id, "source": str(export)} for user_id in ("ada", "ben")]
    (tmp_path / "users.jsonl").write_bytes(b"\n".join(map(orjson.dumps, users)))
    allowed = ("--files-under", export.parent)
    to = ("--to", "sqlite:///chunks.db")
    command = ("reimport", "--users", "users.jsonl", *allowed, "--executor", "inline", *to, "--json")
    first = ray_import(tmp_path, *command)
    assert (first.code, first.json["users"], first.json["workers"]) == (0, {"all": 2, "complete": 2}, 1), first.err
    assert "executor: inline (--executor inline)" in first.err_lines
    assert ledger_rows(tmp_path / "chunks.db") == 2 * ledger_rows(undisturbed)
    assert marks() == []
    again = ray_import(tmp_path, *command)
    assert (again.code, again.json["users"]) == (0, {"all": 2, "skipped": 2}), again.err


def test_imports_of_the_command_run_at_once_in_threads(export: Path, undisturbed: Path, tmp_path: Path) -> None:
    settings = ImportSettings(flow=FlowLimits(batch_bytes=64 * 1024))
    statuses: dict[int, str] = {}

    def run(number: int) -> None:
        to = f"sqlite:///{tmp_path / str(number)}.db"
        statuses[number] = import_exports([str(export)], to, "ada", settings, None, None, ImportOptions()).status

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == {0: "complete", 1: "complete"}
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    for number in range(2):
        assert tables(tmp_path / f"{number}.db") == tables(undisturbed)


def test_reimport_imports_users_as_run_does_when_it_is_inline(export: Path, undisturbed: Path, tmp_path: Path) -> None:
    (tmp_path / "ada.json").write_bytes(export.read_bytes())
    users = [{"user_id": "ada", "source": "ada.json"}, {"user_id": "bob", "source": "none.zip"}]
    (tmp_path / "users.jsonl").write_bytes(b"\n".join(map(orjson.dumps, users)))
    arguments = ["reimport", "--users", "users.jsonl", "--executor", "inline", "--to", "sqlite:///chunks.db", "--json"]
    result = ray_import(tmp_path, *arguments)
    assert (result.code, result.json["users"]) == (1, {"all": 2, "complete": 1, "failed": 1})
    imported_by_both = (tables(path) for path in (tmp_path / "chunks.db", undisturbed))
    assert len({repr((found["chunks"], found["messages"])) for found in imported_by_both}) == 1
    again = ray_import(tmp_path, *arguments, "--only", "ada")
    assert (again.code, again.json["users"]) == (0, {"all": 1, "skipped": 1})
    assert marks() == []


def test_reimport_refuses_workers_when_it_is_inline(tmp_path: Path) -> None:
    result = ray_import(tmp_path, "reimport", "--users", "users.jsonl", "--executor", "inline", "--workers", "2")
    assert (result.code, "--workers needs Ray" in result.err) == (2, True)
