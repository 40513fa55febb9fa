"""Keys and passwords: in no output, log, record of Ray, process list or value that travels, also when all fails."""

import base64
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import orjson
import psutil
import pytest
import ray
from pydantic import SecretStr

from ray_import.credentials import SupabaseAccess, environment, supabase_access
from ray_import.destinations.postgres.psycopg import PostgresDatabase
from ray_import.destinations.postgres.supabase import SupabaseDatabase
from ray_import.destinations.registry import parse_destination
from tests.cluster.ray_head import Head, ray_head
from tests.cluster.test_jobs import ask, ended, log_of, submit
from tests.support.gateway import faults
from tests.support.gateway.calls import Call, json_answer, rest_error
from tests.support.gateway.postgres import Database
from tests.support.gateway.server import Gateway

if TYPE_CHECKING:
    from ray_import.destinations.base import Destination

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "examples" / "export"
REFUSED = faults.Fault("refused", answer=rest_error(403, "42501", "permission denied for table conversation_chunks"))
RAYS_FOLDER = Path(tempfile.gettempdir()) / "ray"


@dataclass(frozen=True, slots=True)
class Run:
    """A command that has ended: its exit code, and every text that it, or Ray for it, left or showed."""

    code: int
    texts: dict[str, str]

    def places_of(self, secret: str) -> list[str]:
        """Where the secret stands, as it is or as it is usually written elsewhere."""
        forms = {secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("=")}
        return [place for place, text in self.texts.items() if any(form in text for form in forms)]


def watched(folder: Path, arguments: list[str], keys: dict[str, str], *, typed: str = "") -> Run:
    """Runs `ray-import` in `folder` with a Ray of its own, looking at the processes all the while.

    `typed` is what the person has typed: it stands in the list for that one process.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SUPABASE_", "PG"))}
    before = set(RAYS_FOLDER.glob("session_*"))
    seen: set[str] = set()
    with subprocess.Popen(
        [sys.executable, "-m", "ray_import", "--debug", *arguments],
        cwd=folder, env=clean | keys, stdout=(folder / "out").open("wb"), stderr=(folder / "err").open("wb"),
    ) as process:  # fmt: skip
        while process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                try:
                    seen.add("\0".join(child.cmdline()))
                except psutil.Error:
                    continue
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.2)  # between two looks
    texts = {name: (folder / name).read_text(errors="replace") for name in ("out", "err")}
    texts["process list"] = "\n".join(command for command in seen if not typed or typed not in command.split("\0"))
    for session in set(RAYS_FOLDER.glob("session_2*")) - before:
        texts |= texts_in(session)
    assert len(seen) > 3
    assert len(texts) > 10
    return Run(process.returncode, texts)


def texts_in(folder: Path) -> dict[str, str]:
    """Of all files by their paths; other tests' Rays come and go, and files with them."""
    texts: dict[str, str] = {}
    for root, _, names in os.walk(folder):
        for file in (Path(root, name) for name in names):
            with suppress(FileNotFoundError):
                if file.is_file() and not file.is_symlink():
                    texts[str(file)] = file.read_text(errors="replace")
    return texts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_a_supabase_key_from_dot_env_shows_nowhere_when_the_import_fails(
    folder: Path, migrated_database: Database, migrated_supabase: Gateway
) -> None:
    project = migrated_supabase
    (folder / ".env").write_text(f"SUPABASE_URL={project.url}\nSUPABASE_SERVICE_KEY='{project.secret_key}'\n")
    project.faults.add(REFUSED, path="/rpc/ray_import_write")
    run = watched(folder, ["run", str(SAMPLE), "--executor", "ray", "--to", "supabase"], {})
    assert run.code == 3, run.texts["err"]
    assert "42501" in run.texts["err"]
    assert "permission denied" not in run.texts["err"]
    assert run.places_of(project.secret_key) == []
    with migrated_database.connected() as db:
        jobs = db.execute("SELECT status, import_jobs::text FROM import_jobs").fetchall()
    assert [status for status, _ in jobs] == ["failed"]
    assert project.secret_key not in jobs[0][1]


def test_a_supabase_key_shows_nowhere_when_a_worker_dies_and_another_has_a_fault_of_ours(
    folder: Path, migrated_supabase: Gateway
) -> None:
    project = migrated_supabase
    killed: list[int] = []

    def decide(call: Call) -> faults.Fault | None:
        if not call.path.endswith("ray_import_known") or not orjson.loads(call.body)["p_hashes"]:
            return None
        if killed:
            return faults.Fault("odd", answer=json_answer(200, {"no": ["such thing"]}))
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if "import_batch" in " ".join(child.cmdline()):
                    killed.append(child.pid)
                    child.kill()
        return None

    project.faults.decide = decide
    keys = {"SUPABASE_URL": project.url, "SUPABASE_SERVICE_KEY": project.service_key}
    run = watched(folder, ["run", str(SAMPLE), "--executor", "ray", "--to", "supabase"], keys)
    assert len(killed) == 1
    assert run.code == 3, run.texts["err"]
    assert "A worker failed with TypeError" in run.texts["err"]
    for secret in (project.service_key, project.service_key.rpartition(".")[2]):
        assert run.places_of(secret) == []


def test_a_key_that_is_wrong_is_told_without_it(folder: Path, migrated_supabase: Gateway) -> None:
    wrong = "sb_secret_" + "W" * 24
    keys = {"SUPABASE_URL": migrated_supabase.url, "SUPABASE_SERVICE_KEY": wrong}
    done = subprocess.run(
        [sys.executable, "-m", "ray_import", "run", str(SAMPLE), "--to", "supabase"],
        cwd=folder, env=os.environ | keys, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "SUPABASE_SERVICE_KEY" in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert wrong not in done.stdout + done.stderr


def test_a_password_in_an_address_shows_nowhere_but_where_it_was_typed(
    folder: Path, migrated_database: Database
) -> None:
    address = migrated_database.tcp_dsn
    with migrated_database.connected() as db:
        db.execute("ALTER TABLE import_rejects RENAME TO elsewhere")
    run = watched(folder, ["run", str(SAMPLE), "--executor", "ray", "--to", address], {}, typed=address)
    assert run.code == 3, run.texts["err"]
    assert run.places_of(migrated_database.server.password) == []


def test_a_password_in_the_environment_shows_nowhere(folder: Path, migrated_database: Database) -> None:
    run = watched(
        folder,
        ["run", str(SAMPLE), "--executor", "ray", "--to", "postgres"],
        {"DATABASE_URL": migrated_database.tcp_dsn},
    )
    assert run.code == 0, run.texts["err"]
    assert run.places_of(migrated_database.server.password) == []


def test_what_travels_and_what_shows_itself_has_no_secret(
    monkeypatch: pytest.MonkeyPatch, migrated_database: Database, migrated_supabase: Gateway
) -> None:
    password, key = migrated_database.server.password, migrated_supabase.secret_key
    monkeypatch.setenv("SUPABASE_URL", migrated_supabase.url)
    monkeypatch.setenv("SUPABASE_SERVICE_KEY", key)
    monkeypatch.setenv("DATABASE_URL", migrated_database.tcp_dsn)
    access = SupabaseAccess(migrated_supabase.url, SecretStr(key))
    destinations: list[Destination] = [parse_destination(url) for url in ("supabase", "postgres")]
    destinations.append(parse_destination(migrated_database.tcp_dsn))
    for destination in destinations:
        for carried in (pickle.dumps(destination), ray.cloudpickle.dumps(destination), repr(destination).encode()):
            assert password.encode() not in carried
            assert key.encode() not in carried
        assert "@" not in destination.url or "postgres@" in destination.url
    supabase = SupabaseDatabase(access)
    for shown in (repr(environment()), str(environment()), repr(supabase_access()), repr(access), repr(supabase)):
        assert password not in shown
        assert key not in shown
    supabase.close()
    assert password not in repr(PostgresDatabase(migrated_database.dsn, SecretStr(password)))


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    """A head whose processes have the keys in their environment, as docs/supabase.md tells."""
    with ray_head(token=True) as up:
        yield up


def test_a_password_in_an_address_does_not_travel_through_a_cluster(head: Head, migrated_database: Database) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ray_import", "run", str(SAMPLE), "--to", migrated_database.tcp_dsn],
        env=head.environment | {"RAY_ADDRESS": head.gcs}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "PGPASSWORD" in done.stderr
    assert migrated_database.server.password not in done.stdout + done.stderr + str(ask(head, "/api/jobs/"))


def test_what_ray_knows_of_a_job_has_no_key(migrated_supabase: Gateway) -> None:
    project = migrated_supabase
    calls: list[Call] = []

    def decide(call: Call) -> faults.Fault | None:
        calls.append(call)
        return REFUSED if call.path.endswith("ray_import_write") else None

    project.faults.decide = decide
    keys = {"SUPABASE_URL": project.url, "SUPABASE_SERVICE_KEY": project.secret_key}
    with pytest.MonkeyPatch.context() as patched:
        for name, value in keys.items():
            patched.setenv(name, value)
        with ray_head(token=False) as up:
            job_id = submit(up, str(SAMPLE), "--to", "supabase", "--user-id", "ana")
            job = ended(up, job_id)
            texts = {"job": str(job), "log": log_of(up, job_id)}
            for path in ("/api/jobs/", "/api/v0/actors?detail=1", "/api/v0/tasks?detail=1", "/api/v0/workers?detail=1"):
                texts[path] = httpx.get(f"{up.dashboard}{path}", timeout=30).text
            texts |= texts_in(up.folder)
    assert job["driver_exit_code"] == 3, texts["log"]
    assert any(call.path.endswith("ray_import_write") for call in calls)
    assert Run(3, texts).places_of(project.secret_key) == []
