"""The columns of a front end's table that a profile fills: the destinations that have such a table, and SQLite."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from pydantic import SecretStr

from ray_import.destinations.postgres.psycopg import PostgresDatabase
from ray_import.destinations.postgres.sink import DatabaseSink
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.errors import ConfigError
from tests.contract.destinations import PostgresTables, SupabaseTables
from tests.support.gateway.postgres import Database

if TYPE_CHECKING:
    from tests.support.gateway.server import Gateway

ANA = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
TABLE = """
CREATE TABLE user_profiles (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL UNIQUE,
    name text,
    import_status text NOT NULL DEFAULT 'none'
        CHECK (import_status IN ('none', 'processing', 'quick_ready', 'complete', 'locked')),
    soul_md text,
    memory_md text,
    "Odd Name" jsonb,
    total_chunks integer,
    full_pass_status text DEFAULT 'pending' CHECK (full_pass_status IN ('pending', 'processing', 'complete', 'failed')),
    full_pass_completed_at timestamptz,
    length integer GENERATED ALWAYS AS (length(memory_md)) STORED,
    dropped text
);
ALTER TABLE user_profiles DROP COLUMN dropped;
GRANT SELECT, INSERT, UPDATE ON user_profiles TO service_role, ray_importer;
"""
VALUES: dict[str, Any] = {
    "import_status": "complete", "soul_md": '{"tone": "dry"}', "memory_md": "# Preferences\n'tea' \0漢",
    "Odd Name": {"a": [1, None]}, "total_chunks": 7, "full_pass_status": "complete",
    "full_pass_completed_at": "2026-11-30T12:00:00.000Z",
}  # fmt: skip
NOT_THERE = {
    "memory_status": "ready",
    "dropped": "x",
    "length": 3,
    'a"; DROP TABLE user_profiles; --': "x",
    "ctid": "x",
}


@pytest.fixture(params=["postgres", "supabase"])
def server(request: pytest.FixtureRequest, migrated_database: Database) -> PostgresTables:
    """The destinations that have a table of profiles."""
    with migrated_database.connected() as db:
        db.execute(TABLE.encode())
    if request.param == "postgres":
        return PostgresTables(migrated_database)
    project: Gateway = request.getfixturevalue("migrated_supabase")
    return SupabaseTables(migrated_database, project.url, SecretStr(project.secret_key))


@pytest.fixture
def sink(server: PostgresTables) -> Iterator[Any]:
    with closing(server.open()) as opened:
        yield opened


def rows(server: PostgresTables) -> list[dict[str, Any]]:
    with server.database.connected() as db:
        found = db.execute("SELECT to_jsonb(p) - 'id' FROM user_profiles p ORDER BY user_id").fetchall()
    return [row for (row,) in found]


def changed(server: PostgresTables, script: str) -> None:
    with server.database.connected() as db:
        db.execute(script.encode())


@pytest.mark.parametrize("is_there", [True, False])
def test_publish_profile_sets_the_columns_that_are_there_and_tells_the_others(
    server: PostgresTables, sink: DatabaseSink, *, is_there: bool
) -> None:
    other = ANA.replace("6", "7")
    changed(server, f"INSERT INTO user_profiles (user_id, name) VALUES ('{other}', 'Ben')")
    if is_there:
        changed(server, f"INSERT INTO user_profiles (user_id, name, total_chunks) VALUES ('{ANA}', 'Ana', 3)")
    skipped = sink.publish_profile("user_profiles", ANA, {**VALUES, **NOT_THERE, "user_id": other})
    assert skipped == sorted([*NOT_THERE, "user_id"])
    ana, ben = rows(server)
    memory = "# Preferences\n'tea' \ufffd漢"
    assert ana == {
        **VALUES, "user_id": ANA, "name": "Ana" if is_there else None, "memory_md": memory, "length": len(memory),
        "full_pass_completed_at": "2026-11-30T12:00:00+00:00",
    }  # fmt: skip
    assert (ben["name"], ben["import_status"], ben["soul_md"]) == ("Ben", "none", None)


def test_publish_profile_empties_columns_and_inserts_no_row_when_all_values_are_none(
    server: PostgresTables, sink: DatabaseSink
) -> None:
    nothing: dict[str, Any] = dict.fromkeys(("soul_md", "memory_md", "memory_status"))
    assert sink.publish_profile("user_profiles", ANA, nothing) == ["memory_status"]
    assert rows(server) == []
    sink.publish_profile("user_profiles", ANA, VALUES)
    assert sink.publish_profile("user_profiles", ANA, nothing) == ["memory_status"]
    (row,) = rows(server)
    assert (row["soul_md"], row["memory_md"], row["import_status"]) == (None, None, "complete")
    assert sink.publish_profile("user_profiles", ANA, {"memory_status": "x"}) == ["memory_status"]
    assert sink.publish_profile("user_profiles", ANA, {}) == []
    assert rows(server) == [row]


def test_publish_profile_keeps_defaults_when_it_inserts_the_row(server: PostgresTables, sink: DatabaseSink) -> None:
    sink.publish_profile("user_profiles", ANA, {"soul_md": "x", "full_pass_status": None, "import_status": None})
    (row,) = rows(server)
    assert (row["import_status"], row["full_pass_status"], row["soul_md"]) == ("none", "pending", "x")


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("no_such_table", {"soul_md": "x"}),
        ("without_user", {"soul_md": "x"}),
        ("user_profiles", {"import_status": "partial"}),
        ("user_profiles", {"total_chunks": "many"}),
        ('user_profiles"; DROP TABLE user_profiles; --', {"soul_md": "x"}),
    ],
)
def test_publish_profile_is_a_configuration_error_when_the_table_refuses_it(
    server: PostgresTables, sink: DatabaseSink, table: str, values: dict[str, Any]
) -> None:
    changed(server, "CREATE TABLE without_user (soul_md text); GRANT SELECT, UPDATE ON without_user TO service_role")
    sink.publish_profile("user_profiles", ANA, VALUES)
    before = rows(server)
    with pytest.raises(ConfigError) as caught:
        sink.publish_profile(table, ANA, values)
    assert table in caught.value.message
    assert rows(server) == before


def test_publish_profile_updates_the_row_when_somebody_inserts_it_in_between(server: PostgresTables) -> None:
    insert = f"INSERT INTO user_profiles (user_id, name) VALUES ('{ANA}', 'Ana')"
    with server.database.connected(autocommit=False) as db, ThreadPoolExecutor(1) as thread:
        db.execute(insert.encode())
        with closing(server.open()) as sink:
            published = thread.submit(sink.publish_profile, "user_profiles", ANA, VALUES)
            with server.database.connected() as watching:
                while not watching.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall():
                    assert not published.done()
            db.commit()
            assert published.result(60) == []
    (row,) = rows(server)
    assert (row["name"], row["soul_md"]) == ("Ana", VALUES["soul_md"])


def test_publish_profile_is_a_configuration_error_when_another_users_row_has_the_value(
    server: PostgresTables, sink: DatabaseSink
) -> None:
    changed(server, "ALTER TABLE user_profiles ADD UNIQUE (soul_md)")
    sink.publish_profile("user_profiles", ANA.replace("6", "7"), {"soul_md": "x"})
    with pytest.raises(ConfigError):
        sink.publish_profile("user_profiles", ANA, {"soul_md": "x"})
    assert len(rows(server)) == 1


def test_publish_profile_may_be_called_by_the_importers_role_alone(server: PostgresTables) -> None:
    changed(server, "ALTER ROLE ray_importer LOGIN")
    with closing(DatabaseSink(PostgresDatabase(server.database.dsn_as("ray_importer")))) as sink:
        assert sink.publish_profile("user_profiles", ANA, {"soul_md": "x", "y": 1}) == ["y"]
    with server.database.connected(autocommit=False) as db:
        db.execute("SET LOCAL ROLE authenticated")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute("SELECT ray_import_publish_profile('user_profiles', '', '{}')")


def test_publish_profile_is_refused_for_sqlite(tmp_path: Path) -> None:
    with closing(SqliteSink(tmp_path / "chunks.db")) as sink, pytest.raises(ConfigError, match="SQLite"):
        sink.publish_profile("user_profiles", ANA, VALUES)
