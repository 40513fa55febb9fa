"""Messages in a Postgres: what the migration to them makes of earlier tables, and how they are written and removed."""

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from ray_import.destinations.base import Pruned, Sink, WriteResult
from ray_import.destinations.migrations import migrations
from ray_import.destinations.postgres.psycopg import PostgresDatabase
from ray_import.destinations.postgres.sink import DatabaseSink
from ray_import.errors import SinkError
from tests.contract.destinations import (
    SETTINGS,
    PostgresTables,
    SupabaseTables,
    import_of,
    rows_for,
    twice_the_same_chunk,
)
from tests.contract.test_postgres_tables import ANA, BEN, EARLIER, as_user, migrate
from tests.support.gateway.postgres import Database
from tests.support.gateway.server import Gateway

BEFORE_MESSAGES = 10
HASH, OTHER, SETTINGS_HASH = "0123456789abcdef" * 2, "f" * 32, "0123456789abcdef"

WRITTEN_BEFORE: dict[str, Any] = {
    "user_id": "u1", "import_id": "import-0", "settings_hash": SETTINGS_HASH, "imported_at": "2026-01-01T00:00:00Z",
    "conversations": [
        {
            "conversation_id": "a", "content_hash": HASH, "title": "Tides", "create_time": None,
            "update_time": "2023-11-14T00:00:00Z", "node_count": 5, "message_count": 2, "chunk_count": 1,
        },
        {
            "conversation_id": "b", "content_hash": OTHER, "title": "Moon", "create_time": None,
            "update_time": None, "node_count": 1, "message_count": 0, "chunk_count": 0,
        },
    ],
    "rejects": [
        {
            "member": "conversations.json", "position": 2, "conversation_id": "c", "reason": "invalid_json",
            "raw": "YmFk", "raw_hash": HASH,
        },
    ],
    "settled": [],
}  # fmt: skip
CHUNK_BEFORE: dict[str, Any] = {
    "id": ANA, "user_id": "u1", "conversation_id": "a", "thread": "main", "title": "Tides", "content": "before",
    "chunk_tier": "medium", "chunk_index": 0, "chunk_count": 1, "token_count": 3, "message_count": 2,
    "node_ids": ["n0"], "created_at": None, "is_recent": False, "import_id": "import-0",
}  # fmt: skip


@pytest.fixture
def before(supabase_database: Database) -> Database:
    """A project's database with the tables as they were before messages, and with rows in them."""
    with supabase_database.connected() as db:
        for migration in migrations("postgres")[:BEFORE_MESSAGES]:
            db.execute(migration.sql.encode())
        db.execute("SELECT ray_import_write(%s, %s::json)", (Jsonb(WRITTEN_BEFORE), Jsonb([CHUNK_BEFORE])))
        db.execute("UPDATE imported_conversations SET other_hash = %s WHERE conversation_id = 'a'", (OTHER,))
        db.execute(
            "INSERT INTO import_runs (id, what, settings_hash, status) VALUES ('run-1', 'x', %s, 'complete')",
            (SETTINGS_HASH,),
        )
    return supabase_database


def asked(database: Database, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with database.connected() as db:
        return db.execute(query.encode()).fetchall()


KEYS = """
SELECT c.relname, array_agg(a.attname::text ORDER BY array_position(i.indkey::int2[], a.attnum))
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
WHERE i.indisprimary AND c.relname IN ('imported_conversations', 'import_rejects', 'conversation_messages')
GROUP BY c.relname ORDER BY c.relname
"""


def test_migrate_keeps_rows_and_names_hashes_when_tables_are_of_the_version_before(before: Database) -> None:
    assert migrate(before) == [step.name for step in migrations("postgres")[BEFORE_MESSAGES:]]
    ledger = (
        "SELECT conversation_id, product, content_hash, other_hash, settings_hash, title, message_count, has_messages"
    )
    assert asked(before, f"{ledger} FROM imported_conversations ORDER BY 1") == [
        ("a", "chatgpt", f"sha256:{HASH}", f"sha256:{OTHER}", f"sha256:{SETTINGS_HASH}", "Tides", 2, False),
        ("b", "chatgpt", f"sha256:{OTHER}", None, f"sha256:{SETTINGS_HASH}", "Moon", 0, False),
    ]
    assert asked(before, "SELECT product, raw_hash, raw FROM import_rejects") == [("chatgpt", f"sha256:{HASH}", b"bad")]
    assert asked(before, "SELECT settings_hash FROM import_runs") == [(f"sha256:{SETTINGS_HASH}",)]
    assert asked(before, "SELECT product, content, spans FROM conversation_chunks") == [("chatgpt", "before", None)]
    assert asked(before, KEYS) == [
        ("conversation_messages", ["user_id", "conversation_id", "product", "node_id"]),
        ("import_rejects", ["user_id", "raw_hash", "product"]),
        ("imported_conversations", ["user_id", "conversation_id", "product"]),
    ]
    with closing(PostgresTables(before).open()) as sink:
        assert sink.known("u1", f"sha256:{SETTINGS_HASH}", [f"sha256:{HASH}"])[f"sha256:{HASH}"].message_count == 2
        assert sink.reject_bytes("u1", f"sha256:{HASH}") == b"bad"
        assert sink.write(import_of(1), SETTINGS, [rows_for("a")], []) == [WriteResult(2, 1)]
    assert asked(before, "SELECT count(*) FROM conversation_messages") == [(2,)]


def test_migrate_changes_nothing_when_the_step_is_pasted_again(before: Database) -> None:
    migrate(before)
    with closing(PostgresTables(before).open()) as sink:
        sink.write(import_of(1), SETTINGS, [rows_for("d")], [])
    first = PostgresTables(before).everything()
    with before.connected() as db:
        for step in migrations("postgres"):
            db.execute(step.sql.encode())
    assert PostgresTables(before).everything() == first
    assert [key for _, key in asked(before, KEYS)][1:] == [
        ["user_id", "raw_hash", "product"],
        ["user_id", "conversation_id", "product"],
    ]


def test_migrate_names_what_uses_a_key_when_a_table_of_the_user_refers_to_it(before: Database) -> None:
    with before.connected() as db:
        db.execute(
            "CREATE TABLE notes (user_id text, conversation_id text,"
            " FOREIGN KEY (user_id, conversation_id) REFERENCES imported_conversations)"
        )
    with pytest.raises(SinkError) as caught:
        migrate(before)
    assert "imported_conversations" in caught.value.message
    assert "notes" in caught.value.message
    assert "product" in caught.value.hint
    assert asked(before, "SELECT content_hash FROM imported_conversations ORDER BY 1") == [(HASH,), (OTHER,)]


def test_migrate_succeeds_when_a_deferred_trigger_of_the_user_is_on_the_ledger(before: Database) -> None:
    with before.connected() as db:
        db.execute("""
            CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON imported_conversations DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION look()
        """)
    migrate(before)
    assert asked(before, "SELECT content_hash FROM imported_conversations ORDER BY 1")[0] == (f"sha256:{HASH}",)


@pytest.mark.parametrize("way", ["migrate", "pasted"])
def test_migrate_refuses_and_changes_nothing_when_another_service_has_conversation_messages(
    before: Database, way: str
) -> None:
    with before.connected() as db:
        db.execute("CREATE TABLE conversation_messages (id int, user_id text, created_at timestamptz)")
        db.execute("GRANT ALL ON conversation_messages TO anon")
    if way == "migrate":
        with pytest.raises(SinkError, match="conversation_messages has no columns product"):
            migrate(before)
    else:
        with before.connected() as db, pytest.raises(Exception, match="conversation_messages without the columns"):
            db.execute(migrations("postgres")[BEFORE_MESSAGES].sql.encode())
    assert asked(before, "SELECT has_table_privilege('anon', 'conversation_messages', 'insert')") == [(True,)]
    assert asked(before, "SELECT ray_import_version()") == [(BEFORE_MESSAGES,)]


@pytest.mark.parametrize("kind", ["TABLE conversations (id int)", "VIEW conversations AS SELECT 1 AS id"])
def test_migrate_leaves_conversations_alone_when_it_is_the_users(before: Database, kind: str) -> None:
    with before.connected() as db:
        db.execute(f"CREATE {kind}".encode())
        db.execute("GRANT SELECT ON conversations TO anon")
    migrate(before)
    assert asked(before, "SELECT attname::text FROM pg_attribute WHERE attrelid = 'conversations'::regclass"
                         " AND attnum > 0") == [("id",)]  # fmt: skip
    assert asked(before, "SELECT has_table_privilege('anon', 'conversations', 'select')") == [(True,)]


@pytest.mark.parametrize("table", ["conversation_messages", "imported_conversations", "import_rejects"])
def test_migrate_names_the_key_when_it_was_dropped(migrated_database: Database, table: str) -> None:
    with migrated_database.connected() as db:
        db.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey".encode())
    with pytest.raises(SinkError, match=rf"{table} has no unique key \(user_id, ") as caught:
        migrate(migrated_database)
    with migrated_database.connected() as db:
        db.execute(caught.value.hint.removeprefix("Add it: ").rstrip(".").encode())
    assert migrate(migrated_database) == []


@pytest.mark.parametrize("kind", ["uuid", "bigint", "character varying(100)", "text"])
def test_messages_have_the_user_ids_of_chunks_when_an_earlier_table_has_its_own(database: Database, kind: str) -> None:
    user_id = {"uuid": ANA, "bigint": "7"}.get(kind, "ana")
    with database.connected() as db:
        db.execute(EARLIER.replace("user_id uuid", f"user_id {kind}").encode())
    migrate(database)
    one, two = import_of(1, user_id), import_of(2, user_id)
    with closing(PostgresTables(database).open()) as sink:
        rows = [rows_for("a", job=one), rows_for("b", job=one)]
        assert sink.write(one, SETTINGS, rows, []) == [WriteResult(2, 0)] * 2
        newer = rows_for("a", version="v2", chunks=3, job=two, update_time=1_800_000_000.0)
        assert sink.write(two, SETTINGS, [newer], []) == [WriteResult(3, 2)]
        assert sink.prune(two) == Pruned(1, 2)
    found = "SELECT pg_typeof(user_id)::text, user_id::text, text FROM conversation_messages ORDER BY position"
    assert asked(database, found) == [(kind.partition("(")[0], user_id, "v2 text")] * 3


def test_user_reads_their_own_messages_when_user_ids_are_uuids(supabase_database: Database) -> None:
    with supabase_database.connected() as db:
        db.execute(EARLIER)
    migrate(supabase_database)
    with closing(PostgresTables(supabase_database).open()) as sink:
        for number, user_id in enumerate((ANA, BEN)):
            job = import_of(number, user_id)
            sink.write(job, SETTINGS, [rows_for("a", chunks=number + 1, job=job)], [])
    with supabase_database.connected() as db, db.transaction():
        as_user(db, BEN)
        assert db.execute("SELECT user_id::text, position FROM conversation_messages ORDER BY 2").fetchall() == [
            (BEN, 0),
            (BEN, 1),
        ]
        assert db.execute("SELECT user_id, message_count FROM conversations").fetchall() == [(BEN, 2)]


def test_texts_are_packed_by_lz4_when_the_server_has_it(migrated_database: Database) -> None:
    query = """SELECT 'lz4' = ANY (enumvals), attcompression::text FROM pg_settings, pg_attribute
        WHERE name = 'default_toast_compression'
            AND attrelid = 'conversation_messages'::regclass AND attname = 'text'"""
    has_lz4, compression = asked(migrated_database, query)[0]
    assert compression == ("l" if has_lz4 else "")


def test_conversations_shows_titles_links_and_what_the_export_says(migrated_database: Database) -> None:
    ids = ("6f9619ff-8b86-4d01-b42d-00cf4fc964ff", f"sha256:{HASH}", "unidentified-0123456789abcdef")
    with closing(PostgresTables(migrated_database).open()) as sink:
        rows = [rows_for(name) for name in ids]
        sink.write(import_of(1), SETTINGS, [replace(rows[0], memory_scope="project"), *rows[1:]], [])
    query = """SELECT conversation_id, link, title, model, is_starred, is_archived, project, memory_scope,
        message_count, thread_count"""
    assert asked(migrated_database, f"{query} FROM conversations ORDER BY conversation_id") == [
        (ids[0], f"https://chatgpt.com/c/{ids[0]}", "v1", "gpt-4o", True, False, "g-p-1", "project", 2, 1),
        (ids[1], None, "v1", "gpt-4o", True, False, "g-p-1", None, 2, 1),
        (ids[2], None, "v1", "gpt-4o", True, False, "g-p-1", None, 2, 1),
    ]


@pytest.fixture(params=["postgres", "supabase"])
def sink(request: pytest.FixtureRequest, migrated_supabase: Gateway, migrated_database: Database) -> Iterator[Sink]:
    """The same tables over both ways to them."""
    tables = PostgresTables(migrated_database)
    if request.param == "supabase":
        project = migrated_supabase.project
        tables = SupabaseTables(migrated_database, project.url, SecretStr(project.secret_key))
    with closing(tables.open()) as opened:
        yield opened


def test_no_message_is_left_when_the_conversation_is_refused(sink: Sink, migrated_database: Database) -> None:
    assert sink.write(import_of(1), SETTINGS, [rows_for("a")], []) == [WriteResult(2, 0)]
    with migrated_database.connected() as db:
        db.execute("ALTER TABLE conversation_messages ADD CHECK (text <> 'v2 forbidden')")
    newer = 1_800_000_000.0
    bad_message = rows_for("a", version="v2", text="forbidden", job=import_of(2), update_time=newer)
    bad_chunk = twice_the_same_chunk(rows_for("b", job=import_of(2)))
    good = rows_for("c", job=import_of(2))
    outcomes = sink.write(import_of(2), SETTINGS, [bad_message, bad_chunk, good], [])
    assert [one.refused for one in outcomes] == ["23514", "23505", ""]
    query = "SELECT conversation_id, text FROM conversation_messages ORDER BY 1, position"
    assert asked(migrated_database, query) == [("a", "v1 text")] * 2 + [("c", "v1 text")] * 2
    assert asked(migrated_database, "SELECT DISTINCT content FROM conversation_chunks") == [("v1 text",)]


def test_other_products_stay_when_one_is_pruned_and_replaced(sink: Sink, migrated_database: Database) -> None:
    other = replace(import_of(1), product="other")
    rows = rows_for("a")
    of_other = replace(
        rows,
        product="other",
        chunks=tuple(row._replace(product="other", id=row.id[:-1] + "0") for row in rows.chunks[:1]),
        messages=tuple(row._replace(product="other") for row in rows.messages[:1]),
    )
    assert sink.write(other, SETTINGS, [of_other], []) == [WriteResult(1, 0)]
    assert sink.write(import_of(2), SETTINGS, [rows_for("b", job=import_of(2)), rows], []) == [WriteResult(2, 0)] * 2
    newer = rows_for("b", version="v2", job=import_of(3), update_time=1_800_000_000.0)
    assert sink.write(import_of(3), SETTINGS, [newer], []) == [WriteResult(2, 2)]
    assert sink.known("u1", SETTINGS, ["a-v1"])["a-v1"].message_count == 2
    assert sink.prune(import_of(3)) == Pruned(1, 2)
    for table in ("conversation_chunks", "conversation_messages"):
        query = f"SELECT product, conversation_id, count(*)::int FROM {table} GROUP BY 1, 2 ORDER BY 1"
        assert asked(migrated_database, query) == [("chatgpt", "b", 2), ("other", "a", 1)]


def test_columns_and_triggers_of_the_user_on_messages_work_when_conversations_are_replaced(
    sink: Sink, migrated_database: Database
) -> None:
    with migrated_database.connected() as db:
        db.execute("""
            CREATE TABLE own_log (what text);
            GRANT INSERT ON own_log TO service_role;
            ALTER TABLE conversation_messages ADD COLUMN "own note" text DEFAULT 'mine', ADD COLUMN embedding real[],
                ADD COLUMN length integer GENERATED ALWAYS AS (length(text)) STORED;
            CREATE FUNCTION own_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN INSERT INTO own_log VALUES (lower(tg_op)); RETURN coalesce(new, old); END $$;
            CREATE TRIGGER own AFTER INSERT OR DELETE ON conversation_messages
                FOR EACH ROW EXECUTE FUNCTION own_trigger();
        """)
    sink.write(import_of(1), SETTINGS, [rows_for("a"), rows_for("b")], [])
    with migrated_database.connected() as db:
        db.execute("""UPDATE conversation_messages SET "own note" = 'read', embedding = '{1}'""")
    newer = rows_for("a", version="v2", chunks=3, job=import_of(2), update_time=1_800_000_000.0)
    assert sink.write(import_of(2), SETTINGS, [newer], []) == [WriteResult(3, 2)]
    assert migrate(migrated_database) == []
    query = 'SELECT conversation_id, "own note", embedding, length FROM conversation_messages ORDER BY 1, position'
    assert asked(migrated_database, query) == [("a", "mine", None, 7)] * 3 + [("b", "read", [1.0], 7)] * 2
    assert asked(migrated_database, "SELECT what, count(*)::int FROM own_log GROUP BY 1 ORDER BY 1") == [
        ("delete", 2),
        ("insert", 7),
    ]


def test_earlier_messages_are_deleted_when_a_conversation_comes_without_messages(
    sink: Sink, migrated_database: Database
) -> None:
    sink.write(import_of(1), SETTINGS, [rows_for("a"), rows_for("b")], [])
    job = import_of(2)
    assert sink.write(job, "without", [rows_for("a", job=job, messages=False)], []) == [WriteResult(2, 2)]
    assert asked(migrated_database, "SELECT DISTINCT conversation_id FROM conversation_messages") == [("b",)]
    query = "SELECT conversation_id, has_messages, message_count FROM conversations ORDER BY 1"
    assert asked(migrated_database, query) == [("a", False, 2), ("b", True, 2)]


def test_the_importers_role_reads_messages_and_conversations_of_all_users(migrated_database: Database) -> None:
    with migrated_database.connected() as db:
        db.execute("ALTER ROLE ray_importer LOGIN")
    with closing(DatabaseSink(PostgresDatabase(migrated_database.dsn_as("ray_importer")))) as sink:
        for number, user_id in enumerate(("u1", "u2")):
            job = import_of(number, user_id)
            sink.write(job, SETTINGS, [rows_for("a", job=job)], [])
    with migrated_database.connected() as db, db.transaction():
        db.execute("SET LOCAL ROLE ray_importer")
        assert db.execute(
            "SELECT user_id, count(*)::int FROM conversation_messages GROUP BY 1 ORDER BY 1"
        ).fetchall() == [
            ("u1", 2),
            ("u2", 2),
        ]
        assert db.execute("SELECT user_id FROM conversations ORDER BY 1").fetchall() == [("u1",), ("u2",)]


PAGE = (Path(__file__).parents[2] / "docs" / "postgres.md").read_text()
SECTION = PAGE.partition("## Messages and conversations")[2].partition("\n## ")[0]
PER_MONTH, ONE_CONVERSATION, FROM_A_PLACE = re.findall(r"```sql\n(.*?);\n```", SECTION, re.DOTALL)
TEXTS = ("Wie hoch ist die Flut \u00fcberall?", "\U0001f30a In the Bay of Fundy 16 metres.\nElsewhere less.")


def test_queries_of_the_docs_give_messages_by_month_conversation_and_place(migrated_database: Database) -> None:
    job = import_of(1, "ada")
    rows = rows_for("a", job=job)
    content = f"# Tides \u00e9\n\nUser: {TEXTS[0]}\n\nAssistant: {TEXTS[1]}"
    spans = []
    for node, text in enumerate(TEXTS):
        place = len(content.partition(text)[0].encode())
        size = len(text.encode())
        spans.append({"node": f"n{node}", "at": place, "start": 0, "fresh": 0, "end": size, "context": False})
    chunk = rows.chunks[0]._replace(content=content, spans=orjson.dumps(spans).decode())
    messages = tuple(
        message._replace(text=text, role=role, created_at="2025-03-04T05:06:07.000Z")
        for message, text, role in zip(rows.messages, TEXTS, ("user", "assistant"), strict=True)
    )
    title = "Why there are two tides a day"
    with closing(PostgresTables(migrated_database).open()) as sink:
        sink.write(job, SETTINGS, [replace(rows, title=title, chunks=(chunk,), messages=messages)], [])
        sink.write(import_of(2), SETTINGS, [replace(rows_for("a"), title=title)], [])
    assert asked(migrated_database, PER_MONTH) == [("2025-03", 1)]
    assert [(role, text) for role, _, text in asked(migrated_database, ONE_CONVERSATION)] == [
        ("user", TEXTS[0]),
        ("assistant", TEXTS[1].partition("\n")[0]),
    ]
    [(_, role, _, text)] = asked(migrated_database, FROM_A_PLACE)
    assert (role, text) == ("assistant", TEXTS[1].partition("\n")[0])
