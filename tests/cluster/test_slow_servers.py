"""A run over many users of whom some have exports on servers that drip: the others do not wait for them."""

from contextlib import closing
from pathlib import Path

import orjson
import pytest

from ray_import.destinations.sqlite.sink import SqliteSink
from tests.contract.remote_exports import talks
from tests.support.cluster.reimports import ended, of_this_ray, started
from tests.support.object_server import Fault, object_server

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("session")]

DRIPPING = 8
GOOD = 4


def test_good_users_are_complete_when_the_servers_of_others_drip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All who drip come first and take all places; none of them ever sends a whole header."""
    monkeypatch.setenv("NO_PROXY", "*")
    database = tmp_path / "chunks.db"
    with object_server() as dripping, object_server() as server:
        dripping.every = Fault(header_drips=True)
        sources = {f"drip{i}": dripping.put(f"{i}.json", b"") for i in range(DRIPPING)}
        sources |= {f"good{i}": server.put(f"{i}.json", talks(f"c{i}-", 20)) for i in range(GOOD)}
        manifest = tmp_path / "users.jsonl"
        lines = (orjson.dumps({"user_id": user_id, "source": source}) for user_id, source in sources.items())
        manifest.write_bytes(b"\n".join(lines))
        pace = ("--slow-after-seconds", "0.5", "--source-deadline-seconds", "2")
        with started(manifest, f"sqlite:///{database}", *pace, environment=of_this_ray()) as process:
            done = ended(process)
    assert (done.code, done.report["users"]) == (1, {"all": 12, "complete": GOOD, "failed": DRIPPING}), done.said
    for failed in done.report["failed"]:
        assert "is too slow" in failed["error"]
        assert failed["attempts"] == 1
    with closing(SqliteSink(database)) as sink:
        finished = {job.user_id: job.status for job in sink.jobs()}
    assert finished == {f"good{i}": "complete" for i in range(GOOD)}
