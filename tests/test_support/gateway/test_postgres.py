"""The tests' Postgres: empty databases, real passwords, Supabase's roles, and nothing left behind."""

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.support.gateway.postgres import ROOT, Database, Server, supabase_roles

TABLES = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"


def test_a_database_is_empty_and_travels(database: Database) -> None:
    same = pickle.loads(pickle.dumps(database))
    with same.connected() as db:
        assert db.execute(TABLES).fetchone() == (0,)
        db.execute("CREATE TABLE t (a int)")
    with database.connected() as db:
        assert db.execute(TABLES).fetchone() == (1,)


def test_another_one_can_be_made_and_dropped_while_somebody_is_connected(database: Database) -> None:
    other = database.beside("other").create()
    with psycopg.connect(other.dsn) as db:
        other.drop()
        with pytest.raises(psycopg.OperationalError):
            db.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError), other.connected():
        pass


def test_over_tcp_the_password_is_checked(database: Database) -> None:
    with psycopg.connect(database.tcp_dsn) as db:
        assert db.execute("SELECT current_database()").fetchone() == (database.name,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(database.tcp_dsn.replace(database.server.password, "wrong"))
    assert database.server.password not in repr(database)


def test_supabases_roles_are_there_with_their_settings(supabase_database: Database) -> None:
    with psycopg.connect(supabase_database.dsn_as("authenticator")) as db:
        assert db.execute("SHOW statement_timeout").fetchone() == ("8s",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
            db.execute("CREATE TABLE t (a int)")
        for role in ("anon", "authenticated", "service_role"):
            db.execute(f"SET ROLE {role}")
            bypasses = db.execute("SELECT rolbypassrls FROM pg_roles WHERE rolname = current_user").fetchone()
            assert bypasses == (role == "service_role",)


def test_what_postgres_makes_in_public_is_open_to_all_roles(supabase_database: Database) -> None:
    """As on Supabase: row level security is what closes it."""
    with supabase_database.connected() as db:
        db.execute("CREATE TABLE t (id uuid DEFAULT auth.uid(), a int GENERATED ALWAYS AS IDENTITY)")
        db.execute("CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT auth.role() $$")
        for role in ("anon", "authenticated", "service_role"):
            found = db.execute(
                "SELECT has_table_privilege(%(r)s, 't', 'INSERT'), has_function_privilege(%(r)s, 'f()', 'EXECUTE')",
                {"r": role},
            ).fetchone()
            assert found == (True, True)


def test_auth_reads_the_claims_of_the_request(supabase_database: Database) -> None:
    asked = "SELECT auth.uid()::text, auth.role(), auth.jwt() ->> 'x'"
    with supabase_database.connected() as db, db.transaction():
        assert db.execute(asked).fetchone() == (None, None, None)
        claims = '{"sub": "00000000-0000-0000-0000-000000000001", "role": "authenticated", "x": "y"}'
        db.execute("SELECT set_config('request.jwt.claims', %s, true)", [claims])
        assert db.execute(asked).fetchone() == ("00000000-0000-0000-0000-000000000001", "authenticated", "y")


def test_the_roles_can_be_made_in_more_than_one_database(database: Database, supabase_database: Database) -> None:
    with supabase_roles(database).connected() as db:
        assert db.execute("SELECT auth.uid()").fetchone() == (None,)


def test_nothing_of_a_server_stays_when_the_tests_are_killed() -> None:
    program = (
        "from tests.support.gateway.postgres import postgres_server\n"
        "with postgres_server() as server:\n"
        "    print(server.folder, flush=True)\n"
        "    import signal; signal.pause()\n"
    )
    tests = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with tests:
        assert tests.stdout is not None
        folder = Path(tests.stdout.readline().strip())
        postmaster = psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))
        (guardian,) = psutil.Process(tests.pid).children()
        os.kill(tests.pid, signal.SIGKILL)
    gone, left = psutil.wait_procs([postmaster, guardian], timeout=20)
    assert (len(gone), left) == (2, [])
    assert not folder.exists()


def test_the_socket_has_a_short_path(postgres: Server) -> None:
    assert len(f"{postgres.folder}/.s.PGSQL.{postgres.port}".encode()) < 60
