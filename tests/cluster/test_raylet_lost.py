"""Ray ends the driver when its raylet is gone: words, JSON, exit code and rows tell of it all the same."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson
import psutil
import pytest

from tests.support.cluster.reimports import DEADLINE_SECONDS, of_own_ray, wait_until
from tests.support.generate import write_export
from tests.support.user_exports import query_in

pytestmark = pytest.mark.ray


def below(process: "subprocess.Popen[bytes]", word: str) -> list[psutil.Process]:
    """The processes below this one in whose command line `word` stands."""
    return [one for one in psutil.Process(process.pid).children(recursive=True) if word in " ".join(one.cmdline()[:1])]


def rows_in(database: Path) -> int:
    if not database.exists():
        return 0
    with_tables = query_in(database, "SELECT count(*) FROM sqlite_master WHERE name = 'imported_conversations'")
    return int(query_in(database, "SELECT count(*) FROM imported_conversations")[0][0]) if with_tables[0][0] else 0


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Large enough to be in the middle when some of it is in."""
    path = tmp_path / "export.json"
    write_export(path, 40, seed=3)
    return path


def arguments_of(command: str, export: Path) -> Sequence[str]:
    if command == "run":
        return ["run", str(export), "--user-id", "ada", "--executor", "ray"]
    users = export.with_name("users.jsonl")
    users.write_bytes(orjson.dumps({"user_id": "ada", "source": str(export)}))
    return ["reimport", "--users", str(users), "--executor", "ray"]


@pytest.mark.parametrize("command", ["run", "reimport"])
@pytest.mark.parametrize("loss", ["raylet", "driver"])
def test_a_command_ends_with_3_and_says_so_when_ray_or_a_kill_ends_its_process(
    tmp_path: Path, export: Path, command: str, loss: str
) -> None:
    database = tmp_path / "chunks.db"
    program = [sys.executable, "-m", "ray_import", *arguments_of(command, export), "--json"]
    with subprocess.Popen(
        [*program, "--to", f"sqlite:///{database}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=of_own_ray(),
        start_new_session=True,
    ) as process:
        wait_until(lambda: rows_in(database) > 0, process)
        victims = below(process, "raylet/raylet") if loss == "raylet" else psutil.Process(process.pid).children()
        assert len(victims) == 1
        victims[0].kill()
        out, said = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 3, said
    assert orjson.loads(out)["status"] == "failed"
    why = {"raylet": b"raylet on this machine", "driver": b"ended by SIGKILL"}[loss]
    assert why in said
    assert b"Traceback" not in said
    assert query_in(database, "SELECT status, error FROM import_jobs") == [("failed", "interrupted")]
    if command == "reimport":
        assert query_in(database, "SELECT status, holder FROM import_runs") == [("interrupted", None)]


def test_the_import_ends_at_once_when_its_supervisor_is_killed(tmp_path: Path, export: Path) -> None:
    database = tmp_path / "chunks.db"
    program = [sys.executable, "-m", "ray_import", *arguments_of("run", export), "--to", f"sqlite:///{database}"]
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=of_own_ray(), start_new_session=True
    ) as process:
        wait_until(lambda: rows_in(database) > 0, process)
        children = psutil.Process(process.pid).children()
        os.kill(process.pid, signal.SIGKILL)
        gone, alive = psutil.wait_procs(children, timeout=10)
    assert len(gone) == 1
    assert not alive
