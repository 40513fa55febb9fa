"""Conversations that hang or end the process of an import without Ray, and kills of it at any moment."""

import random
import sqlite3
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from ray_import.destinations.base import LedgerEntry, Sink
from ray_import.destinations.registry import SqliteDestination, parse_destination
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.errors import ConfigError, Interrupted
from ray_import.inline.isolation import ChildProcess
from tests.cluster.imports import tables
from tests.inline.importing import Told, dialled, imported, killed_when_marked, line_of_mark, started
from tests.support.gateway.postgres import Database
from tests.support.generate import write_export


def at(path: Path) -> SqliteDestination:
    return SqliteDestination(f"sqlite:///{path}", path)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1 MB of JSON."""
    path = tmp_path_factory.mktemp("export") / "conversations.json"
    write_export(path, 1, seed=7)
    return path


@pytest.fixture(scope="module")
def undisturbed(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of an import that nothing disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert imported(export, at(folder / "chunks.db"), folder).status == "complete"
    return folder / "chunks.db"


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


def one_of(undisturbed: Path) -> str:
    """The id of a conversation in the middle that has chunks."""
    with_chunks = [row[1] for row in tables(undisturbed)["ledger"] if row[9]]
    return str(with_chunks[len(with_chunks) // 2])


def rejects(database: Path) -> list[tuple[str, str]]:
    return [(orjson.loads(raw)["conversation_id"], reason) for *_, reason, raw in tables(database)["rejects"]]


def assert_all_but(conversation_id: str, database: Path, undisturbed: Path) -> None:
    left, expected = tables(database), tables(undisturbed)
    for table in ("chunks", "messages", "ledger"):
        assert left[table] == [row for row in expected[table] if conversation_id not in row]


def test_run_rejects_the_conversation_to_blame_when_the_last_run_hung_in_it(
    export: Path, undisturbed: Path, tmp_path: Path, marks: Path
) -> None:
    database, endless = tmp_path / "chunks.db", one_of(undisturbed)
    with started(export, database, marks, endless_conversations=[endless]) as hung:
        killed_when_marked(hung, marks, settled=2.0)
    told = Told()
    summary = imported(export, dialled(database, {"endless_conversations": (endless,)}), marks, told)
    assert summary.status == "partial"
    assert rejects(database) == [(endless, "kills_worker")]
    assert_all_but(endless, database, undisturbed)
    assert told.lines == ["an earlier run ended in this batch: importing it in a child process"]
    assert list(marks.iterdir()) == []


def test_run_rejects_the_conversation_to_blame_when_it_killed_the_last_run(
    export: Path, undisturbed: Path, tmp_path: Path, marks: Path
) -> None:
    database, poison = tmp_path / "chunks.db", one_of(undisturbed)
    with started(export, database, marks, poison_conversation=poison) as killed:
        assert killed.wait() == -9
    assert len(list(marks.iterdir())) == 1
    with started(export, database, marks, poison_conversation=poison) as second:
        assert second.wait() == 0
    assert rejects(database) == [(poison, "kills_worker")]
    assert_all_but(poison, database, undisturbed)
    assert list(marks.iterdir()) == []


@pytest.mark.parametrize("moment", ["die_before_commit_once", "die_after_commit_once"])
def test_nothing_is_lost_or_rejected_when_a_run_and_then_its_child_are_killed_once(
    export: Path, undisturbed: Path, tmp_path: Path, marks: Path, moment: str
) -> None:
    """The run around the commit of its first batch, the child of the next run likewise."""
    database, told = tmp_path / "chunks.db", Told()
    with started(export, database, marks, **{moment: str(tmp_path / "first")}) as killed:
        assert killed.wait() == -9
    summary = imported(export, dialled(database, {moment: str(tmp_path / "second")}), marks, told)
    assert (tmp_path / "second").exists()
    assert (summary.status, len(told.lines)) == ("complete", 1)
    assert tables(database) == tables(undisturbed)
    committed = summary.counts.unchanged + summary.counts.empty
    assert bool(committed) == (moment == "die_after_commit_once")
    assert list(marks.iterdir()) == []


@pytest.mark.parametrize("seed", range(3))
def test_tables_are_equal_when_runs_are_killed_at_seeded_moments(
    export: Path, undisturbed: Path, tmp_path: Path, marks: Path, seed: int
) -> None:
    database, rng = tmp_path / "chunks.db", random.Random(seed)
    for _ in range(2):
        with started(export, database, marks, seconds_per_write=0.01) as process:
            skipped = rng.randrange(8)
            seen: set[bytes] = set()
            while process.poll() is None and len(seen) <= skipped:
                seen.add(line_of_mark(marks))
            process.kill()
    summary = imported(export, at(database), marks)
    assert summary.status == "complete"
    assert tables(database) == tables(undisturbed)
    assert list(marks.iterdir()) == []


def test_mark_is_removed_when_the_destination_fails(export: Path, tmp_path: Path, marks: Path) -> None:
    database = tmp_path / "chunks.db"
    at(database).open().close()
    with closing(sqlite3.connect(database)) as db:
        db.execute("CREATE TRIGGER t BEFORE INSERT ON imported_conversations BEGIN SELECT missing(); END")
    summary = imported(export, at(database), marks)
    assert summary.status == "failed"
    assert list(marks.iterdir()) == []


def test_imports_run_at_once_in_threads_of_one_process(export: Path, undisturbed: Path, tmp_path: Path) -> None:
    found: Counter[str] = Counter()
    both = threading.Barrier(2)

    def run(number: int) -> None:
        both.wait()
        found[imported(export, at(tmp_path / f"{number}.db"), tmp_path).status] += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"complete": 2}
    for number in range(2):
        assert tables(tmp_path / f"{number}.db") == tables(undisturbed)
    assert list(tmp_path.glob("*.mark")) == []


def test_child_process_works_when_it_is_started_in_a_thread(export: Path, tmp_path: Path, marks: Path) -> None:
    database = tmp_path / "chunks.db"
    with started(export, database, marks, seconds_per_write=0.05) as killed:
        killed_when_marked(killed, marks)
    told, statuses = Told(), list[str]()
    thread = threading.Thread(target=lambda: statuses.append(imported(export, at(database), marks, told).status))
    thread.start()
    thread.join()
    assert statuses == ["complete"]
    assert len(told.lines) == 1


class Interrupts(SqliteSink):
    """Ctrl-C comes in the middle of a batch."""

    def known(self, *_: object, **__: object) -> dict[str, LedgerEntry]:
        raise KeyboardInterrupt


class InterruptsDestination(SqliteDestination):
    def open(self, *, create: bool = True) -> Sink:
        return Interrupts(self.path, create=create)


@pytest.mark.parametrize("seconds", [0.0, 3600.0])
def test_mark_stays_only_when_a_batch_is_interrupted_after_a_long_time(
    export: Path, undisturbed: Path, tmp_path: Path, marks: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr("ray_import.inline.workers.HUNG_AFTER_SECONDS", seconds)
    database, told = tmp_path / "chunks.db", Told()
    summary = imported(export, InterruptsDestination(f"sqlite:///{database}", database), marks)
    assert type(summary.error) is Interrupted
    assert len(list(marks.iterdir())) == (1 if seconds == 0 else 0)
    assert imported(export, at(database), marks, told).status == "complete"
    assert len(told.lines) == (1 if seconds == 0 else 0)
    assert tables(database) == tables(undisturbed)
    assert list(marks.iterdir()) == []


def test_child_process_shows_no_password_when_its_destination_has_one(
    migrated_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "another")
    child = ChildProcess(parse_destination(migrated_database.tcp_dsn))
    try:
        shown = Path(f"/proc/{child._process.pid}/cmdline").read_bytes()
        assert b"ray_import.inline.child" in shown
        assert migrated_database.server.password.encode() not in shown
    finally:
        child.close()


def test_import_fails_and_blames_nobody_when_the_child_process_cannot_open_its_destination(
    export: Path, tmp_path: Path, marks: Path
) -> None:
    database = tmp_path / "chunks.db"
    with started(export, database, marks, seconds_per_write=0.05) as killed:
        killed_when_marked(killed, marks)
    summary = imported(export, dialled(database, {"misconfigured_at_opening": (0,)}), marks)
    assert isinstance(summary.error, ConfigError)
    assert rejects(database) == []
    assert len(list(marks.iterdir())) == 1, "the next run is as careful"
    assert imported(export, at(database), marks).status == "complete"
    assert list(marks.iterdir()) == []
