"""Runs over many users as the tests start, watch and stop them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil
import ray

from tests.support.user_exports import query_in

DEADLINE_SECONDS = 240


@dataclass(frozen=True, slots=True)
class Reimported:
    """How a run ended: exit code, the object of --json, and what it said."""

    code: int
    report: dict[str, Any]
    said: str


Whose = Path | str | tuple[str, ...]
"""A manifest, a folder of a bucket, or options."""


def command(users: Whose, to: str, *options: str) -> list[str]:
    """A run over these users."""
    if isinstance(users, tuple):
        whose = list(users)
    else:
        whose = ["--users", str(users)] if isinstance(users, Path) else ["--from", users]
    return [sys.executable, "-m", "ray_import", "reimport", "--executor", "ray", *whose, "--to", to, "--json", *options]


def of_own_ray() -> dict[str, str]:
    """The environment of a run that starts a Ray of its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}


def of_this_ray() -> dict[str, str]:
    """The environment of a run that joins the Ray of the tests, which the fixture `session` has started."""
    assert ray.is_initialized(), "Ray would start one that nobody ends"
    return dict(os.environ) | {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}


def reimport(users: Whose, to: str, *options: str, environment: Mapping[str, str] | None = None) -> Reimported:
    """Runs to the end, on the Ray of the tests where nothing else is said."""
    with started(users, to, *options, environment=environment) as process:
        return ended(process)


@contextmanager
def started(
    users: Whose, to: str, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A run in a process group of its own, which is gone afterwards."""
    with subprocess.Popen(
        command(users, to, *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment or of_this_ray(),
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def ended(process: "subprocess.Popen[bytes]") -> Reimported:
    """Waits for the end."""
    out, said = process.communicate(timeout=DEADLINE_SECONDS)
    return Reimported(process.returncode, orjson.loads(out) if out.strip() else {}, said.decode())


def wait_until(holds: Callable[[], bool], process: "subprocess.Popen[bytes]", every_seconds: float = 0.02) -> None:
    """Looks again and again while the run goes on; fails where it has ended or takes too long."""
    until = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            raise AssertionError(f"it did not come to that: {process.communicate()[1].decode()}")
        time.sleep(every_seconds)  # between two looks, not instead of one


def run_users(database: Path) -> dict[str, tuple[str, int]]:
    """State and attempts of each user, as the newest run that has them left them."""
    rows = query_in(
        database,
        "SELECT user_id, state, attempts FROM import_run_users u JOIN import_runs r ON r.id = run_id"
        " ORDER BY started_at",
    )
    return {user_id: (state, attempts) for user_id, state, attempts in rows}


def jobs_by_user(database: Path) -> dict[str, list[str]]:
    """The status of each user's imports."""
    found: dict[str, list[str]] = {}
    for user_id, status in query_in(database, "SELECT user_id, status FROM import_jobs ORDER BY started_at"):
        found.setdefault(user_id, []).append(status)
    return found


def processes(root: int, *names: str) -> list[psutil.Process]:
    """The processes below `root` that Ray calls so: ImportWorker, read_export."""
    found = []
    for process in psutil.Process(root).children(recursive=True):
        try:
            title = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if title.startswith("ray::") and any(name in title for name in names):
            found.append(process)
    return found
