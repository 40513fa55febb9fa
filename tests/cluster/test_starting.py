"""Why a Ray of one's own does not start: what is checked before, and what Ray's words mean."""

import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from ray_import.cluster.environment import WORKER_NICENESS, prepare_environment
from ray_import.cluster.session import check_folder, check_shared_memory, start_error
from ray_import.errors import ClusterError

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (Exception("The current node timed out during startup. This could happen because"), "did not start within"),
        (RuntimeError("Timed out waiting for file /tmp/ray/session/gcs_server_port_66"), "did not start within"),
        (OSError("validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes: /t/x"), "107 bytes"),
        (RuntimeError("somebody's words"), "Ray could not be started (RuntimeError)"),
    ],
)
def test_start_error_names_the_cause_by_rays_words(error: Exception, message: str) -> None:
    ours = start_error(error, Path("/tmp/ray"))
    assert message in ours.message
    assert ours.hint
    assert "somebody" not in str(ours)


def test_start_error_hints_at_the_limit_of_processes_when_ray_timed_out() -> None:
    assert "ulimit -u" in start_error(RuntimeError("Timed out waiting for file x"), Path("/tmp/ray")).hint


START_IN_A_LONG_FOLDER = """
from pathlib import Path
from ray_import.cluster.environment import prepare_environment
prepare_environment()
from ray_import.cluster.session import start
from ray_import.errors import ClusterError
try:
    start(1, 0)
except ClusterError as error:
    print(error)
"""


def test_start_says_that_the_temporary_folder_has_too_long_a_path(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 90)
    folder.mkdir()
    environment = dict(os.environ) | {"RAY_TMPDIR": str(folder)}
    program = [sys.executable, "-c", START_IN_A_LONG_FOLDER]
    said = subprocess.run(program, env=environment, capture_output=True, text=True, check=True).stdout
    assert "too long a path for a socket (107 bytes" in said
    assert "RAY_TMPDIR" in said


SLOW_ONCE = """
import sys, time
from pathlib import Path
once = Path(__file__).with_name("was-slow")
if any("dashboard/agent.py" in word for word in sys.orig_argv) and not once.exists():
    once.touch()
    time.sleep(25)  # a machine so busy that Ray's raylet ends itself
"""

START_ON_A_BUSY_MACHINE = """
import os
from ray_import.cluster.environment import prepare_environment
prepare_environment()
from ray_import.cluster.session import start
os.getloadavg = lambda: (1000.0, 1000.0, 1000.0)
start(1, 0)
import psutil, ray
below = psutil.Process().children(recursive=True)
print(ray.is_initialized(), sum("gcs_server" in process.name() for process in below))
"""


@pytest.mark.ray
def test_start_is_tried_again_when_a_busy_machine_made_it_time_out(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_ONCE)
    environment = dict(os.environ) | {"PYTHONPATH": str(tmp_path)}
    program = [sys.executable, "-c", START_ON_A_BUSY_MACHINE]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert (tmp_path / "was-slow").exists()
    assert done.stdout.split() == ["True", "1"], done.stderr


def test_check_folder_refuses_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_folder(tmp_path / "ray")
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(100, 99, 1))
    with pytest.raises(ClusterError, match="is full"):
        check_folder(tmp_path / "ray")


def test_check_folder_refuses_one_in_a_folder_that_this_user_cannot_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_stat, closed = os.stat, tmp_path / "closed"

    def stat(path: Any, **options: Any) -> os.stat_result:
        if str(path).startswith(f"{closed}/"):
            raise PermissionError(13, "Permission denied", str(path))
        return real_stat(path, **options)

    closed.mkdir()
    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(os, "access", lambda path, _mode: path != closed)
    with pytest.raises(ClusterError, match="cannot be written"):
        check_folder(closed / "of somebody else" / "ray")


def test_check_folder_and_shared_memory_refuse_what_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = Path("/proc/1")  # not even root may write there
    with pytest.raises(ClusterError, match="cannot be written: /proc/1/ray"):
        check_folder(nowhere / "ray")
    with pytest.raises(ClusterError, match="/proc/1 cannot be written"):
        check_shared_memory(nowhere)


@pytest.mark.parametrize(("nice", "before", "after"), [(False, None, "0"), (True, None, None), (False, "7", "7")])
def test_prepare_environment_leaves_workers_the_niceness_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, nice: bool, before: str | None, after: str | None
) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):  # put back afterwards
        monkeypatch.setenv(name, os.environ.get(name, "token"))
    if before is None:
        monkeypatch.setenv(WORKER_NICENESS, "")
        monkeypatch.delenv(WORKER_NICENESS)
    else:
        monkeypatch.setenv(WORKER_NICENESS, before)
    prepare_environment(nice=nice)
    assert os.environ.get(WORKER_NICENESS) == after
