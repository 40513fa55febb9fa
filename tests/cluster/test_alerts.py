"""What a webhook is told of runs over the command line that stall, die, or are stopped."""

import json
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from ray_import.cluster.session import Session
from tests.support.cluster.reimports import ended, of_this_ray, started, wait_until
from tests.support.object_server import Fault, ObjectServer, object_server
from tests.support.user_exports import query_in, users_of
from tests.unit.pipeline.webhook import Webhook, webhook

pytestmark = pytest.mark.ray

SAMPLE = Path(__file__).parents[2] / "examples" / "export" / "conversations.json"
SOON_MINUTES = 0.02


@pytest.fixture
def away() -> Iterator[ObjectServer]:
    """A server of exports that is away until its `every` is None."""
    with object_server() as server:
        server.every = Fault(503)
        yield server


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as up:
        yield up


@pytest.fixture
def manifest(away: ObjectServer, tmp_path: Path) -> Path:
    """Ada, whose export is on that server."""
    url = away.put("ada.json", SAMPLE.read_bytes())
    return users_of(tmp_path / "ada-lovelace.csv", {"ada-lovelace": url}, {}).manifest


def told_by(hook: Webhook) -> dict[str, str]:
    """The environment of a run on the Ray of the tests that tells of stalls soon."""
    return of_this_ray() | {"ALERT_WEBHOOK": hook.url, "ALERT_STALLED_MINUTES": str(SOON_MINUTES), "NO_PROXY": "*"}


def test_a_stall_is_told_and_then_the_error_that_the_run_dies_of(
    session: Session, away: ObjectServer, manifest: Path, hook: Webhook, tmp_path: Path
) -> None:
    database = tmp_path / "chunks.db"
    with started(manifest, f"sqlite:///{database}", environment=told_by(hook)) as process:
        stalled = hook.got.get(timeout=60)
        wait_until(lambda: bool(away.asked), process)
        [(run_id,)] = query_in(database, "SELECT id FROM import_runs")
        with closing(sqlite3.connect(database)) as db:
            db.execute("DROP TABLE import_run_users")
        away.every = None
        run = ended(process)
    messages = [stalled, *hook.messages()]
    died = messages[-1]

    assert run.code == 3, run.said
    assert {message["event"] for message in messages[:-1]} == {"stalled"}
    assert stalled["stalled_seconds"] >= 60 * SOON_MINUTES
    assert (stalled["run_id"], stalled["what"]) == (run_id, "manifest")
    assert stalled["states"] == {"pending": 1}
    assert (died["event"], died["run_id"], died["error"]) == ("died", run_id, "SinkError")
    assert "ada" not in json.dumps(messages)


def test_a_run_that_is_told_to_stop_is_no_alarm(
    session: Session, away: ObjectServer, manifest: Path, hook: Webhook, tmp_path: Path
) -> None:
    database = tmp_path / "chunks.db"
    with started(manifest, f"sqlite:///{database}", environment=told_by(hook)) as process:
        wait_until(lambda: bool(away.asked), process)
        process.send_signal(signal.SIGTERM)
        run = ended(process)
    assert run.code == 3, run.said
    assert "interrupted" in run.said
    assert {message["event"] for message in hook.messages()} <= {"stalled"}


def test_of_a_run_that_is_killed_it_is_told_that_it_is_gone(
    session: Session, away: ObjectServer, manifest: Path, hook: Webhook, tmp_path: Path
) -> None:
    database = tmp_path / "chunks.db"
    environment = told_by(hook) | {"ALERT_STALLED_MINUTES": "10"}
    with started(manifest, f"sqlite:///{database}", environment=environment) as process:
        wait_until(lambda: any("ray_import.pipeline.alerts" in one.cmdline() for one in children(process.pid)), process)
        [(run_id,)] = query_in(database, "SELECT id FROM import_runs")
        process.kill()
        died = hook.got.get(timeout=60)
    assert (died["event"], died["run_id"], died["error"]) == ("died", run_id, "ProcessGone")
    assert died["states"] == {"pending": 1}
    assert "ada" not in json.dumps(died)


def children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)
