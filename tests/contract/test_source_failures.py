"""A source that breaks for good: what was read stays, the import has failed, and nobody reads a secret anywhere."""

import io
import logging
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.errors import ImporterError, SourceRefused
from ray_import.pipeline.inspection import extracted
from ray_import.pipeline.sources import open_sources
from ray_import.records import Conversation
from ray_import.source.patience import RetryPolicy
from ray_import.source.remote import KEPT_BYTES
from tests.cli.commands import PLAIN
from tests.contract.remote_exports import talks
from tests.support.object_server import STORAGE, Fault, ObjectServer, object_server
from tests.unit.pipeline.runs import SETTINGS, Database
from tests.unit.source.exports import zipped

SECRET = "xyzzy"
JSON = talks("c", 600)
SHARDS = zipped({"conversations-000.json": JSON, "conversations-001.json": talks("d", 10)})


@pytest.fixture
def patience() -> RetryPolicy:
    waits: list[float] = []
    return RetryPolicy(read_seconds=5, attempts=3, sleep=waits.append)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    with object_server() as serving:
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.setenv("SUPABASE_URL", f"http://127.0.0.1:{serving.port}")
        serving.key = f"sb_secret_{SECRET}"
        monkeypatch.setenv("SUPABASE_SERVICE_KEY", serving.key)
        yield serving


def breaking(server: ObjectServer, requests: int, fault: Fault) -> None:
    """From that request on, every one comes to `fault`; the last good one breaks after 100,000 bytes."""
    server.faults = dict.fromkeys(range(requests - 1), Fault()) | {requests - 1: Fault(drop_after=100_000)}
    server.every = fault


GONE = pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault(503, b"xyzzy-body"), "cannot be read at the moment: the server answers 503"),
        (Fault(drop_after=0), "cannot be read at the moment: the connection was lost"),
        (Fault(headers={"ETag": '"two"'}), "changed while it was being read"),
        (Fault(403, b"xyzzy-body"), "was denied (403)"),
        (Fault(400, b'{"statusCode":"404","message":"xyzzy-body"}'), "There is no object"),
    ],
    ids=["down", "drops", "changed", "expired", "deleted"],
)


@GONE
@pytest.mark.parametrize("name", ["x.json", "x.zip"])
def test_what_was_read_before_a_source_breaks_is_in_and_the_import_has_failed(
    name: str, fault: Fault, told: str, server: ObjectServer, patience: RetryPolicy, tmp_path: Path
) -> None:
    database = Database(tmp_path / "chunks.db")
    sources = open_sources([server.put(name, SHARDS if name == "x.zip" else JSON)], SETTINGS.read, patience)
    server.asked.clear()
    breaking(server, 1, fault)
    summary = database.imported_from(sources)
    assert (summary.status, summary.exit_code, summary.problems) == ("failed", 3, ())
    assert isinstance(summary.error, SourceRefused)
    assert told in summary.error.message
    stored = database.rows("SELECT count(*) FROM imported_conversations")[0][0]
    assert 50 <= stored == summary.counts.imported < 600
    with closing(SqliteSink(database.path)) as sink:
        (job,) = sink.jobs()
    assert (job.status, job.source) == ("failed", f"http://127.0.0.1:{server.port}/{name}")
    assert job.error == summary.error.message

    server.every = None
    again = database.imported_from(open_sources([server.url(name)], SETTINGS.read, patience))
    assert (again.status, again.counts.unchanged) == ("complete", stored)
    assert database.rows("SELECT count(*) FROM imported_conversations") == [(600 + 10 * (name == "x.zip"),)]


@GONE
def test_what_breaks_while_it_is_looked_into_is_no_damage(
    fault: Fault, told: str, server: ObjectServer, patience: RetryPolicy
) -> None:
    server.faults = {0: Fault()}
    server.every = fault
    noise = random.Random(1).randbytes(500_000)
    with pytest.raises(SourceRefused) as raised:
        open_sources(
            [server.put("x.zip", zipped({"a.png": noise, "c/conversations.json": JSON}))], SETTINGS.read, patience
        )
    assert told in raised.value.message


def test_of_several_sources_one_that_is_not_there_is_a_problem(
    server: ObjectServer, patience: RetryPolicy, tmp_path: Path
) -> None:
    good, missing = server.put("x.json", talks("c", 3)), server.url("missing.json")
    here = tmp_path / "here.json"
    here.write_bytes(talks("h", 2))
    sources = open_sources([missing, good, str(here), here], SETTINGS.read, patience)
    assert len(list(sources.conversations())) == 7
    (problem,) = sources.problems
    assert (problem.kind, problem.where) == ("source_failed", f"http://127.0.0.1:{server.port}/missing.json")
    assert SECRET not in sources.label + repr(sources.problems)


def test_extract_gives_what_came_before_the_break(server: ObjectServer, patience: RetryPolicy) -> None:
    more_than_is_kept = talks("c", 2 * KEPT_BYTES // len(JSON) * 600)
    address = server.put("x.json", more_than_is_kept)
    list(open_sources([address], SETTINGS.read, patience).first_pass())
    first_pass = len(server.asked)
    server.asked.clear()
    breaking(server, first_pass + 1, Fault(503))
    outcomes = extracted(open_sources([address], SETTINGS.read, patience), SETTINGS)
    assert all(isinstance(next(outcomes), Conversation) for _ in range(100))
    with pytest.raises(SourceRefused):
        list(outcomes)


def test_extract_gives_nothing_when_the_server_breaks_before_all_copies_are_known(
    server: ObjectServer, patience: RetryPolicy
) -> None:
    sources = open_sources([server.put("x.json", JSON)], SETTINGS.read, patience)
    server.asked.clear()
    breaking(server, 1, Fault(503))
    with pytest.raises(SourceRefused):
        next(extracted(sources, SETTINGS))


# --- secrets -------------------------------------------------------------------------------------


def everything_of(error: BaseException) -> str:
    """All that a log, a traceback or another process could see of an error."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(pickle.dumps(error))


@GONE
@pytest.mark.parametrize("storage", [False, True], ids=["signed URL", "storage"])
def test_no_error_and_no_log_holds_a_secret(
    storage: bool, fault: Fault, told: str, server: ObjectServer, patience: RetryPolicy
) -> None:
    url = server.put("x.json", JSON).replace("://", "://ada:xyzzy@")
    if storage:
        server.put(f"{STORAGE[1:]}b/x.json", JSON)
        url = "supabase://b/x.json"
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        breaking(server, 2, fault)
        with pytest.raises(ImporterError) as raised:
            list(open_sources([url], SETTINGS.read, patience).conversations())
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    assert told in raised.value.message
    assert server.asked[0].headers["authorization"]
    assert SECRET not in everything_of(raised.value)
    assert SECRET not in log.getvalue()


def command(server: ObjectServer, folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "ray_import", *arguments],
        cwd=folder, env=os.environ | PLAIN, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["inspect", "{server}/missing.json?token=xyzzy"], 3),
        (["--debug", "inspect", "{server}/missing.json?token=xyzzy"], 3),
        (["extract", "--debug", "supabase://xyzzy-bucket/x.json"], 3),
        (["inspect", "--json", "http://ada:xyzzy@127.0.0.1:1x/x.json?token=xyzzy"], 2),
        (["run", "ftp://ada:xyzzy@127.0.0.1/x.json?token=xyzzy"], 2),
    ],
)
def test_a_command_that_fails_tells_no_secret(
    arguments: list[str], code: int, server: ObjectServer, tmp_path: Path
) -> None:
    server.key = "sb_secret_another"
    given = [argument.format(server=f"http://127.0.0.1:{server.port}") for argument in arguments]
    process = command(server, tmp_path, *given)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "127.0.0.1" in out + err or "bucket" in out + err
    assert SECRET not in (out + err).replace("xyzzy-bucket", "")
    assert [path for path in tmp_path.rglob("*") if SECRET.encode() in path.read_bytes()] == []


def test_an_interruption_ends_a_wait_at_once(server: ObjectServer, tmp_path: Path) -> None:
    server.every = Fault(503, headers={"Retry-After": "60"})
    answered = threading.Event()
    process = command(server, tmp_path, "inspect", server.url("x.json"))
    with closing(process.stderr or io.StringIO()), closing(process.stdout or io.StringIO()):
        while not server.asked and process.poll() is None:
            answered.wait(0.02)
        answered.wait(0.3)  # it may be still reading the answer: then it is that which is interrupted
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (3, "", "interrupted\n")
    assert len(server.asked) == 1
