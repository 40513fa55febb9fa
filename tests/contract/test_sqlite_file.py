"""What can be wrong with a SQLite file: each is an error with a way out, and nothing that was there is lost."""

import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ray_import.destinations.base import RunKey, RunUser, WriteResult
from ray_import.destinations.migrations import LATEST_SQLITE, migrations
from ray_import.destinations.registry import SqliteDestination
from ray_import.destinations.sqlite.schema import MESSAGES_VERSION, PRODUCT_KEYS, change_keys
from ray_import.destinations.sqlite.sink import APPLICATION_ID, SqliteSink
from ray_import.errors import ConfigError, SinkBusy, SinkError
from tests.contract.destinations import SETTINGS, SqliteFile, import_of, reject_of, rows_for


@pytest.fixture
def file(tmp_path: Path) -> SqliteFile:
    return SqliteFile(tmp_path)


@pytest.fixture
def filled(file: SqliteFile) -> SqliteFile:
    """With one conversation and one reject, and nobody connected."""
    with closing(file.open()) as sink:
        sink.start_job(import_of(1), "x", "host/1")
        sink.write(import_of(1), SETTINGS, [rows_for("a", chunks=20, text="x" * 4000)], [reject_of(b"bad")])
        sink.update_job("import-1", {}, "complete")
    return file


def is_sound(file: SqliteFile) -> bool:
    with file.connected() as db:
        return bool(db.execute("PRAGMA integrity_check").fetchone()[0] == "ok")


def refused(path: Path, *, create: bool = True) -> SinkError:
    """The error with which `path` is refused; it has a hint and names the path."""
    with pytest.raises(SinkError) as caught:
        SqliteSink(path, create=create)
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value


# --- files of somebody else's --------------------------------------------------------------------

FOREIGN = {
    "tables": "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('mine')",
    "a version": "PRAGMA user_version = 3",
    "our version, not our id": f"CREATE TABLE conversation_chunks (x); PRAGMA user_version = {LATEST_SQLITE}",
    "another id": "PRAGMA application_id = 1196444487; CREATE TABLE features (x)",
    "a view": "CREATE VIEW v AS SELECT 1",
}


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("script", FOREIGN.values(), ids=FOREIGN)
def test_a_database_of_something_else_is_refused_and_stays_as_it_was(tmp_path: Path, script: str, create: bool) -> None:
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(script)
    before = path.read_bytes()
    assert "belongs to another program" in refused(path, create=create).message
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("create", [True, False])
def test_a_newer_schema_is_refused_and_stays_as_it_was(filled: SqliteFile, create: bool) -> None:
    with filled.connected() as db:
        db.execute(f"PRAGMA user_version = {LATEST_SQLITE + 1}")
    before = filled.path.read_bytes()
    error = refused(filled.path, create=create)
    assert "newer ray-import" in error.message
    assert "Upgrade" in error.hint
    assert filled.path.read_bytes() == before


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"Dear diary, today I went to the sea.\n" * 300, id="text"),
        pytest.param(b"PK\x03\x04" + bytes(5000), id="a ZIP"),
        pytest.param(os.urandom(4096), id="noise"),
        pytest.param(b"hi", id="two bytes"),
    ],
)
def test_what_is_no_database_is_refused_and_stays_as_it_was(tmp_path: Path, data: bytes, create: bool) -> None:
    path = tmp_path / "diary.txt"
    path.write_bytes(data)
    refused(path, create=create)
    assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    (tmp_path / "chunks.db").touch()
    with closing(SqliteSink(tmp_path / "chunks.db")) as sink:
        assert sink.jobs() == []


def test_a_file_whose_making_was_interrupted_becomes_a_database(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "chunks.db")) as db:
        db.execute("PRAGMA page_size = 16384")
        db.execute("PRAGMA journal_mode = WAL")
    with closing(SqliteSink(tmp_path / "chunks.db")) as sink:
        assert sink.write(import_of(1), SETTINGS, [rows_for("a")], []) == [WriteResult(2, 0)]


def test_the_file_says_whose_it_is_and_of_which_version(filled: SqliteFile) -> None:
    with filled.connected() as db:
        assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert db.execute("PRAGMA user_version").fetchone() == (LATEST_SQLITE,)


# --- places where no file can be -----------------------------------------------------------------


def test_where_there_is_no_file_none_is_made_unless_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no database") as caught:
        SqliteSink(tmp_path / "chunks.db", create=False)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    refused(tmp_path / "no" / "such" / "chunks.db")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    refused(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc takes no files on Linux")
def test_a_file_system_that_takes_no_files_is_an_error() -> None:
    refused(Path("/proc/chunks.db"))


@pytest.fixture
def read_only_folder(filled: SqliteFile) -> Iterator[SqliteFile]:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    filled.folder.chmod(0o555)
    filled.path.chmod(0o444)
    yield filled
    filled.folder.chmod(0o755)
    filled.path.chmod(0o644)


def test_a_file_that_may_not_be_written_is_an_error(read_only_folder: SqliteFile) -> None:
    before = read_only_folder.path.read_bytes()
    with pytest.raises(SinkError) as caught, closing(read_only_folder.open()) as sink:
        sink.write(import_of(2), SETTINGS, [rows_for("b")], [])
    assert caught.value.hint
    assert read_only_folder.path.read_bytes() == before


# --- what goes wrong later -----------------------------------------------------------------------


def test_a_database_that_has_become_read_only_is_an_error_and_nothing_is_lost(filled: SqliteFile) -> None:
    before = filled.everything()
    with closing(SqliteSink(filled.path)) as sink:
        sink._db.execute("PRAGMA query_only = ON")
        for act in (
            lambda: sink.write(import_of(2), SETTINGS, [rows_for("b")], []),
            lambda: sink.start_job(import_of(2), "x", "host/1"),
            lambda: sink.update_job("import-1", {"seen": 1}),
        ):
            with pytest.raises(SinkError, match="SQLITE_READONLY") as caught:
                act()
            assert "writable" in caught.value.hint
        sink._db.execute("PRAGMA query_only = OFF")
        assert sink.write(import_of(2), SETTINGS, [rows_for("b")], []) == [WriteResult(2, 0)]
    assert all(set(rows) <= set(filled.everything()[table]) for table, rows in before.items())


def test_a_full_disk_is_an_error_and_when_there_is_room_it_goes_on(filled: SqliteFile) -> None:
    """SQLite answers to its own limit of pages as it does to a disk without room."""
    before = filled.everything()
    large = rows_for("large", chunks=50, text="x" * 100_000)
    newer = rows_for("a", version="v2", update_time=1_800_000_000.0)
    with closing(SqliteSink(filled.path)) as sink:
        (pages,) = sink._db.execute("PRAGMA page_count").fetchone()
        sink._db.execute(f"PRAGMA max_page_count = {pages + 5}")
        for _ in range(2):
            with pytest.raises(SinkError, match="SQLITE_FULL") as caught:
                sink.write(import_of(2), SETTINGS, [newer, large], [reject_of(b"other")])
            assert not isinstance(caught.value, SinkBusy)
            assert "free some space and run the import again" in caught.value.hint
            assert filled.everything() == before
        sink._db.execute("PRAGMA max_page_count = 1000000")
        assert sink.write(import_of(2), SETTINGS, [newer, large], []) == [WriteResult(2, 20), WriteResult(50, 0)]
    assert is_sound(filled)


def test_a_file_that_somebody_keeps_locked_is_worth_another_try(
    filled: SqliteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray_import.destinations.sqlite.file.BUSY_TIMEOUT_SECONDS", 0.01)
    with closing(SqliteSink(filled.path)) as sink, filled.connected() as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        with pytest.raises(SinkBusy) as caught:
            sink.write(import_of(2), SETTINGS, [rows_for("b")], [])
        assert caught.value.retry
        assert "lock on it" in caught.value.hint
        assert sink.known("u1", SETTINGS, ["a-v1"]).keys() == {"a-v1"}, "reading goes on"
        somebody.execute("ROLLBACK")
        assert sink.write(import_of(2), SETTINGS, [rows_for("b")], []) == [WriteResult(2, 0)]


def test_a_damaged_file_is_an_error_and_not_damaged_further(filled: SqliteFile) -> None:
    data = bytearray(filled.path.read_bytes())
    data[200:] = b"\xff" * (len(data) - 200)
    filled.path.write_bytes(data)
    with pytest.raises(SinkError) as caught, closing(filled.open()) as sink:
        sink.write(import_of(2), SETTINGS, [rows_for("b")], [])
    assert "import into a new one" in caught.value.hint
    assert filled.path.read_bytes() == data


@pytest.mark.parametrize("table", ["conversation_chunks", "conversation_messages"])
def test_tables_that_somebody_dropped_are_an_error_without_a_traceback(filled: SqliteFile, table: str) -> None:
    with filled.connected() as db:
        db.execute(f"DROP TABLE {table}")
    assert f"{table} is missing" in refused(filled.path).message
    with closing(SqliteSink(filled.path, create=False)) as sink, pytest.raises(SinkError):
        sink.write(import_of(2), SETTINGS, [rows_for("b")], [])


def rebuilt(file: SqliteFile, table: str, before: str, after: str) -> None:
    """Makes the table again, with another text in its definition."""
    with file.connected() as db:
        (script,) = db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
        assert before in script
        db.execute(f"DROP TABLE {table}")
        db.execute(script.replace(before, after))


@pytest.mark.parametrize(
    ("table", "before", "after", "told"),
    [
        ("conversation_chunks", "content  ", "body     ", "conversation_chunks has no column content"),
        ("conversation_messages", "quoted  ", "quotes  ", "conversation_messages has no column quoted"),
        ("import_jobs", "counts   ", "numbers  ", "import_jobs has no column counts"),
        ("conversation_chunks", "conversation_id TEXT", "conversation_id INTEGER", "conversation_id is INTEGER"),
        ("conversation_chunks", "user_id         TEXT", "user_id NUMERIC", "user_id is NUMERIC"),
        ("imported_conversations", "message_count   INTEGER", "message_count TEXT", "message_count is TEXT"),
        ("conversation_chunks", "import_id       TEXT NOT NULL", "import_id TEXT NOT NULL, org TEXT NOT NULL", '"org"'),
    ],
)
def test_a_table_that_cannot_be_used_is_named_before_anything_is_imported(
    filled: SqliteFile, table: str, before: str, after: str, told: str
) -> None:
    rebuilt(filled, table, before, after)
    assert told in refused(filled.path).message
    with pytest.raises(SinkError) as caught:
        SqliteDestination("x", filled.path).migrate()
    assert told in caught.value.message
    SqliteSink(filled.path, create=False).close()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("content         TEXT", "content VARCHAR(100)"),
        ("content         TEXT", "content"),
        ("chunk_index     INTEGER", "chunk_index BIGINT"),
        ("chunk_index     INTEGER", "chunk_index NUMERIC"),
        ("content         TEXT", "Content TEXT"),
        ("import_id       TEXT NOT NULL", "import_id TEXT NOT NULL, org TEXT NOT NULL DEFAULT ''"),
    ],
)
def test_a_table_with_other_types_is_used_when_they_hold_the_same(file: SqliteFile, before: str, after: str) -> None:
    file.open().close()
    rebuilt(file, "conversation_chunks", before, after)
    with closing(file.open()) as sink:
        assert sink.write(import_of(1), SETTINGS, [rows_for("a", text="007")], []) == [WriteResult(2, 0)]
    assert file.content() == {"u1": {"a": ["v1 007"] * 2}}


def test_a_view_in_the_place_of_a_table_is_refused(filled: SqliteFile) -> None:
    with filled.connected() as db:
        db.executescript("ALTER TABLE import_rejects RENAME TO own; CREATE VIEW import_rejects AS SELECT * FROM own")
    assert "the table import_rejects is missing" in refused(filled.path).message


def test_a_trigger_that_does_not_work_is_what_the_error_asks_for(filled: SqliteFile) -> None:
    with filled.connected() as db:
        db.execute("CREATE TRIGGER own AFTER INSERT ON conversation_chunks BEGIN INSERT INTO gone VALUES (1); END")
    with closing(SqliteSink(filled.path)) as sink, pytest.raises(SinkError) as caught:
        sink.write(import_of(2), SETTINGS, [rows_for("b")], [])
    assert "trigger" in caught.value.hint


def test_an_error_never_tells_what_was_to_be_written(filled: SqliteFile) -> None:
    with closing(SqliteSink(filled.path)) as sink:
        sink._db.execute(
            "CREATE TRIGGER no BEFORE INSERT ON conversation_chunks BEGIN SELECT RAISE(ABORT, 'doctor'); END"
        )
        (outcome,) = sink.write(import_of(2), SETTINGS, [rows_for("b", text="my doctor said")], [])
        assert outcome.refused
        assert not re.search("doctor", outcome.refused)
        nothing = replace(reject_of(b"my doctor said"), reason=None)  # type: ignore[arg-type]
        with pytest.raises(SinkError) as caught:
            sink.write(import_of(2), SETTINGS, [], [nothing])
    assert not re.search("doctor", f"{caught.value!r} {caught.value.__cause__!r}")
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("version", range(1, LATEST_SQLITE))
def test_a_file_of_an_earlier_version_is_brought_up_to_date_and_keeps_what_it_holds(
    file: SqliteFile, version: int
) -> None:
    with closing(sqlite3.connect(file.path)) as db:
        for migration in migrations("sqlite")[:version]:
            db.executescript(migration.sql)
            if migration.version == MESSAGES_VERSION:
                change_keys(db, PRODUCT_KEYS)
        names = "id, user_id, source, status, counts, started_at, updated_at, finished_at"
        db.execute(
            f"INSERT INTO import_jobs ({names}) VALUES ('old', 'u1', 'x', 'complete', '{{}}', '2026', '2026', '2026')"
        )
        db.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version}")
    with closing(file.open()) as sink:
        assert [job.id for job in sink.jobs()] == ["old"]
        assert sink.write(import_of(1), SETTINGS, [rows_for("a")], []) == [WriteResult(2, 0)]
        sink.mark_seen(import_of(1), [], ["a"])
        users = [RunUser("u1", "a.zip")]
        assert sink.start_run("run-1", RunKey("users.jsonl", SETTINGS), "host/1") is None
        assert sink.add_users("run-1", users) == users
    new = file.beside("new")
    new.open().close()
    tables = "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    with file.connected() as db, new.connected() as of_new:
        assert db.execute("PRAGMA user_version").fetchone() == (LATEST_SQLITE,)
        assert db.execute(tables).fetchall() == of_new.execute(tables).fetchall()
    assert is_sound(file)


def test_two_copies_of_a_reader_see_a_sink_that_is_open(filled: SqliteFile) -> None:
    with closing(filled.open()) as sink:
        sink.write(import_of(2), SETTINGS, [rows_for("b")], [])
        assert filled.content()["u1"].keys() == {"a", "b"}


# --- several at once -----------------------------------------------------------------------------


def test_any_number_may_open_a_new_file_at_the_same_moment(file: SqliteFile) -> None:
    """As two imports do that are started together; often enough to meet at every step of the making."""
    errors: list[Exception] = []
    for i in range(120):
        new, openers = file.beside(str(i)), 2 + i % 3
        together = threading.Barrier(openers)
        threads = [threading.Thread(target=_open_together, args=(new, together, errors)) for _ in range(openers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []


def _open_together(file: SqliteFile, together: threading.Barrier, errors: list[Exception]) -> None:
    together.wait()
    try:
        file.open().close()
    except SinkError as error:
        errors.append(error)


# --- file systems without shared memory, and read-only folders -----------------------------------

NO_ROOM_FOR_SHARED_MEMORY = """
import resource, sys
from pathlib import Path
from ray_import.errors import SinkError
from ray_import.destinations.sqlite.sink import SqliteSink
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))  # a page, and no -shm
try:
    SqliteSink(Path(sys.argv[1]))
except SinkError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of files are Linux's")
def test_new_file_is_refused_and_removed_when_there_is_no_shared_memory(tmp_path: Path) -> None:
    path = tmp_path / "chunks.db"
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM_FOR_SHARED_MEMORY, str(path)], capture_output=True, text=True, check=True
    )
    what, hint = done.stdout.splitlines()
    assert what.startswith(f"{path} cannot be used: its file system has no shared memory (SQLITE_IOERR_SHM")
    assert "local disk" in hint
    assert list(tmp_path.iterdir()) == []


def test_new_file_is_refused_and_removed_when_sqlite_keeps_another_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SQLite's own layer for file systems without locks does."""
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda path, **options: connect(f"file:{path}?vfs=unix-dotfile", **options | {"uri": True})
    )
    error = refused(tmp_path / "chunks.db")
    assert "no shared memory" in error.message
    assert "local disk" in error.hint
    assert list(tmp_path.iterdir()) == []


def test_file_that_was_there_stays_when_there_is_no_shared_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "chunks.db").touch()
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda path, **options: connect(f"file:{path}?vfs=unix-dotfile", **options | {"uri": True})
    )
    refused(tmp_path / "chunks.db")
    assert list(tmp_path.iterdir()) == [tmp_path / "chunks.db"]
