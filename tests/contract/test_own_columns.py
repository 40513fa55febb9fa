"""Columns, indexes, views and triggers that users add to any destination's tables: imports work as without them."""

from contextlib import closing
from pathlib import Path

from ray_import.destinations.base import Pruned, RunKey, RunUser, WriteResult
from ray_import.settings import ImportSettings
from tests.contract.destinations import (
    SETTINGS,
    DestinationUnderTest,
    PostgresTables,
    SqliteFile,
    import_of,
    reject_of,
    rows_for,
)
from tests.contract.engines import imported, reimported
from tests.contract.profiles import answered, at, fact_of, request_of, unit_of, version_of
from tests.support.generate import write_export

TABLES = (
    "conversation_chunks", "conversation_messages", "imported_conversations", "import_jobs", "import_rejects",
    "import_runs", "import_run_users", "profile_runs", "profile_requests", "profile_units", "profile_facts",
    "profile_fact_units", "profile_versions",
)  # fmt: skip
SQLITE = """
CREATE TABLE own_log (what TEXT);
ALTER TABLE conversation_chunks ADD COLUMN embedding BLOB;
ALTER TABLE conversation_chunks ADD COLUMN length INTEGER GENERATED ALWAYS AS (length(content)) VIRTUAL;
CREATE INDEX own_title ON conversation_chunks (title);
CREATE VIEW own_view AS SELECT c.*, i.title AS conversation FROM conversation_chunks c
    JOIN imported_conversations i USING (user_id, conversation_id);
CREATE TRIGGER own_insert AFTER INSERT ON conversation_chunks BEGIN INSERT INTO own_log VALUES ('insert'); END;
CREATE TRIGGER own_delete AFTER DELETE ON conversation_chunks BEGIN INSERT INTO own_log VALUES ('delete'); END;
"""
POSTGRES = """
CREATE TABLE own_log (what text);
ALTER TABLE conversation_chunks ADD COLUMN embedding real[],
    ADD COLUMN length integer GENERATED ALWAYS AS (length(content)) STORED;
CREATE INDEX own_title ON conversation_chunks (title);
CREATE VIEW own_view AS SELECT c.*, i.title AS conversation FROM conversation_chunks c
    JOIN imported_conversations i ON i.conversation_id = c.conversation_id AND i.user_id = c.user_id::text;
CREATE FUNCTION own_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO own_log VALUES (lower(tg_op));
    RETURN coalesce(new, old);
END $$;
CREATE TRIGGER own_insert AFTER INSERT ON conversation_chunks FOR EACH ROW EXECUTE FUNCTION own_trigger();
CREATE TRIGGER own_delete AFTER DELETE ON conversation_chunks FOR EACH ROW EXECUTE FUNCTION own_trigger();
CREATE TRIGGER own_before BEFORE INSERT OR UPDATE ON imported_conversations
    FOR EACH ROW EXECUTE FUNCTION own_trigger();
GRANT INSERT ON own_log TO service_role;
"""
"""The trigger's function names its table without a schema, as most do."""


def changed(destination: DestinationUnderTest, *scripts: str) -> DestinationUnderTest:
    """The destination with tables and `scripts`."""
    destination.open().close()
    if isinstance(destination, SqliteFile):
        with destination.connected() as db:
            for script in scripts:
                db.executescript(script)
    else:
        assert isinstance(destination, PostgresTables)
        with destination.database.connected() as db:
            for script in scripts:
                db.execute(script.encode())
    return destination


def own_things(destination: DestinationUnderTest) -> list[str]:
    """A script for all that a user may add, in the destination's language."""
    columns = [f"ALTER TABLE {table} ADD COLUMN \"own note\" TEXT DEFAULT 'mine'" for table in TABLES]
    return [SQLITE if isinstance(destination, SqliteFile) else POSTGRES, *columns]


def asked(destination: DestinationUnderTest, query: str) -> list[tuple[object, ...]]:
    """Rows of a query, on a connection of its own."""
    if isinstance(destination, SqliteFile):
        with destination.connected() as db:
            return db.execute(query).fetchall()
    assert isinstance(destination, PostgresTables)
    with destination.database.connected() as db:
        return db.execute(query.encode()).fetchall()


def test_sink_writes_replaces_and_prunes_when_users_have_added_columns_and_triggers(
    destination: DestinationUnderTest,
) -> None:
    changed(destination, *own_things(destination))
    first, second = import_of(1), import_of(2)
    with closing(destination.open()) as sink:
        assert sink.start_job(first, "x", "host/1") is None
        assert (
            sink.write(first, SETTINGS, [rows_for("a"), rows_for("b")], [reject_of(b"bad")]) == [WriteResult(2, 0)] * 2
        )
        assert sink.update_job(first.id, {}, "complete")
    changed(
        destination,
        "UPDATE conversation_chunks SET embedding = NULL WHERE conversation_id = 'a'",
        "UPDATE imported_conversations SET \"own note\" = 'read' WHERE conversation_id = 'a'",
    )
    with closing(destination.open()) as sink:
        assert sink.start_job(second, "x", "host/1") is None
        newer = rows_for("a", version="v2", chunks=3, job=second, update_time=1_800_000_000.0)
        assert sink.write(second, SETTINGS, [newer], []) == [WriteResult(3, 2)]
        assert sink.known("u1", SETTINGS, ["a-v2"]).keys() == {"a-v2"}
        sink.mark_seen(second, ["a-v2"], ["a"])
        assert sink.prune(second) == Pruned(1, 2)
        assert [job.id for job in sink.jobs()] == [second.id, first.id]
        (kept,) = sink.rejects()
        assert sink.reject_bytes("u1", kept.raw_hash) == b"bad"
    assert destination.content() == {"u1": {"a": ["v2 text"] * 3}}
    assert asked(destination, 'SELECT "own note" FROM imported_conversations') == [("read",)]
    assert asked(destination, "SELECT count(*) FROM own_view") == [(3,)]
    log = "SELECT what, count(*) FROM own_log WHERE what <> 'update' GROUP BY what ORDER BY what"
    ledger = 0 if isinstance(destination, SqliteFile) else 3  # a trigger BEFORE an insert that then finds a conflict
    assert asked(destination, log) == [("delete", 4), ("insert", 7 + ledger)]


def test_runs_over_users_go_on_when_users_have_added_columns(destination: DestinationUnderTest) -> None:
    changed(destination, *own_things(destination))
    key = RunKey("users.jsonl", SETTINGS)
    user = RunUser("u1", "a.zip", "complete", 1, "v1", None, {"seen": 1})
    with closing(destination.open()) as sink:
        assert sink.start_run("run-1", key, "host/1") is None
        assert sink.add_users("run-1", [RunUser("u1", "a.zip")]) == [RunUser("u1", "a.zip")]
        assert sink.save_users("run-1", "host/1", [user])
        assert sink.run_users("run-1") == [user]
        sink.complete_run("run-1", "host/1")
        assert sink.versions(SETTINGS) == {"u1": ("a.zip", "v1")}


def test_profile_is_stored_when_users_have_added_columns(destination: DestinationUnderTest) -> None:
    changed(destination, *own_things(destination))
    with closing(destination.open()) as sink:
        sink.write(import_of(1), SETTINGS, [rows_for("a")], [])
        assert [one.conversation_id for one in sink.profile_conversations("u1")] == ["a"]
        assert list(map(len, sink.messages_of("u1", [("chatgpt", "a")]))) == [2]
        assert sink.start_profile("u1", "run-1", "host/1", at(0)) is None
        sink.save_requests("u1", [request_of(1)])
        assert sink.settle_request("u1", answered(request_of(1)), [unit_of(1)], [fact_of(1)])
        sink.save_version("u1", version_of(1))
        changed(destination, "UPDATE profile_facts SET \"own note\" = 'read'")
        sink.update_facts("u1", [fact_of(1, seen=2)])
        assert sink.requests("u1") == [answered(request_of(1))]
        assert sink.units("u1") == [unit_of(1)]
        assert sink.facts("u1") == [fact_of(1, seen=2)]
        assert sink.versions_of("u1") == [version_of(1)]
        assert [run.status for run in sink.profile_runs("u1")] == ["running"]
    assert asked(destination, 'SELECT "own note" FROM profile_facts') == [("read",)]


def test_import_leaves_the_same_rows_when_users_have_added_columns_and_triggers(
    destination: DestinationUnderTest, tmp_path: Path
) -> None:
    export = tmp_path / "conversations.json"
    write_export(export, 1, seed=3)
    settings = ImportSettings()
    plain = SqliteFile(tmp_path / "plain")
    plain.folder.mkdir()
    with closing(plain.open()) as sink:
        expected = imported(export, sink, settings)
    changed(destination, *own_things(destination))
    with closing(destination.open()) as sink:
        found = imported(export, sink, settings)
        again = imported(export, sink, settings, "import-2")
        (user,) = reimported({"ben": export}, sink, settings)
    assert (found.status, found.counts, found.error) == (expected.status, expected.counts, None)
    assert (again.counts.imported, again.counts.unchanged) == (0, found.counts.imported)
    assert (user.state, user.error) == (found.status, None)
    by_user = asked(destination, "SELECT user_id, count(*) FROM own_view GROUP BY user_id ORDER BY user_id")
    assert by_user == [("ana", found.counts.chunks_written), ("ben", found.counts.chunks_written)]
