"""Runs over lists of users that name what they must not: it costs these users alone, and not a byte of it is stored."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster.reimports import reimport
from tests.support.gateway.postgres import Database
from tests.support.object_server import Fault, ObjectServer, object_server
from tests.support.user_exports import Users, write_users

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("session")]

CANARY = b'[{"id": "canary-7f3a", "title": "canary-7f3a", "mapping": {"a": NaN}}]'
"""Whoever reads it keeps it as a reject."""


@pytest.fixture
def inner() -> Iterator[ObjectServer]:
    """A service of this machine."""
    with object_server() as server:
        server.put("secret.json", CANARY)
        yield server


@pytest.fixture
def users(tmp_path: Path) -> Users:
    """Two users whose exports lie in the folder of the list, beside a secret out of it."""
    (tmp_path / "secret.json").write_bytes(CANARY)
    (tmp_path / "lists").mkdir()
    return write_users(tmp_path / "lists", [40.0, 40.0])


def test_a_list_that_names_a_file_elsewhere_costs_that_user_alone(users: Users, tmp_path: Path) -> None:
    (tmp_path / "lists" / "link.json").symlink_to("../secret.json")
    sources = {**users.sources, "out": f"{tmp_path}/secret.json", "link": f"{tmp_path}/lists/link.json"}
    manifest = tmp_path / "lists" / "users.jsonl"
    manifest.write_text("".join(json.dumps({"user_id": u, "source": s}) + "\n" for u, s in sources.items()))
    done = reimport(manifest, f"sqlite:///{tmp_path}/chunks.db")
    assert (done.code, done.report["users"]) == (1, {"all": 4, "complete": 2, "failed": 2}), done.said
    errors = {one["user_id"]: one["error"] for one in done.report["failed"]}
    assert set(errors) == {"out", "link"}
    assert all("is not allowed" in error and "--files-under" in error for error in errors.values())
    assert not any(b"canary-7f3a" in path.read_bytes() for path in tmp_path.glob("chunks.db*"))

    allowed = reimport(manifest, f"sqlite:///{tmp_path}/chunks.db", "--files-under", str(tmp_path), "--only", "out")
    assert allowed.report["users"] == {"all": 1, "partial": 1}, allowed.said
    assert any(b"canary-7f3a" in path.read_bytes() for path in tmp_path.glob("chunks.db*"))


def rows_with(database: Database, text: str) -> dict[str, int]:
    """In how many rows of each table of ours the text stands, bytes being looked into, too."""
    with database.connected() as db:
        tables = db.execute(
            "SELECT table_name FROM information_schema.tables"
            " WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> 'profiles'"
        ).fetchall()
        query = 'SELECT count(*) FROM public."{}" t WHERE t::text LIKE %s OR t::text LIKE %s'
        patterns = (f"%{text}%", f"%{text.encode().hex()}%")
        counts = {name: db.execute(query.format(name), patterns).fetchone() for (name,) in tables}
    assert "import_rejects" in counts
    return {name: count[0] for name, count in counts.items() if count and count[0]}


def test_rows_of_a_table_reach_no_file_and_no_inner_service(
    users: Users, inner: ObjectServer, migrated_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SUPABASE_URL", raising=False)
    sources = {
        **users.sources,
        "file": f"{tmp_path}/secret.json",
        "loopback": inner.url("secret.json"),
        "name": inner.url("secret.json", "localhost").replace("http:", "https:"),
        "metadata": "https://169.254.169.254/latest/meta-data",
    }
    with migrated_database.connected() as db:
        db.execute("CREATE TABLE public.profiles (user_id text, export text)")
        for row in sources.items():
            db.execute("INSERT INTO public.profiles VALUES (%s, %s)", row)
    table = ("--from-table", "profiles", "--source-column", "export")
    done = reimport(table, migrated_database.dsn, "--files-under", str(tmp_path / "lists"))
    assert (done.code, done.report["users"]) == (1, {"all": 6, "complete": 2, "failed": 4}), done.said
    errors = {one["user_id"]: one["error"] for one in done.report["failed"]}
    assert set(errors) == set(sources) - set(users.sources)
    assert all("is not allowed" in error for error in errors.values())
    assert "xyzzy" not in done.said + str(done.report)
    assert inner.asked == []
    assert rows_with(migrated_database, "canary-7f3a") == {}

    with object_server() as allowed:
        allowed.every = Fault(status=302, headers={"Location": inner.url("secret.json", "localhost")})
        with migrated_database.connected() as db:
            moved = (allowed.url("moved.json"),)
            db.execute("UPDATE public.profiles SET export = %s WHERE user_id = 'loopback'", moved)
        hosts = ("--allow-host", f"127.0.0.1:{allowed.port}")
        done = reimport(table, migrated_database.dsn, "--only", "loopback", *hosts)
        assert done.report["users"] == {"all": 1, "failed": 1}, done.said
        assert "localhost is not a public address" in done.report["failed"][0]["error"]
        assert (len(allowed.asked), inner.asked) == (1, [])
        done = reimport(table, migrated_database.dsn, "--only", "loopback", *hosts, "--allow-host", "localhost")
        assert done.report["users"] == {"all": 1, "partial": 1}, done.said
    assert rows_with(migrated_database, "canary-7f3a")["import_rejects"] == 1
