"""Runs over many users in a storm: `python -m benchmarks.chaos --seeds 5 --users 300`.

Workers are killed at random moments, and so is the run itself, which is started again until it ends. Then every table
has to be that of an undisturbed run, but for times and the ids of imports and runs. One seed gives one storm, as far as
clocks do.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.user_exports import Users, query_in, rows_in, write_users

BAD_SHARE = 0.05
LOOK_EVERY_S = 0.05
WORKER_LIVES_S = (0.5, 1.5)
RUN_LIVES_S = (3.0, 9.0)


@dataclass(slots=True)
class Storm:
    """What happened: processes that were killed, and how often the run was started."""

    workers_killed: int = 0
    runs_killed: int = 0
    runs: int = 0


def chaotic_users(folder: Path, count: int, seed: int) -> Users:
    """Users of 20 to 150 KB, one in twenty of them bad."""
    rng = random.Random(seed)
    bad = max(3, round(count * BAD_SHARE))
    third = bad // 3
    sizes = [rng.uniform(20, 150) for _ in range(count)]
    return write_users(folder, sizes, missing=third, foreign=third, damaged=bad - 2 * third, seed=seed)


def through_the_storm(users: Users, database: Path, address: str, seed: int, most_runs_killed: int) -> Storm:
    """Starts the run on the Ray at `address`, of this process's, again and again until it ends by itself."""
    rng, storm = random.Random(seed), Storm()
    while True:
        storm.runs += 1
        with _started(users, database, address) as process:
            if _ends_by_itself(process, rng, storm, storm.runs_killed < most_runs_killed):
                said = process.communicate()[0].decode()
                if process.returncode not in (0, 1):
                    raise RuntimeError(f"The run ended with exit code {process.returncode}: {said}")
                return storm


def in_fair_weather(users: Users, database: Path, address: str) -> None:
    """The same undisturbed."""
    with _started(users, database, address) as process:
        said = process.communicate()[0].decode()
        if process.returncode not in (0, 1):
            raise RuntimeError(f"The run ended with exit code {process.returncode}: {said}")


def differences(one: Path, other: Path) -> list[str]:
    """The tables in which two runs differ, and users that are not done."""
    found = [table for table, rows in rows_in(one).items() if rows != rows_in(other)[table]]
    users = "SELECT user_id, source, state, version, error FROM import_run_users ORDER BY user_id"
    if query_in(one, users) != query_in(other, users):
        found.append("import_run_users")
    if query_in(one, "SELECT id FROM import_jobs WHERE status = 'running'"):
        found.append("import_jobs")
    if [status for (status,) in query_in(one, "SELECT status FROM import_runs")] != ["complete"]:
        found.append("import_runs")
    return found


def _started(users: Users, database: Path, address: str) -> "subprocess.Popen[bytes]":
    command = [
        sys.executable,
        "-m",
        "ray_import",
        "reimport",
        "--users",
        str(users.manifest),
        "--to",
        f"sqlite:///{database}",
    ]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"RAY_ADDRESS": address},
        start_new_session=True,
    )


def _ends_by_itself(process: "subprocess.Popen[bytes]", rng: random.Random, storm: Storm, mortal: bool) -> bool:
    dies_at = time.monotonic() + rng.uniform(*RUN_LIVES_S)
    next_worker_at = time.monotonic() + rng.uniform(*WORKER_LIVES_S)
    while process.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_EVERY_S)
        now = time.monotonic()
        if mortal and now >= dies_at:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            storm.runs_killed += 1
            return False
        if now >= next_worker_at:
            storm.workers_killed += _kill_a_worker(rng)
            next_worker_at = now + rng.uniform(*WORKER_LIVES_S)
    return True


def _kill_a_worker(rng: random.Random) -> bool:
    """Of the Ray that this process has started."""
    workers = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if any(word.startswith("ray::ImportWorker") for word in process.cmdline()):
                workers.append(process)
    if not workers:
        return False
    with suppress(psutil.Error):
        rng.choice(workers).kill()
    return True


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs over many users in a storm."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=main.__doc__)
    options.add_argument("--seeds", type=int, default=3, help="so many storms")
    options.add_argument("--users", type=int, default=200)
    options.add_argument("--runs-killed", type=int, default=5, help="at the most, in each")
    chosen = options.parse_args(arguments)
    from ray_import.cluster.environment import prepare_environment  # noqa: PLC0415 - before Ray is imported

    prepare_environment()
    import ray  # noqa: PLC0415

    from ray_import.cluster.session import ray_session  # noqa: PLC0415

    bad = 0
    with ray_session(2):
        address = ray.get_runtime_context().gcs_address
        for seed in range(chosen.seeds):
            with tempfile.TemporaryDirectory(prefix="ray-import-chaos-") as folder:
                users = chaotic_users(Path(folder), chosen.users, seed)
                calm, wild = Path(folder) / "calm.db", Path(folder) / "wild.db"
                in_fair_weather(users, calm, address)
                storm = through_the_storm(users, wild, address, seed, chosen.runs_killed)
                different = differences(wild, calm)
            bad += bool(different)
            print(f"seed {seed}: {storm}: {', '.join(different) or 'identical'}", flush=True)
    if bad:
        raise SystemExit(f"{bad} of {chosen.seeds} differ")


if __name__ == "__main__":
    main()
