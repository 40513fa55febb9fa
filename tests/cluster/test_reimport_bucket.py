"""A run over the users of a bucket, from the command line to the rows, over the stand-in for Supabase.

Each has a Ray of its own: readers have the keys from their environment alone.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cluster.imports import at
from tests.support.cluster.reimports import Reimported, jobs_by_user, of_own_ray, reimport, run_users
from tests.support.gateway.server import Gateway, gateway
from tests.support.generate import write_export
from tests.support.user_exports import import_one_by_one, query_in, rows_in
from tests.unit.source.exports import zipped

pytestmark = pytest.mark.ray

FOLDER = "supabase://exports/users"


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with gateway("host=/nowhere") as made:
        monkeypatch.setenv("SUPABASE_URL", made.url)
        monkeypatch.setenv("SUPABASE_SERVICE_KEY", made.secret_key)
        yield made
        assert made.served.failures == []


def put_export(project: Gateway, key: str, folder: Path, seed: int) -> str:
    """An export at `key` below the folder; where the same lies as a file."""
    path = folder / f"{seed}.json"
    write_export(path, 0.05, seed=seed)
    project.objects.put("exports", f"users/{key}", zipped({"conversations.json": path.read_bytes()}))
    return str(path)


def interrupt(database: Path, user: str) -> None:
    """The run as it would be left by a kill before `user` was read."""
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("UPDATE import_runs SET status = 'running'")
        db.execute("UPDATE import_run_users SET state = 'pending', attempts = 0 WHERE user_id = ?", (user,))


def has_no_key(project: Gateway, database: Path, *runs: Reimported) -> bool:
    recorded = b"".join(path.read_bytes() for path in database.parent.glob(f"{database.name}*"))
    said = "".join(f"{run.report}{run.said}" for run in runs)
    return project.secret_key.encode() not in recorded and project.secret_key not in said


def test_the_newest_export_of_each_user_is_in_and_an_interrupted_run_goes_on_with_the_newest(
    project: Gateway, tmp_path: Path
) -> None:
    database, expected = tmp_path / "chunks.db", tmp_path / "expected.db"
    to = f"sqlite:///{database}"
    put_export(project, "ana/2025.zip", tmp_path, seed=1)
    ana = put_export(project, "ana/2026.zip", tmp_path, seed=2)
    ben = put_export(project, "ben/deeper/export.zip", tmp_path, seed=3)
    eve = put_export(project, "eve.zip", tmp_path, seed=4)
    project.objects.put("exports", "users/zoe/export.zip", b"no zip")
    project.objects.put("exports", "users/ana/picture.png", b"no export")

    first = reimport(FOLDER, to, environment=of_own_ray())
    assert (first.code, first.report["users"]) == (1, {"all": 4, "complete": 3, "failed": 1}), first.said
    assert first.report["passed_over"] == {"older_exports": 1, "no_exports": 1}
    assert (first.report["what"], [one["user_id"] for one in first.report["failed"]]) == (FOLDER, ["zoe"])
    assert "4 users in supabase://exports/users, skipped: 1 older exports, 1 files that" in first.said
    import_one_by_one({"ana": ana, "ben": ben, "eve": eve}, at(expected))
    assert rows_in(database) == rows_in(expected)

    plan = reimport(FOLDER, to, "--dry-run", environment=of_own_ray())
    states = {user["user_id"]: user["state"] for user in plan.report["users"]}
    assert states == {"ana": "unchanged", "ben": "unchanged", "eve": "unchanged", "zoe": "read"}

    newer = put_export(project, "ben/newer.zip", tmp_path, seed=5)
    interrupt(database, "ben")
    jobs = jobs_by_user(database)
    plan = reimport(f"{FOLDER}/", to, "--dry-run", environment=of_own_ray())
    assert plan.report["goes_on"] == first.report["run_id"]
    assert plan.report["totals"] == {"all": 4, "done": 3, "read": 1}

    second = reimport(f"{FOLDER}/", to, environment=of_own_ray())
    assert (second.code, second.report["run_id"]) == (1, first.report["run_id"]), second.said
    assert run_users(database)["ben"] == ("complete", 1)
    assert jobs_by_user(database) == jobs | {"ben": ["complete", "complete"]}
    newest = query_in(database, "SELECT source FROM import_jobs ORDER BY rowid DESC LIMIT 1")
    assert newest == [(f"{FOLDER}/ben/newer.zip",)]
    import_one_by_one({"ben": newer}, at(expected))
    assert rows_in(database) == rows_in(expected)

    project.served.clear()
    third = reimport(FOLDER, to, environment=of_own_ray())
    assert third.report["users"] == {"all": 4, "failed": 1, "skipped": 3}, third.said
    assert project.served.count("/zoe/", "GET") > 0
    assert project.served.count("/(ana|ben|eve)/", "GET") == 0, "the listing told their versions"
    assert has_no_key(project, database, first, second, third, plan)
