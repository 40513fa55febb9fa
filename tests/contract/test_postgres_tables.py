"""What the migrations make of a database: a new one, a Supabase project, one with the earlier service's table."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Json, Jsonb

from ray_import.chunks.rows import ChunkRow, MessageRow
from ray_import.destinations.base import Pruned, RunKey, RunUser, Sink, WriteResult
from ray_import.destinations.migrations import LATEST_POSTGRES, migrations
from ray_import.destinations.postgres.address import split_password
from ray_import.destinations.postgres.psycopg import PostgresDatabase
from ray_import.destinations.postgres.rows import chunk_object, message_object
from ray_import.destinations.postgres.servers import PostgresDestination
from ray_import.destinations.postgres.service_jobs import DatabaseServiceJobs
from ray_import.destinations.postgres.sink import DatabaseSink
from ray_import.destinations.profiles import Forgotten
from ray_import.destinations.service_jobs import Accepted, NewJob
from ray_import.errors import ConfigError, SinkError
from tests.contract.destinations import (
    SETTINGS,
    PostgresTables,
    import_of,
    reject_of,
    rows_for,
    twice_the_same_chunk,
)
from tests.contract.profiles import answered, at, fact_of, request_of, unit_of, version_of
from tests.support.gateway.postgres import Database

ANA, BEN = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "7f9619ff-8b86-4d01-b42d-00cf4fc964ff"

OF_USERS = RunKey("users.jsonl", SETTINGS)

EARLIER = """
CREATE TABLE conversation_chunks (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL,
    conversation_id text NOT NULL,
    title text,
    content text NOT NULL,
    message_count integer DEFAULT 0,
    token_count integer DEFAULT 0,
    chunk_tier text DEFAULT 'medium',
    is_recent boolean DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    embedding real[]
)"""


def migrate(database: Database) -> list[str]:
    with closing(PostgresDatabase(database.dsn)) as opened:
        return opened.migrate()


@pytest.fixture
def supabase(supabase_database: Database) -> Database:
    """A Supabase project after the migrations."""
    migrate(supabase_database)
    return supabase_database


def as_user(db: psycopg.Connection[tuple[object, ...]], user_id: str) -> None:
    """Makes what follows in this transaction that user's, as PostgREST does."""
    db.execute("SET LOCAL ROLE authenticated")
    db.execute("SELECT set_config('request.jwt.claims', json_build_object('sub', %s::text)::text, true)", (user_id,))


def test_what_is_missing_is_applied_once(database: Database) -> None:
    assert migrate(database) == [migration.name for migration in migrations("postgres")]
    assert migrate(database) == []


def test_every_step_may_be_pasted_again(supabase: Database) -> None:
    with closing(PostgresTables(supabase).open()) as sink:
        sink.write(import_of(1), SETTINGS, [rows_for("a")], [reject_of(b"bad")])
        sink.start_run("run-1", OF_USERS, "host/1")
        opened = sink.add_users("run-1", [RunUser("u1", "a.zip")])
        make_profile(sink, "u1")
    before = PostgresTables(supabase).everything()
    with supabase.connected() as db:
        for migration in migrations("postgres"):
            db.execute(migration.sql.encode())
    assert PostgresTables(supabase).everything() == before
    with closing(PostgresTables(supabase).open()) as sink:
        assert sink.write(import_of(2), SETTINGS, [rows_for("b")], []) == [WriteResult(2, 0)]
        assert sink.run_users("run-1") == opened
        assert (sink.facts("u1"), sink.requests("u1")) == ([fact_of(1)], [answered(request_of(1))])


def test_a_database_without_tables_or_with_a_newer_ones_is_refused(database: Database) -> None:
    with pytest.raises(SinkError) as caught:
        PostgresTables(database).open()
    assert "ray-import migrate" in caught.value.hint
    migrate(database)
    with database.connected() as db:
        db.execute("INSERT INTO ray_import_migrations (version) VALUES (%s)", (LATEST_POSTGRES + 1,))
    with pytest.raises(SinkError) as caught:
        PostgresTables(database).open()
    assert "Upgrade ray-import" in caught.value.hint


def test_the_earlier_services_table_keeps_its_rows_and_columns(supabase_database: Database) -> None:
    with supabase_database.connected() as db:
        db.execute(EARLIER)
        db.execute(
            "INSERT INTO conversation_chunks (user_id, conversation_id, content, embedding)"
            " VALUES (%s, 'old', 'theirs', '{1,2}'), (%s, 'a', 'to be replaced', NULL)",
            (ANA, ANA),
        )
        before = db.execute("SELECT * FROM conversation_chunks WHERE conversation_id = 'old'").fetchall()
    migrate(supabase_database)
    job = import_of(1, ANA)
    with closing(PostgresTables(supabase_database).open()) as sink:
        assert sink.start_job(job, "x", "host/1") is None
        assert sink.write(job, SETTINGS, [rows_for("a", job=job)], []) == [WriteResult(2, 1)]
        assert sink.known(ANA, SETTINGS, ["a-v1"]).keys() == {"a-v1"}
    with supabase_database.connected() as db:
        after = db.execute(
            "SELECT id, user_id, conversation_id, title, content, message_count, token_count, chunk_tier, is_recent,"
            " created_at, updated_at, embedding FROM conversation_chunks WHERE conversation_id = 'old'"
        ).fetchall()
        assert after == before
        with db.transaction():
            as_user(db, ANA)
            assert db.execute("SELECT count(*) FROM conversation_chunks").fetchone() == (3,)


def test_a_user_id_that_the_earlier_services_table_cannot_hold_is_refused_before_anything_is_done(
    database: Database,
) -> None:
    with database.connected() as db:
        db.execute(EARLIER)
    migrate(database)
    with closing(PostgresTables(database).open()) as sink, pytest.raises(ConfigError):
        sink.start_job(import_of(1, "local"), "x", "host/1")


def test_a_column_that_would_refuse_every_row_is_named(database: Database) -> None:
    with database.connected() as db:
        db.execute(EARLIER)
        db.execute('ALTER TABLE conversation_chunks ADD COLUMN "org id" text NOT NULL')
    with pytest.raises(SinkError) as caught:
        migrate(database)
    assert '"org id"' in caught.value.message


UNUSABLE = {
    "a number for a text": ("conversation_chunks", "content", "ALTER COLUMN content TYPE integer USING 1", "integer"),
    "a text for a time": ("conversation_chunks", "created_at", "ALTER COLUMN created_at TYPE text", "text"),
    "a flag as a number": (
        "conversation_chunks",
        "is_recent",
        "DROP is_recent, ADD is_recent integer",
        "integer",
    ),
    "a list for a text": ("conversation_chunks", "title", "ALTER COLUMN title TYPE text[] USING '{}'", "text[]"),
    "a renamed column": ("conversation_chunks", "content", "RENAME content TO body", "no column content"),
    "a column that is gone": (
        "conversation_chunks",
        "conversation_id",
        "DROP conversation_id CASCADE",
        "conversation_id",
    ),
}
LATER = {
    "a renamed title": ("conversation_chunks", "title", "RENAME title TO heading", "no column title"),
    "a renamed hash": ("imported_conversations", "content_hash", "RENAME content_hash TO h", "no column content_hash"),
    "a number as a text": ("import_rejects", "position", "ALTER position TYPE text", "text"),
    "a renamed text": ("conversation_messages", "text", "RENAME text TO words", "no column text"),
    "a number for a flag": (
        "conversation_messages",
        "on_active_path",
        "ALTER on_active_path TYPE integer USING 1",
        "integer",
    ),
    "spans that are gone": ("conversation_chunks", "spans", "DROP spans", "no column spans"),
    "a renamed product": ("imported_conversations", "product", "RENAME product TO source", "no column product"),
    "a message's column that needs a value": (
        "conversation_messages",
        "org",
        "ADD org text NOT NULL",
        "must not be null",
    ),
    "a renamed time": ("import_jobs", "updated_at", "RENAME updated_at TO at", "no column updated_at"),
    "text for bytes": ("import_rejects", "raw", "ALTER raw TYPE text USING ''", "text"),
    "a column of a run": ("import_runs", "force", "DROP force", "no column force"),
    "a column of a user": ("import_run_users", "counts", "ALTER counts TYPE text", "text"),
    "a generated column": (
        "conversation_chunks",
        "thread",
        "DROP thread CASCADE, ADD thread text GENERATED ALWAYS AS ('main') STORED",
        "generated",
    ),
    "a column that needs a value": ("import_jobs", "org", "ADD org text NOT NULL", "must not be null"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_migrate_names_the_column_when_an_earlier_table_cannot_be_used(database: Database, kind: str) -> None:
    table, column, change, told = UNUSABLE[kind]
    with database.connected() as db:
        db.execute(EARLIER)
        db.execute(f"ALTER TABLE {table} {change}".encode())
    with pytest.raises(SinkError) as caught:
        migrate(database)
    assert all(word in caught.value.message for word in (table, column, told))
    assert caught.value.hint
    with database.connected() as db:
        assert db.execute("SELECT to_regclass('ray_import_migrations')").fetchone() == (None,), "nothing was changed"


@pytest.mark.parametrize("kind", UNUSABLE | LATER)
def test_migrate_names_the_column_when_a_table_was_altered_since(migrated_database: Database, kind: str) -> None:
    table, column, change, told = (UNUSABLE | LATER)[kind]
    with migrated_database.connected() as db:
        db.execute(f"ALTER TABLE {table} {change}".encode())
    with pytest.raises(SinkError) as caught:
        migrate(migrated_database)
    assert all(word in caught.value.message for word in (table, column, told))


def test_migrate_names_user_id_when_a_supabase_project_has_numbers_there(supabase_database: Database) -> None:
    with supabase_database.connected() as db:
        db.execute(EARLIER.replace("user_id uuid", "user_id bigint"))
    with pytest.raises(SinkError, match="user_id is bigint"):
        migrate(supabase_database)


def test_migrate_names_what_is_missing_or_no_table(migrated_database: Database) -> None:
    with migrated_database.connected() as db:
        db.execute("DROP TABLE import_rejects")
    with pytest.raises(SinkError, match="no table import_rejects") as caught:
        migrate(migrated_database)
    assert "migrate --print" in caught.value.hint
    with migrated_database.connected() as db:
        for step in migrations("postgres"):
            db.execute(step.sql.encode())
    assert migrate(migrated_database) == []
    with migrated_database.connected() as db:
        db.execute("ALTER TABLE import_rejects RENAME TO other; CREATE VIEW import_rejects AS SELECT * FROM other")
    with pytest.raises(SinkError, match="import_rejects is not a table"):
        migrate(migrated_database)


OTHER_TYPES = [
    {"id": "text", "user_id": "varchar(100)", "content": "varchar", "token_count": "bigint", "node_ids": "json"},
    {"id": "varchar", "user_id": "uuid", "created_at": "timestamp", "token_count": "smallint", "node_ids": "text"},
    {"user_id": "bigint", "created_at": "date", "token_count": "numeric", "node_ids": "varchar", "chunk_index": "real"},
    {"user_id": "integer", "chunk_count": "double precision", "conversation_id": "varchar(200)", "title": "varchar"},
    {"content": "short_text", "message_count": "bigint", "is_recent": "boolean", "thread": "varchar"},
]
"""All types that `migrate` accepts, and a domain."""


@pytest.mark.parametrize("types", OTHER_TYPES)
@pytest.mark.parametrize("way", ["driver", "JSON"])
def test_an_import_works_when_migrate_accepts_other_types(database: Database, types: dict[str, str], way: str) -> None:
    base = {"id": "uuid", "user_id": "text", "conversation_id": "text", "content": "text"}
    with database.connected() as db:
        db.execute("CREATE DOMAIN short_text AS text CHECK (length(value) < 1000)")
        columns = ", ".join(f"{name} {kind}" for name, kind in (base | types).items())
        db.execute(f"CREATE TABLE conversation_chunks ({columns}, PRIMARY KEY (id))".encode())
    migrate(database)
    user_id = {"uuid": ANA, "bigint": "7", "integer": "7"}.get(types.get("user_id", ""), "ana")
    one, two = import_of(1, user_id), import_of(2, user_id)
    opened = PostgresDatabase(database.dsn) if way == "driver" else AsJson(database.dsn)
    with closing(DatabaseSink(opened)) as sink:
        assert sink.start_job(one, "x", "host/1") is None
        rows = [rows_for("a", job=one), rows_for("b", job=one)]
        assert sink.write(one, SETTINGS, rows, []) == [WriteResult(2, 0)] * 2
        assert sink.update_job(one.id, {}, "complete")
        newer = rows_for("a", version="v2", chunks=3, job=two, update_time=1_800_000_000.0)
        assert sink.write(two, SETTINGS, [newer], []) == [WriteResult(3, 2)]
        sink.mark_seen(two, [], ["a"])
        assert sink.prune(two) == Pruned(1, 2)
    with database.connected() as db:
        assert db.execute("SELECT DISTINCT user_id::text, content FROM conversation_chunks").fetchall() == [
            (user_id, "v2 text")
        ]


class AsJson(PostgresDatabase):
    """Writes as the REST interface does."""

    def write(
        self, batch: dict[str, Any], chunks: Sequence[ChunkRow], messages: Sequence[MessageRow]
    ) -> list[dict[str, Any]]:
        """See `Database.write`."""
        rows = [Json([chunk_object(chunk) for chunk in chunks]), Json([message_object(one) for one in messages])]
        with self._translated(), self._connected() as db:
            found = db.execute("SELECT ray_import_write(%s, %s, %s)", (Jsonb(batch), *rows)).fetchone()
        assert found is not None
        fates: list[dict[str, Any]] = found[0]
        return fates


def test_functions_that_write_let_triggers_find_their_tables(database: Database) -> None:
    migrate(database)
    with database.connected() as db:
        query = r"""SELECT DISTINCT provolatile, proconfig[1] FROM pg_proc
            WHERE proname LIKE 'ray\_import\_%' AND provolatile = 'v'"""
        assert db.execute(query.encode()).fetchall() == [("v", "search_path=public, extensions")]


def test_functions_do_not_look_where_anybody_may_create_functions(database: Database) -> None:
    with database.connected() as db:
        db.execute("GRANT CREATE ON SCHEMA public TO public")
    migrate(database)
    with database.connected() as db:
        query = r"SELECT DISTINCT proconfig[1] FROM pg_proc WHERE proname LIKE 'ray\_import\_%'"
        assert db.execute(query.encode()).fetchall() == [('search_path=""',)]


# --- who may do what -----------------------------------------------------------------------------


def test_the_importers_role_can_import_and_nothing_else(supabase: Database) -> None:
    with supabase.connected() as db:
        db.execute("ALTER ROLE ray_importer LOGIN")
        db.execute("CREATE TABLE user_profiles (user_id text)")
    job = import_of(1)
    with closing(DatabaseSink(PostgresDatabase(supabase.dsn_as("ray_importer")))) as sink:
        assert sink.start_job(job, "x", "host/1") is None
        batch = [rows_for("a"), twice_the_same_chunk(rows_for("b")), rows_for("c")]
        assert [bool(one.refused) for one in sink.write(job, SETTINGS, batch, [reject_of(b"bad")])] == [0, 1, 0]
        assert len(sink.rejects()) == 1
        sink.mark_seen(job, [], ["a"])
        sink.prune(job)
        assert sink.update_job(job.id, {}, "complete")
        user = RunUser("u1", "a.zip", "complete", 1, "v1")
        assert sink.start_run("run-1", OF_USERS, "host/1") is None
        assert len(sink.add_users("run-1", [user])) == 1
        assert sink.save_users("run-1", "host/1", [user])
        make_profile(sink, "u1")
        assert sink.beat_profile("u1", "run-1", "host/1")
        assert (sink.facts("u1"), sink.units("u1")) == ([fact_of(1)], [unit_of(1)])
        assert sink.requests("u1") == [answered(request_of(1))]
        assert [run.status for run in sink.profile_runs("u1")] == ["running"]
        assert len(sink.versions_of("u1")) == len(list(sink.messages_of("u1", [("chatgpt", "a")]))) == 1
        sink.replace_units("u1", ["unit-1"], [fact_of(2, unit_id="unit-2")])
        sink.drop_units("u1", ["unit-2"])
        assert sink.forget_profile("u1") == Forgotten(runs=1, requests=1, units=0, facts=0, versions=1)
        sink.beat("host/1")
    with closing(DatabaseServiceJobs(PostgresDatabase(supabase.dsn_as("ray_importer")))) as jobs:
        new = NewJob(id="job-1", user_id="u2", stage="import", source="x")
        assert jobs.accept(new, jobs_per_hour=1) == Accepted(job_id="job-1", is_new=True)
        assert jobs.claim("host/1") is not None
        assert jobs.beat("host/1", "job-1") == "held"
        assert jobs.finish("job-1", "host/1", "complete", {})
        assert [job.state for job in jobs.list_jobs()] == ["complete"]
        assert sink.interrupted_run(OF_USERS) == "run-1"
        sink.complete_run("run-1", "host/1")
        sink.let_go("host/1")
        assert sink.lacking_users("users.jsonl", SETTINGS) == []
        assert (sink.run_users("run-1"), sink.versions(SETTINGS)) == ([user], {"u1": ("a.zip", "v1")})
        with pytest.raises(ConfigError):
            sink.users_of("user_profiles", "user_id")
    with psycopg.connect(supabase.dsn_as("ray_importer"), autocommit=True) as db:
        for forbidden in (
            "DROP TABLE conversation_chunks",
            "ALTER TABLE conversation_chunks DISABLE ROW LEVEL SECURITY",
            "TRUNCATE import_jobs",
            "SELECT * FROM user_profiles",
            "CREATE TABLE mine (x int)",
            "SELECT * FROM auth.users",
        ):
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable)):
                db.execute(forbidden.encode())


WRITES = (
    "INSERT INTO {table} (user_id) VALUES ('{other}')",
    "UPDATE {table} SET user_id = '{own}'",
    "DELETE FROM {table}",
    "TRUNCATE {table}",
)
TABLES = ("conversation_chunks", "conversation_messages", "imported_conversations", "import_jobs", "import_rejects")
OF_PROFILES = ("profile_facts", "profile_versions")
READ_BY_USERS = (*TABLES, *OF_PROFILES, "conversations")
OF_RUNS = (
    "import_runs", "import_run_users", "profile_runs", "profile_requests", "profile_units", "profile_fact_units",
    "service_jobs", "service_workers",
)  # fmt: skip


def make_profile(sink: Sink, user_id: str) -> None:
    """A row in each of the tables of profiles."""
    sink.start_profile(user_id, "run-1", "host/1", at(0))
    sink.save_requests(user_id, [request_of(1)])
    assert sink.settle_request(user_id, answered(request_of(1)), [unit_of(1)], [fact_of(1)])
    sink.save_version(user_id, version_of(1))


@pytest.fixture
def of_two_users(supabase: Database) -> Database:
    with closing(PostgresTables(supabase).open()) as sink:
        for number, user_id in enumerate((ANA, BEN)):
            job = import_of(number, user_id)
            sink.start_job(job, "x", "host/1")
            sink.write(job, SETTINGS, [rows_for("a", job=job)], [reject_of(b"bad")])
            make_profile(sink, user_id)
        sink.start_run("run-1", OF_USERS, "host/1")
        sink.add_users("run-1", [RunUser(user_id, "a.zip") for user_id in (ANA, BEN)])
    return supabase


@pytest.mark.parametrize("table", READ_BY_USERS)
def test_a_user_reads_what_is_theirs_alone(of_two_users: Database, table: str) -> None:
    with of_two_users.connected() as db, db.transaction():
        as_user(db, ANA)
        seen = db.execute(f"SELECT DISTINCT user_id FROM {table}".encode()).fetchall()
        assert seen == [(ANA,)]
        joined = db.execute(f"SELECT DISTINCT b.user_id FROM {table} a CROSS JOIN {table} b".encode()).fetchall()
        assert joined == [(ANA,)]


@pytest.mark.parametrize("role", ["authenticated", "anon"])
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("table", READ_BY_USERS)
def test_no_user_writes_anything(of_two_users: Database, table: str, write: str, role: str) -> None:
    before = PostgresTables(of_two_users).everything()
    statement = write.format(table=table, own=ANA, other=BEN)
    with of_two_users.connected(autocommit=False) as db:
        as_user(db, ANA)
        db.execute(f"SET LOCAL ROLE {role}".encode())
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.WrongObjectType)):  # a view
            db.execute(statement.encode())
    assert PostgresTables(of_two_users).everything() == before


@pytest.mark.parametrize("role", ["authenticated", "anon"])
@pytest.mark.parametrize("statement", ["SELECT 1 FROM {}", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
@pytest.mark.parametrize("table", OF_RUNS)
def test_no_user_sees_a_run(of_two_users: Database, table: str, statement: str, role: str) -> None:
    with of_two_users.connected(autocommit=False) as db:
        as_user(db, ANA)
        db.execute(f"SET LOCAL ROLE {role}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute(statement.format(table).encode())


def test_no_user_calls_a_function_of_the_importer(of_two_users: Database) -> None:
    with of_two_users.connected() as db:
        functions = db.execute(
            "SELECT p.oid::regprocedure::text FROM pg_proc p WHERE proname LIKE 'ray\\_import\\_%'"
        ).fetchall()
        assert len(functions) > 10
        of_runs = ("start", "add", "users", "tell", "complete", "interrupted", "lacking", "versions")
        of_profiles = ("start", "requests", "settle", "facts", "versions", "forget", "messages")
        newer = {*(f"run_{name}" for name in of_runs), "users_of", "alive", "let_go", "publish_profile"}
        newer |= {f"profile_{name}" for name in of_profiles}
        newer |= {f"service_{name}" for name in ("accept", "claim", "alive", "finish", "job", "list", "cancel")}
        assert newer <= {function.partition("(")[0].removeprefix("ray_import_") for (function,) in functions}
        for role in ("anon", "authenticated", "public"):
            for (function,) in functions:
                may = db.execute("SELECT has_function_privilege(%s, %s, 'execute')", (role, function)).fetchone()
                assert may == (False,), (role, function)


RIGHTS = """
SELECT what, name, coalesce(r.rolname, 'public'), acl.privilege_type
FROM (
    SELECT 'relation' AS what, c.oid::regclass::text AS name,
        coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)) AS rights
    FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL
    SELECT 'column', a.attrelid::regclass || '.' || a.attname, a.attacl
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'public'::regnamespace AND a.attacl IS NOT NULL
    UNION ALL
    SELECT 'function', p.oid::regprocedure::text, coalesce(p.proacl, acldefault('f', p.proowner))
    FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
) everything CROSS JOIN aclexplode(rights) acl LEFT JOIN pg_roles r ON r.oid = acl.grantee
"""


def rights(database: Database) -> set[tuple[str, str, str, str]]:
    """All rights that anybody has on anything in the schema `public`: what, its name, the role, the privilege."""
    with database.connected() as db:
        return set(db.execute(RIGHTS).fetchall())


@pytest.mark.parametrize("version", [0, LATEST_POSTGRES - 1], ids=["new", "migrated before"])
def test_migrate_leaves_users_no_right_but_to_read_when_default_privileges_give_all_of_them(
    supabase_database: Database, version: int
) -> None:
    with supabase_database.connected() as db:
        db.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO public")
        db.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO public")
        for migration in migrations("postgres")[:version]:
            db.execute(migration.sql.encode())
    migrate(supabase_database)
    found = rights(supabase_database)
    assert {right for right in found if right[2] in ("anon", "authenticated", "public")} == {
        ("relation", table, "authenticated", "SELECT") for table in READ_BY_USERS
    }
    names = {(what, name) for what, name, _, _ in found}
    assert {("relation", "ray_import_migrations"), ("relation", "import_jobs_number_seq")} <= names
    for importer in ("service_role", "ray_importer"):
        may = {(name, privilege) for _, name, role, privilege in found if role == importer}
        functions = {name for what, name in names if what == "function"}
        assert {(name, "EXECUTE") for name in functions} <= may
        writes = ("SELECT", "INSERT", "UPDATE", "DELETE")
        assert {(table, privilege) for table in (*TABLES, *OF_PROFILES, *OF_RUNS) for privilege in writes} <= may
        assert {privilege for name, privilege in may if name == "ray_import_migrations"} == {"SELECT"}
        assert {privilege for name, privilege in may if name == "conversations"} == {"SELECT"}


@pytest.mark.parametrize("role", ["authenticated", "anon"])
@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE ray_import_migrations",
        "CREATE TRIGGER mine BEFORE INSERT ON ray_import_migrations"
        " FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "SELECT setval('import_jobs_number_seq', 1)",
        "SELECT setval('import_rejects_number_seq', 1)",
    ],
)
def test_no_user_stops_imports_to_come(of_two_users: Database, statement: str, role: str) -> None:
    with of_two_users.connected(autocommit=False) as db:
        db.execute(f"SET LOCAL ROLE {role}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute(statement.encode())


# --- the row of a front end ----------------------------------------------------------------------

PROFILE = """
CREATE TABLE user_profiles (
    user_id text PRIMARY KEY, name text, import_status text, progress_percent integer, import_stage text,
    import_error text, processing_started_at timestamptz, total_conversations integer, total_messages integer
)"""


@pytest.mark.parametrize("is_there", [True, False])
def test_a_profile_is_set_and_the_rest_of_its_row_left(migrated_database: Database, is_there: bool) -> None:
    with migrated_database.connected() as db:
        db.execute(PROFILE)
        db.execute("INSERT INTO user_profiles (user_id, name) VALUES ('u2', 'Ben')")
        if is_there:
            db.execute("INSERT INTO user_profiles (user_id, name, progress_percent) VALUES ('u1', 'Ana', 7)")
    with closing(PostgresTables(migrated_database).open()) as sink:
        sink.write(import_of(1), SETTINGS, [rows_for("a", chunks=3), rows_for("b", chunks=0)], [])
        sink.set_profile("user_profiles", "u1", {"import_status": "processing", "progress_percent": 50})
        sink.set_profile("user_profiles", "u1", {"import_stage": "importing"})
    with migrated_database.connected() as db:
        found = db.execute(
            "SELECT name, import_status, progress_percent, import_stage, total_conversations, total_messages"
            " FROM user_profiles ORDER BY user_id"
        ).fetchall()
    assert found == [
        ("Ana" if is_there else None, "processing", 50, "importing", 1, 3),
        ("Ben", None, None, None, None, None),
    ]


def test_a_profile_table_that_is_not_there_or_lacks_a_column_is_an_error(migrated_database: Database) -> None:
    with closing(PostgresTables(migrated_database).open()) as sink:
        with pytest.raises(ConfigError):
            sink.set_profile("no_such_table", "u1", {"import_status": "processing"})
        with pytest.raises(ConfigError) as caught:
            sink.set_profile("import_jobs", "u1", {"no_such_column": 1})
        assert "no_such_column" in caught.value.message


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "password"),
    [
        ("postgresql://ana:secret@db.example.com/chats", "secret"),
        ("postgres://ana:s%40cret@db.example.com:6543/chats?sslmode=require", "s@cret"),
        ("postgresql://db.example.com/chats?password=secret", "secret"),
        ("postgresql://ana@db.example.com/chats", None),
        ("postgresql:///chats?host=/run/postgresql", None),
    ],
)
def test_a_password_is_taken_out_of_an_address(url: str, password: str | None) -> None:
    conninfo, found = split_password(url)
    assert "cret" not in conninfo
    assert (found.get_secret_value() if found else None) == password


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://[bad",
        "postgresql://ana:xyzzy@h:port/chats",
        "postgresql://ana:xyzzy@h:99999/chats",
        "postgresql://ana:xy/zzy@h/chats",
        "postgresql://ana:xyzzy@h/chats?no_such_parameter=1",
    ],
)
def test_what_is_no_address_is_a_configuration_error_without_the_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        split_password(url)
    assert "zzy" not in str(caught.value)


SLOW_TO_BEGIN = """
CREATE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$;
CREATE TRIGGER slow AFTER INSERT ON import_jobs FOR EACH STATEMENT EXECUTE FUNCTION wait_for_the_test()
"""
"""Between a begin's two looks at the jobs the test has time to do something."""


def test_an_import_that_begins_while_the_one_before_it_ends_has_a_row(database: Database) -> None:
    migrate(database)
    before, after = import_of(1, "ana"), import_of(2, "ana")
    with (
        closing(PostgresDestination(database.dsn, database.dsn).open()) as one,
        closing(PostgresDestination(database.dsn, database.dsn).open()) as other,
        database.connected() as db,
        ThreadPoolExecutor(1) as thread,
    ):
        assert one.start_job(before, "x", "host/1") is None
        db.execute(SLOW_TO_BEGIN)
        db.execute("SELECT pg_advisory_lock(1)")
        begun = thread.submit(other.start_job, after, "x", "host/2")
        while not db.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchall():
            assert not begun.done()
        assert one.update_job(before.id, {}, "complete")
        db.execute("SELECT pg_advisory_unlock(1)")
        assert begun.result(60) is None
        assert [(job.id, job.status) for job in other.jobs()] == [(after.id, "running"), (before.id, "complete")]
