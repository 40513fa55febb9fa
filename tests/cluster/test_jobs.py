"""The job, submitted with the Ray Jobs CLI to a real head, with token authentication off and on."""

import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import ray
from ray.job_submission import JobSubmissionClient

from tests.cluster.imports import tables
from tests.cluster.ray_head import Head, ray_head
from tests.support.object_server import Fault, object_server

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "examples" / "export"
IMPORT = ("python", "import_export.py")
REIMPORT = ("python", "reimport_all.py")
ENDED = {"SUCCEEDED", "FAILED", "STOPPED"}


WITHOUT_AND_WITH_TOKEN = pytest.mark.parametrize("head", [False, True], ids=["no-token", "token"], indirect=True)


@pytest.fixture(scope="module", params=[True], ids=["token"])
def head(request: pytest.FixtureRequest) -> Iterator[Head]:
    with ray_head(token=request.param) as up:
        yield up


def submit(head: Head, *arguments: str, entry: Sequence[str] = IMPORT, metadata: str = "{}") -> str:
    """Submits the job as the README does, and gives its id."""
    job_id = f"test-{time.monotonic_ns()}"
    command = [
        str(Path(sys.executable).with_name("ray")), "job", "submit", "--address", head.dashboard, "--no-wait",
        "--submission-id", job_id, "--working-dir", "jobs", "--metadata-json", metadata, "--",
        *entry, *arguments,
    ]  # fmt: skip
    subprocess.run(command, env=head.environment, check=True, capture_output=True, cwd=ROOT)
    return job_id


def ask(head: Head, path: str) -> Any:
    answer = httpx.get(f"{head.dashboard}{path}", headers=head.headers, timeout=30)
    answer.raise_for_status()
    return answer.json()


def ended(head: Head, job_id: str) -> dict[str, Any]:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        job: dict[str, Any] = ask(head, f"/api/jobs/{job_id}")
        if job["status"] in ENDED:
            return job
        time.sleep(0.1)  # between two looks, not instead of one
    raise AssertionError(f"{job_id} did not end")


def log_of(head: Head, job_id: str) -> str:
    return str(ask(head, f"/api/jobs/{job_id}/logs")["logs"])


@WITHOUT_AND_WITH_TOKEN
def test_a_job_imports_and_its_actors_have_names(head: Head, tmp_path: Path) -> None:
    database = tmp_path / "chunks.db"
    job_id = submit(head, str(SAMPLE), "--to", f"sqlite:///{database}", "--user-id", "ada")
    job = ended(head, job_id)
    log = log_of(head, job_id)
    assert (job["status"], job["driver_exit_code"]) == ("SUCCEEDED", 0), log
    assert "conversations" in log
    assert "complete" in log
    assert len(tables(database)["chunks"]) > 5

    actors = ask(head, "/api/v0/actors?detail=1")["data"]["result"]["result"]
    mine = [actor for actor in actors if actor["job_id"] == job["driver_info"]["id"]]
    assert {actor["name"] for actor in mine} == {"import-worker-0", "import-worker-1"}
    assert {actor["class_name"] for actor in mine} == {"ImportWorker"}
    calls = ask(
        head, f"/api/v0/tasks?detail=1&filter_keys=job_id&filter_predicates=%3D&filter_values={mine[0]['job_id']}"
    )
    names = {call["name"] for call in calls["data"]["result"]["result"]}
    assert {name for name in names if not name.endswith("__init__")} == {"worker_ready", "import_batch"}


def test_a_job_ends_with_the_exit_code_of_run(head: Head, tmp_path: Path) -> None:
    cut = tmp_path / "conversations.json"
    cut.write_bytes((SAMPLE / "conversations.json").read_bytes()[:-200])
    to = f"sqlite:///{tmp_path / 'chunks.db'}"
    for arguments, code in (([str(cut), "--to", to], 1), ([str(tmp_path / "none.zip"), "--to", to], 2)):
        job_id = submit(head, *arguments)
        job = ended(head, job_id)
        assert (job["status"], job["driver_exit_code"]) == ("FAILED", code), log_of(head, job_id)


def test_a_job_refuses_a_destination_that_would_be_thrown_away(head: Head) -> None:
    job_id = submit(head, str(SAMPLE))
    assert ended(head, job_id)["driver_exit_code"] == 2
    assert "absolute" in log_of(head, job_id)


@WITHOUT_AND_WITH_TOKEN
def test_the_command_joins_the_cluster_that_is_named(head: Head, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "ray_import",
        "run",
        str(SAMPLE),
        "--to",
        f"sqlite:///{tmp_path / 'c.db'}",
        "--json",
    ]
    done = subprocess.run(command, env=head.environment | {"RAY_ADDRESS": head.gcs}, capture_output=True, check=True)
    assert orjson.loads(done.stdout)["status"] == "complete"
    assert b"joining" in done.stderr


def test_what_ray_knows_of_a_command_has_no_secrets(head: Head, tmp_path: Path) -> None:
    with object_server() as server:
        url = server.put("sample/conversations.json", (SAMPLE / "conversations.json").read_bytes())
        command = [sys.executable, "-m", "ray_import", "run", url, "--to", f"sqlite:///{tmp_path / 'c.db'}"]
        environment = head.environment | {"RAY_ADDRESS": head.gcs, "NO_PROXY": "*"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    known = str(ask(head, "/api/jobs/"))
    assert f" run http://127.0.0.1:{server.port}/sample/conversations.json --to" in known
    database = b"".join(path.read_bytes() for path in tmp_path.glob("c.db*"))  # its log is there as long as a worker is
    assert b"/sample/conversations.json" in database
    assert "xyzzy-token" in url
    assert "xyzzy-token" not in known + done.stdout + done.stderr
    assert b"xyzzy-token" not in database


def refused(head: Head, folder: Path, **environment: str) -> str:
    """What the command says where it cannot join."""
    command = [sys.executable, "-m", "ray_import", "run", str(SAMPLE), "--to", f"sqlite:///{folder / 'c.db'}"]
    asked = head.environment | {"RAY_ADDRESS": head.gcs} | environment
    done = subprocess.run(command, env=asked, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    return done.stderr


def test_the_wrong_token_is_an_error_in_words(head: Head, tmp_path: Path) -> None:
    said = refused(head, tmp_path, RAY_AUTH_TOKEN="0" * 64)
    assert "refused the token" in said
    assert "0" * 64 not in said
    assert "refused the token" in refused(head, tmp_path, RAY_AUTH_MODE="disabled")
    assert "there is no token" in refused(head, tmp_path, RAY_AUTH_TOKEN="", HOME=str(tmp_path))


@pytest.mark.parametrize("port", ["dashboard", "client"])
def test_another_port_than_the_heads_is_an_error_in_words(head: Head, tmp_path: Path, port: str) -> None:
    address = getattr(head, port).removeprefix("http://")
    assert f"{address} is not the head" in refused(head, tmp_path, RAY_ADDRESS=address)


CHANGE_VERSIONS = """
import json, sys
from ray._raylet import GcsClient
client = GcsClient(address=sys.argv[1])
key, room = b"CLUSTER_METADATA", b"cluster"
before = client.internal_kv_get(key, namespace=room)
after = json.loads(before) | json.loads(sys.argv[2])
client.internal_kv_put(key, json.dumps(after).encode(), True, namespace=room)
print(before.decode())
"""


def change_versions(head: Head, versions: str) -> str:
    """Makes the cluster one of other versions, and gives what it was."""
    program = [sys.executable, "-c", CHANGE_VERSIONS, head.gcs, versions]
    return subprocess.run(program, env=head.environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ('{"ray_version": "2.9.3"}', "has Ray 2.9.3 and Python 3."),
        ('{"python_version": "3.9.18"}', "and Python 3.9.18;"),
    ],
)
def test_other_versions_on_the_cluster_are_an_error_that_names_both(
    head: Head, tmp_path: Path, versions: str, words: str
) -> None:
    before = change_versions(head, versions)
    try:
        said = refused(head, tmp_path)
    finally:
        change_versions(head, before)
    assert words in said
    assert f"this machine has Ray {ray.__version__} and Python {platform.python_version()}" in said


def test_a_run_tells_its_progress_as_metadata_of_its_job_and_names_nobody(head: Head, tmp_path: Path) -> None:
    with object_server() as server:
        export = (SAMPLE / "conversations.json").read_bytes()
        sources = {"ada-lovelace": server.put("ada.json", export), "grace-hopper": server.put("grace.json", export)}
        manifest, to = tmp_path / "users.jsonl", f"sqlite:///{tmp_path / 'c.db'}"
        lines = [orjson.dumps({"user_id": user, "source": source}) for user, source in sources.items()]
        manifest.write_bytes(b"\n".join(lines))
        arguments = ("--users", str(manifest), "--to", to)
        client = JobSubmissionClient(head.dashboard, headers=head.headers)

        server.every = Fault(503)
        first = submit(head, *arguments, entry=REIMPORT, metadata='{"asked_by": "ops"}')
        metadata = metadata_with(client, first, "import_run_id")
        run_id = metadata.pop("import_run_id")
        assert metadata.pop("import_users") in ("2 pending", "1 pending, 1 running", "2 running")
        assert metadata == {"asked_by": "ops", "import_percent": "0"}
        client.stop_job(first)
        assert ended(head, first)["status"] == "STOPPED"

        server.every = None
        second = submit(head, *arguments, entry=REIMPORT)
        assert ended(head, second)["status"] == "SUCCEEDED", log_of(head, second)
    told = {"import_run_id": run_id, "import_users": "2 complete", "import_percent": "100"}
    assert client.get_job_info(second).metadata == told
    assert client.get_job_status(first) == "STOPPED"


def metadata_with(client: Any, job_id: str, key: str) -> dict[str, str]:
    """The metadata of a job once `key` is there."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found: dict[str, str] = client.get_job_info(job_id).metadata or {}
        if key in found:
            return found
        time.sleep(0.1)  # between two looks, not instead of one
    raise AssertionError(client.get_job_logs(job_id))
