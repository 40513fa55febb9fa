"""Below `uv run`, Ray by default packs the working directory for the workers: that stays off unless it is asked for."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.ray_head import Head, ray_head
from tests.cluster.test_secrets import RAYS_FOLDER, SAMPLE, texts_in

pytestmark = pytest.mark.ray

CANARY = "planted-canary-7351"
OF_ENVIRONMENT = "planted-variable-2846"
UV_FOR_WORKERS = '#!/bin/sh\nwhile [ "$1" != python ]; do shift; done\nshift\nexec "$TEST_PYTHON" "$@"\n'
"""What Ray starts workers with where its hook is on: `uv run … python …`."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with private files, and a program `uv` beside it."""
    folder = tmp_path / "work"
    (folder / ".ssh").mkdir(parents=True)
    for name in (".env", ".ssh/id_ed25519", "notes.txt"):
        (folder / name).write_text(f"KEY={CANARY}\n")
    (folder / "run").write_text('"$@"\nexit $?\n')
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(UV_FOR_WORKERS)
    uv.chmod(0o755)
    return folder


def import_below_uv_run(folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`ray-import run` as a child of a process with the command line `uv run …`, by which Ray's hook knows uv."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    clean |= {"PATH": f"{folder.parent / 'bin'}{os.pathsep}{clean['PATH']}", "TEST_PYTHON": sys.executable}
    command = [
        "uv",
        "run",
        sys.executable,
        "-m",
        "ray_import",
        "run",
        str(SAMPLE),
        "--executor",
        "ray",
        "--to",
        "sqlite:///chunks.db",
    ]
    return subprocess.run(
        command, executable="/bin/sh", cwd=folder, env=clean | {"PLANTED": OF_ENVIRONMENT} | variables,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def places_of(secret: str, texts: dict[str, str]) -> list[str]:
    """The files in which it stands."""
    return [place for place, text in texts.items() if secret in text]


def import_with_own_ray(folder: Path, variables: dict[str, str]) -> dict[str, str]:
    """All that the import's own Ray leaves in its session's folder."""
    before = set(RAYS_FOLDER.glob("session_2*"))
    done = import_below_uv_run(folder, variables)
    assert done.returncode == 0, done.stderr
    sessions = set(RAYS_FOLDER.glob("session_2*")) - before
    texts = {place: text for session in sessions for place, text in texts_in(session).items()}
    assert len(texts) > 10
    return texts


def test_session_holds_nothing_of_the_working_directory_when_run_below_uv_run(folder: Path) -> None:
    texts = import_with_own_ray(folder, {})
    assert places_of(CANARY, texts) == []
    assert places_of(OF_ENVIRONMENT, texts) == []


def test_session_holds_the_working_directory_when_the_user_turns_the_hook_on(folder: Path) -> None:
    texts = import_with_own_ray(folder, {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "1"})
    assert places_of(CANARY, texts) != []


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    """A cluster to join."""
    with ray_head(token=True) as up:
        yield up


def test_cluster_holds_nothing_of_the_working_directory_when_joined_below_uv_run(head: Head, folder: Path) -> None:
    rays_own = {name: value for name, value in head.environment.items() if name.startswith("RAY_")}
    done = import_below_uv_run(folder, rays_own | {"RAY_ADDRESS": head.gcs})
    assert done.returncode == 0, done.stderr
    texts = texts_in(head.folder)
    assert len(texts) > 10
    assert places_of(CANARY, texts) == []
    assert places_of(OF_ENVIRONMENT, texts) == []
