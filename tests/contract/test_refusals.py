"""What a trigger, a policy or a constraint of somebody else's refuses: one conversation, or all; never its text."""

import pickle
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from pydantic import SecretStr

from ray_import.chunks.rows import ImportJob
from ray_import.credentials import SupabaseAccess
from ray_import.destinations.base import RunKey, Sink
from ray_import.destinations.postgres.psycopg import PostgresDatabase
from ray_import.destinations.postgres.sink import DatabaseSink
from ray_import.destinations.postgres.supabase import SupabaseDatabase
from ray_import.errors import ConfigError, EverythingRefused, SinkBusy, SinkError
from ray_import.pipeline.batch import BatchContext, import_batch
from ray_import.pipeline.batching import batches_of
from ray_import.pipeline.sources import open_sources
from tests.contract.destinations import (
    SETTINGS,
    DestinationUnderTest,
    PostgresTables,
    SqliteFile,
    SupabaseTables,
    import_of,
    reject_of,
    rows_for,
)
from tests.contract.engines import STARTED_AT, imported, reimported
from tests.support.gateway.postgres import Database
from tests.support.gateway.server import Gateway
from tests.unit.pipeline.runs import SETTINGS as IN_ONE_BATCH
from tests.unit.pipeline.runs import batches_of_bytes
from tests.unit.source.exports import conversation, exported, written

A_BATCH_EACH = batches_of_bytes(1)
BATCHES = pytest.mark.parametrize("settings", [IN_ONE_BATCH, A_BATCH_EACH], ids=["one batch", "a batch each"])
CANARY = "xyzzy-from-the-garden"
OF_SQLITE = "SQLITE_CONSTRAINT_TRIGGER"
ALL = "NEW.user_id IS NOT NULL"
THE_POISONOUS = f"NEW.content LIKE '%{CANARY}%'"
CODES = ("P0001", "22000", "23505", "23503", "42501", "PT503", "PT401", "RI001", "RI002", "ZZZZZ")
CODES_OF_THE_SERVER = ("58030", "XX000", "0A000", "25001", "28000", "3D000", "3F000", "42P01", "42883", "26000")
PASSING_CODES = ("40001", "40P01", "55P03", "57014", "53100", "08006", "57P01")


def refuse(destination: DestinationUnderTest, when: str, code: str = "P0001", event: str = "INSERT ON {}") -> str:
    """Makes a trigger that refuses chunks with the row's text; gives the code that is to be told."""
    table = "conversation_chunks"
    if isinstance(destination, SqliteFile):
        destination.open().close()
        with destination.connected() as db:
            db.execute(
                f"CREATE TRIGGER refuse BEFORE {event.format(table)} WHEN {when}"
                f" BEGIN SELECT RAISE(ABORT, '{CANARY}'); END"
            )
        return OF_SQLITE
    assert isinstance(destination, PostgresTables)
    with destination.database.connected() as db:
        db.execute(
            f"""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF {when} THEN
                    RAISE EXCEPTION '% {CANARY}', NEW USING ERRCODE = '{code}', DETAIL = NEW, HINT = NEW;
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER refuse BEFORE {event.format(table)} FOR EACH ROW EXECUTE FUNCTION refuse()
            """.encode()
        )
    return code


def quota_of(destination: DestinationUnderTest, chunks: int) -> str:
    schema = "main" if isinstance(destination, SqliteFile) else "public"
    return f"(SELECT count(*) FROM {schema}.conversation_chunks) >= {chunks}"


def no_more_refused(destination: DestinationUnderTest) -> None:
    if isinstance(destination, SqliteFile):
        with destination.connected() as db:
            db.execute("DROP TRIGGER refuse")
    else:
        assert isinstance(destination, PostgresTables)
        with destination.database.connected() as db:
            db.execute("DROP TRIGGER refuse ON conversation_chunks")


def export_of(folder: Path, count: int, *, poison: int | None = None) -> Path:
    """An export of so many conversations, of which that one holds the canary."""
    folder.mkdir(exist_ok=True)
    talks = [conversation(f"c{i}", "Hello?", CANARY if i == poison else "Hello.") for i in range(count)]
    return written(folder / "conversations.json", exported(talks))


def told_by(error: BaseException) -> str:
    """All that an error may show of itself, also where it travels."""
    return f"{error} {error!r} {error.args} {vars(error)} {pickle.dumps(error)!r}"


def told_of(sink: Sink, rows: str = "") -> str:
    """All that a destination tells of its imports, runs and rejects, but for the rejects' bytes."""
    runs = [asdict(user) for run_id in ("run-1", "run-2") for user in sink.run_users(run_id)]
    return f"{list(map(asdict, sink.jobs()))} {runs} {list(map(asdict, sink.rejects()))} {rows}"


def kept(sink: Sink) -> list[tuple[str, str]]:
    return sorted((reject.import_id, reject.reason) for reject in sink.rejects())


# --- one conversation ----------------------------------------------------------------------------


@pytest.mark.parametrize("code", CODES)
def test_one_conversation_is_refused_with_the_code_when_a_trigger_raises_its_text(
    destination: DestinationUnderTest, tmp_path: Path, code: str
) -> None:
    if isinstance(destination, SqliteFile) and code != CODES[0]:
        pytest.skip("SQLite has one code for triggers")
    told = refuse(destination, THE_POISONOUS, code)
    export = export_of(tmp_path / "export", 5, poison=2)
    with closing(destination.open()) as sink:
        summary = imported(export, sink, IN_ONE_BATCH)
        assert (summary.status, summary.counts.imported, summary.counts.rejected) == ("partial", 4, 1)
        assert kept(sink) == [("import-1", f"refused:{told}")]
        assert CANARY not in told_of(sink, orjson.dumps(summary.as_dict()).decode())
    assert sorted(destination.content()["ana"]) == ["c0", "c1", "c3", "c4"]


def test_one_conversation_is_refused_when_a_trigger_rolls_back_the_transaction(tmp_path: Path) -> None:
    file = SqliteFile(tmp_path)
    file.open().close()
    with file.connected() as db:
        db.execute(
            f"CREATE TRIGGER refuse BEFORE INSERT ON conversation_chunks WHEN {THE_POISONOUS}"
            f" BEGIN SELECT RAISE(ROLLBACK, '{CANARY}'); END"
        )
    with closing(file.open()) as sink:
        summary = imported(export_of(tmp_path / "export", 5, poison=2), sink, IN_ONE_BATCH)
        assert (summary.status, summary.counts.imported, kept(sink)) == (
            "partial", 4, [("import-1", f"refused:{OF_SQLITE}")],
        )  # fmt: skip
    assert len(file.content()["ana"]) == 4


@BATCHES
def test_the_only_conversation_is_a_reject_when_it_is_refused(
    destination: DestinationUnderTest, tmp_path: Path, settings: Any
) -> None:
    told = refuse(destination, ALL)
    export = export_of(tmp_path / "export", 1)
    with closing(destination.open()) as sink:
        assert imported(export, sink, settings).status == "partial"
        [user] = reimported({"bob": export}, sink, settings)
        assert (user.state, user.error) == ("partial", None)
        assert [reason for _, reason in kept(sink)] == [f"refused:{told}"] * 2


@pytest.mark.parametrize("code", CODES_OF_THE_SERVER)
def test_an_import_fails_and_keeps_no_rejects_when_the_code_says_that_the_server_is_at_fault(
    server: PostgresTables, tmp_path: Path, code: str
) -> None:
    refuse(server, THE_POISONOUS, code)
    export = export_of(tmp_path / "export", 5, poison=2)
    with closing(server.open()) as sink:
        summary = imported(export, sink, A_BATCH_EACH)
        assert (summary.status, type(summary.error), summary.counts.imported) == ("failed", SinkError, 2)
        assert isinstance(summary.error, SinkError)
        assert (summary.error.code, kept(sink)) == (code, [])
        assert CANARY not in told_of(sink, orjson.dumps(summary.as_dict()).decode() + told_by(summary.error))


# --- everything ----------------------------------------------------------------------------------


@BATCHES
@pytest.mark.parametrize("count", [2, 19, 20, 45])
def test_an_import_fails_and_keeps_no_rejects_when_every_conversation_is_refused_with_one_code(
    destination: DestinationUnderTest, tmp_path: Path, settings: Any, count: int
) -> None:
    told = refuse(destination, ALL)
    export = export_of(tmp_path / "export", count)
    with closing(destination.open()) as sink:
        sink.write(import_of(7, "ana"), SETTINGS, [], [reject_of(b"kept before", reason="truncated")])
        summary = imported(export, sink, settings)
        assert isinstance(summary.error, EverythingRefused)
        assert (summary.status, summary.error.code, summary.problems) == ("failed", told, ())
        assert summary.counts.rejected == summary.counts.seen == 0
        assert told in str(sink.jobs("ana")[0].error)
        [user] = reimported({"bob": export}, sink, settings)
        assert (user.state, user.attempts, told in str(user.error)) == ("failed", 1, True)
        assert kept(sink) == [("import-7", "truncated")]
        assert CANARY not in told_of(sink, orjson.dumps(summary.as_dict()).decode() + told_by(summary.error))
    no_more_refused(destination)
    with closing(destination.open()) as sink:
        assert imported(export, sink, settings, "import-2").counts.imported == count


@BATCHES
@pytest.mark.parametrize("count", [2, 45])
def test_an_import_fails_when_every_conversation_is_refused_but_one_without_messages(
    destination: DestinationUnderTest, tmp_path: Path, settings: Any, count: int
) -> None:
    told = refuse(destination, ALL)
    empty = {**conversation("empty"), "mapping": {}, "current_node": None}
    talks = [empty, *(conversation(f"c{i}", "Hello?", "Hello.") for i in range(count))]
    export = written(tmp_path / "conversations.json", exported(talks))
    with closing(destination.open()) as sink:
        summary = imported(export, sink, settings)
        assert isinstance(summary.error, EverythingRefused)
        assert (summary.error.code, kept(sink)) == (told, [])
        [user] = reimported({"bob": export}, sink, settings)
        assert (user.state, told in str(user.error), kept(sink)) == ("failed", True, [])


def killed_while_importing(export: Path, sink: Sink, import_id: str = "import-1") -> None:
    """Leaves what an import does whose process dies when its workers are done, and before it looks at refusals."""
    work = BatchContext(ImportJob(import_id, "ana", STARTED_AT), IN_ONE_BATCH)
    sink.start_job(work.job, str(export), "host/1")
    for batch in batches_of(open_sources([export], IN_ONE_BATCH.read).conversations(), 1):
        import_batch(batch.payload, batch.frames, work, sink)
    sink.let_go("host/1")


@BATCHES
def test_an_import_fails_and_leaves_no_rejects_when_one_that_was_killed_had_everything_refused(
    destination: DestinationUnderTest, tmp_path: Path, settings: Any
) -> None:
    told = refuse(destination, ALL)
    export = export_of(tmp_path / "export", 30)
    with closing(destination.open()) as sink:
        killed_while_importing(export, sink)
        assert len(kept(sink)) == 30
        error = imported(export, sink, settings, "import-2").error
        assert isinstance(error, EverythingRefused)
        assert (error.code, kept(sink)) == (told, [])


@BATCHES
def test_what_is_refused_stays_a_reject_when_an_import_that_was_killed_had_put_others_in(
    destination: DestinationUnderTest, tmp_path: Path, settings: Any
) -> None:
    told = refuse(destination, quota_of(destination, 3))
    export = export_of(tmp_path / "export", 45)
    with closing(destination.open()) as sink:
        killed_while_importing(export, sink)
        summary = imported(export, sink, settings, "import-2")
        assert (summary.status, summary.counts.unchanged, summary.counts.rejected) == ("partial", 3, 42)
        assert kept(sink) == [("import-1", f"refused:{told}")] * 42


def test_only_the_user_whose_rows_are_refused_fails_when_a_run_goes_on(
    destination: DestinationUnderTest, tmp_path: Path
) -> None:
    refuse(destination, "NEW.user_id = 'bob'")
    exports = {user: export_of(tmp_path / user, 30) for user in ("ana", "bob", "eve")}
    with closing(destination.open()) as sink:
        states = {user.user_id: user.state for user in reimported(exports, sink, A_BATCH_EACH)}
    assert states == {"ana": "complete", "bob": "failed", "eve": "complete"}


@BATCHES
def test_what_is_refused_becomes_rejects_when_the_import_has_put_something_in(
    destination: DestinationUnderTest, tmp_path: Path, settings: Any
) -> None:
    told = refuse(destination, quota_of(destination, 3))
    export = export_of(tmp_path / "export", 45)
    with closing(destination.open()) as sink:
        summary = imported(export, sink, settings)
        assert (summary.status, summary.counts.imported, summary.counts.rejected) == ("partial", 3, 42)
        assert kept(sink) == [("import-1", f"refused:{told}")] * 42
        again = imported(export, sink, settings, "import-2")
        assert (again.status, again.counts.unchanged, again.counts.rejected) == ("partial", 3, 42)
        assert kept(sink) == [("import-1", f"refused:{told}")] * 42


@BATCHES
def test_what_is_refused_stays_a_reject_when_only_that_is_tried_again(
    destination: DestinationUnderTest, tmp_path: Path, settings: Any
) -> None:
    told = refuse(destination, quota_of(destination, 1))
    export = export_of(tmp_path / "export", 30)
    with closing(destination.open()) as sink:
        imported(export, sink, settings)
        names = sorted({f"c{i}" for i in range(30)} - destination.content()["ana"].keys())
        rest = written(tmp_path / "rest.json", exported([conversation(name, "Hello?", "Hello.") for name in names]))
        assert imported(rest, sink, settings, "import-2").status == "partial"
        assert kept(sink) == [("import-1", f"refused:{told}")] * 29


def test_a_write_asks_the_destination_whether_another_worker_has_put_something_in(
    destination: DestinationUnderTest,
) -> None:
    told = refuse(destination, f"NEW.conversation_id <> 'by-another-worker' AND {ALL}")
    job = import_of(1)
    rows = [rows_for(f"c{i}", job=job) for i in range(25)]
    with closing(destination.open()) as sink:
        with pytest.raises(EverythingRefused) as caught:
            sink.write(job, SETTINGS, rows, [reject_of(b"bad")])
        assert (caught.value.code, caught.value.retry, sink.rejects()) == (told, False, [])
        assert CANARY not in told_by(caught.value)
        assert sink.takes_none(job)
        with closing(destination.open()) as other:
            other.write(job, SETTINGS, [rows_for("by-another-worker", job=job)], [])
        assert not sink.takes_none(job)
        assert [one.refused for one in sink.write(job, SETTINGS, rows, [])] == [told] * 25
        assert sink.takes_none(import_of(2))
        assert sink.takes_none(import_of(1, "u2"))


def test_rejects_are_withdrawn_of_one_import_and_reason_alone(sink: Sink) -> None:
    first, second, other = import_of(1), import_of(2), import_of(2, "u2")
    sink.write(first, SETTINGS, [], [reject_of(b"a", reason="refused:X"), reject_of(b"b", 1, "damaged")])
    sink.write(second, SETTINGS, [], [reject_of(b"c", 2, "refused:X"), reject_of(b"d", 3, "refused:Y")])
    sink.write(other, SETTINGS, [], [reject_of(b"e", 4, "refused:X")])
    assert sink.withdraw_rejects(second, "refused:X")
    assert sorted(reject.position for reject in sink.rejects()) == [0, 1, 3, 4]
    assert not sink.withdraw_rejects(second, "refused:X")  # that of the first import stays
    assert sink.withdraw_rejects(second, "refused:Z")
    assert sorted(reject.position for reject in sink.rejects()) == [0, 1, 3, 4]


# --- what passes ---------------------------------------------------------------------------------


OUT_OF_TIME_SECONDS = 2.0
RETRIED_BY_POSTGREST = ("40001", "40P01")
"""Without end: there is no answer."""


def impatient(destination: DestinationUnderTest) -> DatabaseSink:
    """The same without waiting."""
    database: Any
    if isinstance(destination, SupabaseTables):
        database = SupabaseDatabase(
            SupabaseAccess(destination.url, destination.key), httpx.Timeout(OUT_OF_TIME_SECONDS)
        )
    else:
        assert isinstance(destination, PostgresTables)
        database = PostgresDatabase(destination.database.dsn)
    return DatabaseSink(database, wait=lambda _: 0.0, patience_seconds=0.1)


@pytest.fixture(params=["postgres", "supabase"])
def server(request: pytest.FixtureRequest, migrated_database: Database, migrated_supabase: Gateway) -> PostgresTables:
    """The destinations that are servers."""
    if request.param == "postgres":
        return PostgresTables(migrated_database)
    return SupabaseTables(migrated_database, migrated_supabase.url, SecretStr(migrated_supabase.secret_key))


@pytest.mark.parametrize("code", PASSING_CODES)
def test_a_code_that_passes_is_worth_another_try_and_shows_no_text_when_a_trigger_raises_it(
    server: PostgresTables, code: str
) -> None:
    refuse(server, ALL, code)
    with closing(impatient(server)) as sink, pytest.raises(SinkBusy) as caught:
        sink.write(import_of(1), SETTINGS, [rows_for("a", text=CANARY)], [])
    is_without_answer = isinstance(server, SupabaseTables) and code in RETRIED_BY_POSTGREST
    assert caught.value.code == ("timeout" if is_without_answer else code)
    assert CANARY not in told_by(caught.value)
    assert server.content() == {}


# --- foreign keys and policies -------------------------------------------------------------------

ON_USER = "FOREIGN KEY (user_id) REFERENCES people (user_id) {}"


def only_known_people(database: Database, table: str, *, deferred: bool) -> None:
    when = "DEFERRABLE INITIALLY DEFERRED" if deferred else ""
    with database.connected() as db:
        db.execute("CREATE TABLE people (user_id text PRIMARY KEY)")
        db.execute("INSERT INTO people VALUES ('eve')")
        db.execute(f"ALTER TABLE {table} ADD CONSTRAINT odd_name {ON_USER.format(when)}".encode())


@pytest.mark.parametrize("deferred", [False, True], ids=["immediate", "deferred"])
@pytest.mark.parametrize("table", ["conversation_chunks", "imported_conversations"])
def test_an_import_fails_at_the_first_refusal_when_a_foreign_key_on_the_user_id_is_violated(
    server: PostgresTables, tmp_path: Path, table: str, deferred: bool
) -> None:
    only_known_people(server.database, table, deferred=deferred)
    exports = {user: export_of(tmp_path / user, count) for user, count in (("bob", 1), ("eve", 3))}
    with closing(server.open()) as sink:
        summary = imported(exports["bob"], sink, IN_ONE_BATCH)
        assert isinstance(summary.error, EverythingRefused)
        assert (summary.status, summary.error.code, "ana" in summary.error.message) == ("failed", "23503", True)
        states = {user.user_id: (user.state, user.attempts) for user in reimported(exports, sink, IN_ONE_BATCH)}
        assert states == {"bob": ("failed", 1), "eve": ("complete", 1)}
        assert sink.rejects() == []


@pytest.mark.parametrize("deferred", [False, True], ids=["immediate", "deferred"])
def test_one_conversation_is_refused_when_another_foreign_key_is_violated(
    server: PostgresTables, tmp_path: Path, deferred: bool
) -> None:
    with server.database.connected() as db:
        db.execute("CREATE TABLE talks (id text PRIMARY KEY)")
        db.execute("INSERT INTO talks SELECT 'c' || n FROM generate_series(0, 3) n")
        db.execute(
            "ALTER TABLE conversation_chunks ADD FOREIGN KEY (conversation_id) REFERENCES talks"
            + (" DEFERRABLE INITIALLY DEFERRED" if deferred else "")
        )
    with closing(server.open()) as sink:
        summary = imported(export_of(tmp_path / "export", 5), sink, IN_ONE_BATCH)
        assert (summary.counts.imported, kept(sink)) == (4, [("import-1", "refused:23503")])


@pytest.mark.parametrize("table", ["import_jobs", "import_rejects"])
def test_an_import_fails_without_text_when_its_job_or_rejects_violate_a_foreign_key(
    server: PostgresTables, table: str
) -> None:
    only_known_people(server.database, table, deferred=False)
    with closing(server.open()) as sink, pytest.raises((ConfigError, SinkError)) as caught:
        call_start_job(sink) if table == "import_jobs" else call_keep_rejects(sink)
    assert "23503" in caught.value.message
    assert "odd_name" not in told_by(caught.value)


def test_one_conversation_is_refused_when_a_policy_forbids_it(migrated_database: Database, tmp_path: Path) -> None:
    with migrated_database.connected() as db:
        db.execute("ALTER ROLE ray_importer LOGIN")
        db.execute(
            "CREATE POLICY no_secrets ON conversation_chunks AS RESTRICTIVE FOR INSERT TO ray_importer"
            f" WITH CHECK (content NOT LIKE '%{CANARY}%')".encode()
        )
    with closing(DatabaseSink(PostgresDatabase(migrated_database.dsn_as("ray_importer")))) as sink:
        summary = imported(export_of(tmp_path / "export", 5, poison=2), sink, IN_ONE_BATCH)
        assert (summary.status, summary.counts.imported) == ("partial", 4)
        assert kept(sink) == [("import-1", "refused:42501")]
        with migrated_database.connected() as db:
            db.execute("ALTER POLICY no_secrets ON conversation_chunks WITH CHECK (false)")
        failed = imported(export_of(tmp_path / "export", 30), sink, IN_ONE_BATCH, "import-2")
        assert isinstance(failed.error, EverythingRefused)
        assert (failed.error.code, "Roles" in failed.error.hint) == ("42501", True)
        assert kept(sink) == [("import-1", "refused:42501")]


# --- everything else that a database may say -----------------------------------------------------

RAISES = f"""
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION '% {CANARY}', NEW USING DETAIL = '{CANARY}', HINT = '{CANARY}';
END $$;
"""


def call_start_job(sink: Sink) -> None:
    sink.start_job(import_of(1), "x", "host/1")


def call_start_run(sink: Sink) -> None:
    sink.start_run("run-1", RunKey("users.jsonl", SETTINGS), "host/1")


def call_keep_rejects(sink: Sink) -> None:
    sink.keep_rejects(import_of(1), [reject_of(CANARY.encode())])


def call_set_profile(sink: Sink) -> None:
    sink.set_profile("user_profiles", "u1", {"import_error": "x"})


@pytest.mark.parametrize(
    ("table", "call"),
    [
        ("import_jobs", call_start_job),
        ("import_runs", call_start_run),
        ("import_rejects", call_keep_rejects),
        ("user_profiles", call_set_profile),
    ],
)
def test_no_call_shows_the_text_of_a_trigger(server: PostgresTables, table: str, call: Callable[[Sink], None]) -> None:
    with server.database.connected() as db:
        db.execute(
            "CREATE TABLE user_profiles (user_id text, import_error text, total_conversations int, total_messages int)"
        )
        db.execute(
            f"{RAISES}; CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()".encode()
        )
    with closing(server.open()) as sink, pytest.raises((SinkError, ConfigError)) as caught:
        call(sink)
    assert "P0001" in caught.value.message
    assert CANARY not in told_by(caught.value)


def test_a_list_of_users_shows_no_text_when_its_table_raises_it(server: PostgresTables) -> None:
    with server.database.connected() as db:
        db.execute(
            f"CREATE FUNCTION refuse() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{CANARY}'; END $$;"
            " CREATE VIEW sources AS SELECT 'ana' AS user_id, refuse() AS source".encode()
        )
    with closing(server.open()) as sink, pytest.raises(ConfigError) as caught:
        sink.users_of("sources", "source")
    assert ("sources" in caught.value.message, "P0001" in caught.value.message) == (True, True)
    assert CANARY not in told_by(caught.value)


def test_migrate_shows_no_text_when_the_database_raises_it(database: Database) -> None:
    with database.connected() as db:
        db.execute(
            f"CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION '{CANARY}' USING HINT = '{CANARY}'; END $$;"
            " CREATE EVENT TRIGGER refuse ON ddl_command_start EXECUTE FUNCTION refuse()".encode()
        )
    with closing(PostgresDatabase(database.dsn)) as opened, pytest.raises(SinkError) as caught:
        opened.migrate()
    assert "P0001" in caught.value.message
    assert CANARY not in told_by(caught.value)
