"""A SQLite file of an earlier version gets the tables of this one, with all that its user has added."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ray_import.destinations.base import LedgerEntry, WriteResult
from ray_import.destinations.migrations import migrations
from ray_import.destinations.sqlite.sink import APPLICATION_ID
from ray_import.errors import SinkError
from tests.contract.destinations import SETTINGS, SqliteFile, import_of, rows_for

DIGITS = "0123456789abcdef" * 2
ROWS = f"""
INSERT INTO conversation_chunks VALUES
    ('id-1', 'u1', 'a', 'main', 'T', 'C', 'medium', 0, 1, 1, 1, '["n"]', NULL, 0, 'i');
INSERT INTO imported_conversations (user_id, conversation_id, content_hash, other_hash, settings_hash, title,
    node_count, message_count, chunk_count, import_id, imported_at)
    VALUES ('u1', 'gone', 'x', NULL, 's', 'T', 1, 1, 1, 'i', '2026'),
    ('u1', 'a', '{DIGITS}', NULL, '{SETTINGS}', 'T', 1, 1, 1, 'i', '2026');
DELETE FROM imported_conversations WHERE conversation_id = 'gone';
INSERT INTO import_rejects (import_id, user_id, source_member, position, reason, raw, raw_hash)
    VALUES ('i', 'u1', 'x.json', 3, 'damaged', x'00ff', '{DIGITS}');
"""
OWN = """
CREATE TABLE own_log (what TEXT);
ALTER TABLE imported_conversations ADD COLUMN "own ""note" TEXT DEFAULT 'mine';
ALTER TABLE imported_conversations ADD COLUMN length INTEGER GENERATED ALWAYS AS (length(title)) VIRTUAL;
ALTER TABLE import_rejects ADD COLUMN note TEXT;
ALTER TABLE conversation_chunks ADD COLUMN embedding BLOB;
UPDATE conversation_chunks SET embedding = x'0102';
UPDATE imported_conversations SET "own ""note" = 'read';
UPDATE import_rejects SET note = 'looked at';
CREATE UNIQUE INDEX own_index ON imported_conversations (user_id, title, conversation_id) WHERE title <> '';
CREATE INDEX own_chunks ON conversation_chunks (title);
CREATE VIEW own_view AS SELECT c.id, i."own ""note" AS note FROM conversation_chunks c
    JOIN imported_conversations i USING (user_id, conversation_id);
CREATE VIEW conversations AS SELECT 'mine' AS whose;
CREATE TRIGGER own_update AFTER UPDATE ON imported_conversations BEGIN INSERT INTO own_log VALUES ('update'); END;
CREATE TRIGGER own_insert AFTER INSERT ON imported_conversations BEGIN INSERT INTO own_log VALUES ('insert'); END;
CREATE TRIGGER own_delete AFTER DELETE ON import_rejects BEGIN INSERT INTO own_log VALUES ('delete'); END;
CREATE TRIGGER own_spelling AFTER DELETE ON Imported_Conversations BEGIN INSERT INTO own_log VALUES ('gone'); END;
CREATE TRIGGER own_of_chunks AFTER DELETE ON conversation_chunks BEGIN
    UPDATE imported_conversations SET title = title WHERE conversation_id = old.conversation_id; END;
"""


@pytest.fixture
def old(tmp_path: Path) -> SqliteFile:
    """A file of version 6 with a conversation and a reject."""
    file = SqliteFile(tmp_path)
    with closing(sqlite3.connect(file.path)) as db:
        for migration in migrations("sqlite")[:6]:
            db.executescript(migration.sql)
        db.executescript(f"{ROWS} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 6; {OWN}")
    return file


def test_rows_stay_and_get_product_and_named_hashes_when_a_file_is_brought_up_to_date(old: SqliteFile) -> None:
    with closing(old.open()) as sink:
        assert sink.known("u1", f"sha256:{SETTINGS}", [f"sha256:{DIGITS}"]) == {f"sha256:{DIGITS}": LedgerEntry("i", 1)}
        (kept,) = sink.rejects()
        assert (kept.product, kept.raw_hash, kept.position) == ("chatgpt", f"sha256:{DIGITS}", 3)
        assert sink.reject_bytes("u1", kept.raw_hash) == b"\x00\xff"
    with old.connected() as db:
        chunks = db.execute("SELECT id, product, spans, content FROM conversation_chunks").fetchall()
        ledger = db.execute(
            "SELECT rowid, product, has_messages, is_starred, other_hash FROM imported_conversations"
        ).fetchall()
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert chunks == [("id-1", "chatgpt", "[]", "C")]
    assert ledger == [(2, "chatgpt", 0, 0, None)]


def test_what_users_have_added_stays_when_a_file_is_brought_up_to_date(old: SqliteFile) -> None:
    with old.connected() as db:
        own = "SELECT type, name, sql FROM sqlite_schema WHERE name LIKE 'own%' OR name = 'conversations' ORDER BY name"
        before = db.execute(own).fetchall()
    old.open().close()
    with old.connected() as db:
        assert db.execute(own).fetchall() == before
        assert db.execute("SELECT * FROM own_log").fetchall() == []
        assert db.execute("SELECT id, note FROM own_view").fetchall() == [("id-1", "read")]
        assert db.execute("SELECT embedding FROM conversation_chunks").fetchall() == [(b"\x01\x02",)]
        assert db.execute("SELECT note FROM import_rejects").fetchall() == [("looked at",)]
        assert db.execute('SELECT "own ""note", length FROM imported_conversations').fetchall() == [("read", 1)]
        assert db.execute("SELECT * FROM conversations").fetchall() == [("mine",)]
        assert not db.execute("SELECT 1 FROM sqlite_schema WHERE sql LIKE '%with_old_key%'").fetchall()
    with closing(old.open()) as sink:
        assert sink.write(import_of(1), SETTINGS, [rows_for("a")], []) == [WriteResult(2, 1)]
    with old.connected() as db:
        assert db.execute("SELECT count(*) FROM own_log").fetchone()[0] >= 2
        assert db.execute('SELECT "own ""note" FROM imported_conversations').fetchall() == [("read",)]


def test_keys_hold_the_product_when_a_file_is_brought_up_to_date(old: SqliteFile) -> None:
    old.open().close()
    with old.connected() as db:
        for table in ("imported_conversations", "import_rejects"):
            key = db.execute("SELECT name FROM pragma_table_info(?) WHERE pk ORDER BY pk", (table,)).fetchall()
            assert ("product",) in key


def test_file_stays_as_it_was_when_a_table_has_another_key(tmp_path: Path) -> None:
    file = SqliteFile(tmp_path)
    with closing(sqlite3.connect(file.path)) as db:
        for migration in migrations("sqlite")[:6]:
            db.executescript(re.sub(r"PRIMARY KEY \(user_id, raw_hash\)", "UNIQUE (raw_hash)", migration.sql))
        db.executescript(f"{ROWS} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 6")
        before = list(db.iterdump())
    with pytest.raises(SinkError, match="import_rejects cannot be brought up to date") as caught:
        file.open()
    assert "new file" in (caught.value.hint or "")
    with file.connected() as db:
        assert list(db.iterdump()) == before


@pytest.mark.parametrize(
    ("added", "told"),
    [
        ("CREATE TABLE Conversation_Messages (mine PRIMARY KEY)", "a table Conversation_Messages"),
        ("CREATE VIEW conversation_messages AS SELECT 1 AS mine", "a view conversation_messages"),
        ("CREATE INDEX Conversation_messages ON own_log (what)", "an index Conversation_messages"),
        ("CREATE INDEX conversation_messages_by_TIME ON own_log (what)", "an index conversation_messages_by_TIME"),
        ("CREATE INDEX conversations ON own_log (what)", "an index conversations"),
        ("CREATE TABLE Imported_conversations_with_old_key (a)", "a table Imported_conversations_with_old_key"),
        ("CREATE TABLE import_rejects_with_old_key (a)", "a table import_rejects_with_old_key"),
        ("CREATE TABLE profile_facts (mine)", "a table profile_facts"),
        ("CREATE INDEX Profile_Runs_running ON own_log (what)", "an index Profile_Runs_running"),
        ("ALTER TABLE imported_conversations ADD COLUMN Model", "a column imported_conversations.Model"),
        ("ALTER TABLE conversation_chunks ADD COLUMN spans", "a column conversation_chunks.spans"),
        ("ALTER TABLE conversation_chunks ADD COLUMN product", "a column conversation_chunks.product"),
        ("ALTER TABLE import_rejects ADD COLUMN product AS (reason)", "a column import_rejects.product"),
        (
            "CREATE TABLE conversation_messages (mine); ALTER TABLE imported_conversations ADD COLUMN project",
            "a table conversation_messages, a column imported_conversations.project",
        ),
    ],
)
def test_file_stays_as_it_was_when_its_user_has_taken_a_name_of_ours(old: SqliteFile, added: str, told: str) -> None:
    with old.connected() as db:
        db.execute("DROP VIEW conversations")
        db.executescript(added)
        before = list(db.iterdump())
    with pytest.raises(SinkError, match=re.escape(f"cannot be brought up to date: it has {told} of its own")) as caught:
        old.open()
    assert "Rename" in (caught.value.hint or "")
    with old.connected() as db:
        assert list(db.iterdump()) == before


@pytest.mark.parametrize(
    ("table", "reference"),
    [
        ("imported_conversations", "imported_conversations (user_id, conversation_id)"),
        ("imported_conversations", "Imported_Conversations (Conversation_id, user_id)"),
        ("imported_conversations", "imported_conversations"),
        ("import_rejects", "import_rejects (user_id, raw_hash)"),
        ("import_rejects", "import_rejects"),
    ],
)
def test_file_stays_as_it_was_when_a_foreign_key_refers_to_an_old_key(
    old: SqliteFile, table: str, reference: str
) -> None:
    with old.connected() as db:
        db.execute(f"CREATE TABLE own_tags (a, b, FOREIGN KEY (a, b) REFERENCES {reference})")
        before = list(db.iterdump())
    with pytest.raises(SinkError, match=f"{table} cannot be brought up to date: .* own_tags") as caught:
        old.open()
    assert "product" in (caught.value.hint or "")
    with old.connected() as db:
        assert list(db.iterdump()) == before


def test_foreign_key_to_an_index_of_its_user_stays_when_a_file_is_brought_up_to_date(old: SqliteFile) -> None:
    with old.connected() as db:
        db.execute("CREATE UNIQUE INDEX own_titles ON imported_conversations (user_id, title)")
        db.execute(
            "CREATE TABLE own_tags (a, b, FOREIGN KEY (a, b) REFERENCES imported_conversations (user_id, title))"
        )
    old.open().close()
    with old.connected() as db:
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("INSERT INTO own_tags VALUES ('u1', 'T')")
        with pytest.raises(sqlite3.IntegrityError):
            db.execute("INSERT INTO own_tags VALUES ('u1', 'other')")


def test_view_of_conversations_has_links_and_counts(tmp_path: Path) -> None:
    file = SqliteFile(tmp_path)
    with closing(file.open()) as sink:
        of_file = rows_for("unidentified-0123456789abcdef", chunks=0)
        sink.write(import_of(1), SETTINGS, [rows_for("a", chunks=3), rows_for("b", chunks=0), of_file], [])
    with file.connected() as db:
        found = db.execute(
            "SELECT conversation_id, product, title, link, model, is_starred, is_archived, project, memory_scope,"
            " message_count, chunk_count, thread_count FROM conversations ORDER BY conversation_id"
        ).fetchall()
    of_both = ("gpt-4o", 1, 0, "g-p-1", None)
    assert found == [
        ("a", "chatgpt", "v1", "https://chatgpt.com/c/a", *of_both, 3, 3, 1),
        ("b", "chatgpt", "v1", "https://chatgpt.com/c/b", *of_both, 0, 0, 0),
        ("unidentified-0123456789abcdef", "chatgpt", "v1", None, *of_both, 0, 0, 0),
    ]
