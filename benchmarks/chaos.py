"""Runs over many users in a storm: `python -m benchmarks.chaos --seeds 5 --users 200`.

Processes, machines and the run itself are lost at random moments, and one request in ten goes wrong, of those to the
exports' server as of those to the database; one user in twenty has a bad export. The run is started again until it
ends, now and then over a part of the users first. Then every table has to be that of an undisturbed run, but for times
and the ids of imports and runs. One seed gives one storm, as far as clocks do.
"""

import argparse
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from ray_import.cluster.environment import prepare_environment

prepare_environment()  # before anything imports Ray

from benchmarks import machine  # noqa: E402
from tests.support.cluster.reimports import started  # noqa: E402
from tests.support.storm_site import Site, site  # noqa: E402
from tests.support.user_exports import Users  # noqa: E402

LOOK_EVERY_S = 0.05
WORKER_LIVES_S = (1.0, 4.0)
MACHINE_LIVES_S = (5.0, 12.0)
HUNG_AFTER_S = 600


@dataclass(slots=True)
class Storm:
    """What was lost, how often the run was started, and for how many seconds it all went on."""

    workers: int = 0
    machines: int = 0
    runs_killed: int = 0
    runs_over_a_part: int = 0
    runs: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Strength:
    """How much is lost at the most, and for how many seconds a run lives that is lost.

    Workers are not without end: a conversation that is there whenever one is lost is rejected after three times, and
    who loses them faster than they start gets nowhere.
    """

    runs: int = 4
    machines: int = 3
    workers: int = 20
    runs_over_a_part: int = 2
    run_lives_s: tuple[float, float] = (4.0, 12.0)


def in_fair_weather(place: Site, users: Users) -> dict[str, list[str]]:
    """What an undisturbed run leaves."""
    place.clear()
    place.fail_no_more()
    with _started(place, users) as process:
        _is_well(process)
    return place.left()


def through_the_storm(
    place: Site, users: Users, seed: int, strength: Strength = Strength()
) -> tuple[Storm, dict[str, list[str]]]:
    """Starts the run again and again until it ends by itself; what happened to it, and what it leaves."""
    place.clear()
    place.fail_one_in_ten(seed)
    rng, storm, began = random.Random(seed), Storm(), time.monotonic()
    while True:
        storm.runs += 1
        part = _part_of(users, rng) if storm.runs_over_a_part < strength.runs_over_a_part else ()
        storm.runs_over_a_part += bool(part)
        with _started(place, users, *part) as process:
            if _ends_by_itself(process, place, rng, storm, strength):
                _is_well(process)
                if not part:
                    break
        if time.monotonic() - began > HUNG_AFTER_S:
            raise RuntimeError(f"seed {seed} hangs: {storm}")
    storm.seconds = time.monotonic() - began
    place.fail_no_more()
    return storm, place.left()


def differences(calm: Mapping[str, list[str]], wild: Mapping[str, list[str]]) -> list[str]:
    """The tables in which they differ: how many rows are missing, how many too many, and a few users of these."""
    told = []
    for table, expected in calm.items():
        found = wild[table]
        if found != expected:
            missing, too_many = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
            users = sorted(too_many.elements())[:5] if "users" in table else []
            told.append("\n    ".join([f"{table} -{missing.total()} +{too_many.total()}", *users]))
    return told


def _part_of(users: Users, rng: random.Random) -> tuple[str, ...]:
    """The options of a run over some of the users, or none, which is over all."""
    some = rng.sample(sorted(users.sources), min(20, len(users.sources)))
    named = tuple(f"--only={user}" for user in some)
    return rng.choice([(), named, ("--limit", str(len(users.sources) // 4)), ("--failed",)])


def _started(place: Site, users: Users, *part: str) -> AbstractContextManager["subprocess.Popen[bytes]"]:
    environment = os.environ | {"RAY_ADDRESS": place.cluster.address}
    return started(users.manifest, "supabase", *part, environment=environment)


def _is_well(process: "subprocess.Popen[bytes]") -> None:
    """A run that ends by itself has done all users, of whom some failed. Raises RuntimeError."""
    said = process.communicate(timeout=HUNG_AFTER_S)[1].decode()
    if process.returncode not in (0, 1):
        raise RuntimeError(f"The run ended with exit code {process.returncode}: {said}")


def _ends_by_itself(
    process: "subprocess.Popen[bytes]", place: Site, rng: random.Random, storm: Storm, strength: Strength
) -> bool:
    began = time.monotonic()
    dies_at = began + rng.uniform(*strength.run_lives_s)
    machine_at = began + rng.uniform(*MACHINE_LIVES_S)
    worker_at = began + rng.uniform(*WORKER_LIVES_S)
    while (now := time.monotonic()) - began < HUNG_AFTER_S:
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_EVERY_S)
            break
        if now >= dies_at and storm.runs_killed < strength.runs:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            storm.runs_killed += 1
            return False
        if now >= machine_at and storm.machines < strength.machines:
            place.lose_a_machine(rng)
            storm.machines += 1
            machine_at = now + rng.uniform(*MACHINE_LIVES_S)
        if now >= worker_at and storm.workers < strength.workers:
            storm.workers += place.lose_a_worker(rng)
            worker_at = now + rng.uniform(*WORKER_LIVES_S)
    return True


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs over many users in a storm."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=main.__doc__)
    options.add_argument("--seeds", type=int, default=3, help="so many storms")
    options.add_argument("--first", type=int, default=0, help="the first seed")
    options.add_argument("--users", type=int, default=200)
    chosen = options.parse_args(arguments)
    bad = 0
    with site() as place, tempfile.TemporaryDirectory(prefix="ray-import-chaos-") as folder:
        users = place.put(Path(folder), chosen.users, chosen.first)
        calm = in_fair_weather(place, users)
        for seed in range(chosen.first, chosen.first + chosen.seeds):
            storm, wild = through_the_storm(place, users, seed)
            different = differences(calm, wild)
            bad += bool(different)
            print(f"seed {seed}: {storm}: {', '.join(different) or 'identical'}", flush=True)
    print(machine.in_a_line())
    if bad:
        raise SystemExit(f"{bad} of {chosen.seeds} differ")


if __name__ == "__main__":
    main()
