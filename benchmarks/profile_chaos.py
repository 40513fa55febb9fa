"""Kills runs over many users' profiles at seeded moments: `python -m benchmarks.profile_chaos --seeds 20 --users 50`.

A run makes the profiles in a process of its own, without Ray, as `ray-import profiles` does, by direct calls or by
batches; the fake API is another process. The run is killed with SIGKILL after a seeded number of requests, and started
again, until it comes to its end. Then the tables have to be those of an undisturbed run, but for times and random ids;
no request of a batch may have been paid twice, and of direct calls at most those that were in flight when a run was
killed. Exits with 1 where that does not hold.
"""

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import machine
from benchmarks.profile_data import chats_of, words_of
from ray_import.cli.profile_run import make_profiles
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.profile.settings import IN_FLIGHT, ProfileSettings
from tests.support.model_api.ledger import LedgerCopy
from tests.support.model_api.server import ModelApi, model_api_process
from tests.support.profile.chats import store

ROOT = Path(__file__).parents[1]
LATENCY_SECONDS = 0.1
BATCH_SECONDS = 0.3
KILLS = (2, 5)
"""So many times a run is killed."""
HUNG_AFTER_SECONDS = 300.0

TABLES = {
    "facts": "SELECT user_id, id, category, subject, statement, quote, conversation_id, node_id, said_at, valid_from,"
    " valid_to, status, superseded_by, seen FROM profile_facts",
    "fact_units": "SELECT user_id, fact_id, unit_id FROM profile_fact_units",
    "units": "SELECT user_id, id, conversation_id, content_hash, state, reason, attempts FROM profile_units",
    "versions": "SELECT user_id, kind, model, sections, memory_md, facts_hash FROM profile_versions",
    "answers": "SELECT user_id, kind, result FROM profile_requests WHERE state = 'answered' AND kind <> 'facts'",
    "open_requests": "SELECT user_id, id FROM profile_requests WHERE state IN ('sending', 'in_batch')",
    "open_runs": "SELECT user_id, id FROM profile_runs WHERE status = 'running'",
}
"""What has to be equal. Nothing is open at the end."""


@dataclass(slots=True)
class Outcome:
    """What was killed, and what came of it."""

    kills: int = 0
    paid: int = 0
    wasted: int = 0
    """Paid requests whose answer is not stored."""
    unknown_outcome: int = 0
    resumed_batches: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Calm:
    """What an undisturbed run leaves, and which planted sentences it has paid for."""

    rows: dict[str, list[tuple[object, ...]]]
    sentences: Counter[str]


def put_users(path: Path, users: int) -> None:
    """Imports the chats of all users: each has several requests, and facts of their own."""
    rng = random.Random(0)
    with closing(SqliteSink(path, create=True)) as sink:
        for number in range(users):
            chats = chats_of(rng.uniform(0.03, 0.12), seed=number + 1, words=words_of(random.Random(number)))
            store(sink, f"user-{number:03}", chats)


def run(path: Path, api: ModelApi, way: str, kill_after: int | None, delay_seconds: float = 0.0) -> bool:
    """Runs over all users, to the end or for a moment after so many requests more are stored; whether it was killed."""
    command = [sys.executable, "-m", "benchmarks.profile_chaos", "--child", str(path), "--way", way]
    environment = os.environ | api.environment()
    environment.pop("RAY_ADDRESS", None)  # would take the run to Ray
    with (
        closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as db,
        subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.DEVNULL) as process,
    ):
        begun, ends_at = requests_in(db), time.monotonic() + HUNG_AFTER_SECONDS
        while process.poll() is None:
            time.sleep(0.01)  # leaves the CPUs to the run
            if kill_after is not None and requests_in(db) - begun >= kill_after:
                time.sleep(delay_seconds)
                process.send_signal(signal.SIGKILL)
                break
            if time.monotonic() > ends_at:
                process.kill()
                raise SystemExit(f"the run hangs: {path}")
    if process.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(f"the run has ended with {process.returncode}")
    return process.returncode == -signal.SIGKILL


def requests_in(db: sqlite3.Connection) -> int:
    """How often a request was stored, or changed its state, as a number that only grows."""
    (found,) = db.execute(
        "SELECT sum(CASE state WHEN 'sending' THEN 1 WHEN 'in_batch' THEN 2 ELSE 3 END) FROM profile_requests"
    ).fetchone()
    return int(found or 0)


def rows_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """The tables that have to be equal."""
    with closing(sqlite3.connect(path)) as db:
        return {name: sorted(db.execute(query).fetchall(), key=repr) for name, query in TABLES.items()}


def disturbed(path: Path, api: ModelApi, way: str, seed: int, most: int) -> Outcome:
    """Kills runs until the last one comes to its end. `most` is what an undisturbed run stores."""
    rng, outcome, began = random.Random(f"{way} {seed}"), Outcome(), time.monotonic()
    kills = rng.randint(*KILLS)
    while outcome.kills < kills:
        delay_seconds = rng.choice((0.0, rng.uniform(0, 0.03), rng.uniform(0, 0.3)))
        if not run(path, api, way, rng.randint(1, 2 * most // (kills + 1)), delay_seconds):
            break
        outcome.kills += 1
    run(path, api, way, None)
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


def sentences_of(ledger: LedgerCopy) -> Counter[str]:
    """How often each planted sentence was read by a request for facts that was paid."""
    return Counter(sentence for each in ledger.paid if each.kind == "facts" for sentence in each.planted)


def judge(outcome: Outcome, path: Path, ledger: LedgerCopy, way: str, calm: Calm) -> None:
    """Writes down what does not hold."""
    left = rows_of(path)
    outcome.wrong = [
        f"{name} -{len(set(rows) - set(left[name]))} +{len(set(left[name]) - set(rows))}"
        for name, rows in calm.rows.items()
        if left[name] != rows
    ]
    with closing(sqlite3.connect(path)) as db:
        counts = dict(db.execute("SELECT state, count(*) FROM profile_requests GROUP BY state").fetchall())
        (outcome.resumed_batches,) = db.execute(
            "SELECT coalesce(sum(json_extract(report, '$.resumed_batches')), 0) FROM profile_runs"
        ).fetchone()
    outcome.paid = len(ledger.paid)
    outcome.unknown_outcome = counts.get("unknown_outcome", 0)
    outcome.wasted = outcome.paid - counts.get("answered", 0)
    allowed = 0 if way == "batch" else IN_FLIGHT * outcome.kills
    if outcome.wasted > allowed:
        outcome.wrong.append(f"{outcome.wasted} requests paid for nothing, {allowed} allowed")
    if outcome.unknown_outcome > allowed:
        outcome.wrong.append(f"{outcome.unknown_outcome} unknown outcomes, {allowed} allowed")
    again = (sentences_of(ledger) - calm.sentences).total()
    if way == "batch" and (again or ledger.paid_twice()):
        outcome.wrong.append(f"{len(ledger.paid_twice())} equal requests, {again} sentences paid twice")
    wrong = set(counts) - {"answered", "unknown_outcome", "failed"}
    if wrong:
        outcome.wrong.append(f"requests are left {', '.join(sorted(wrong))}")


def storm(way: str, seeds: range, users: int, folder: Path) -> int:
    """All seeds of one way; how many went wrong."""
    template = folder / "imported.db"
    if not template.exists():
        put_users(template, users)
    calm = folder / f"{way}-calm.db"
    with model_api_process(latency_seconds=LATENCY_SECONDS, batch_seconds=BATCH_SECONDS) as api:
        _copy(template, calm)
        run(calm, api, way, None)
        ledger = api.ledger()
        expected = Calm(rows_of(calm), sentences_of(ledger))
    with closing(sqlite3.connect(calm)) as db:
        most = requests_in(db)
    facts = len(expected.rows["facts"])
    print(f"{way}: {users} users, {len(ledger.paid)} requests, {facts} facts undisturbed", flush=True)
    bad = 0
    for seed in seeds:
        path = folder / f"{way}-{seed}.db"
        _copy(template, path)
        with model_api_process(latency_seconds=LATENCY_SECONDS, batch_seconds=BATCH_SECONDS) as api:
            outcome = disturbed(path, api, way, seed, most)
            judge(outcome, path, api.ledger(), way, expected)
        path.unlink()
        bad += bool(outcome.wrong)
        print(
            f"{way} seed {seed}: {outcome.kills} kills in {outcome.seconds} s, {outcome.paid} paid,"
            f" {outcome.wasted} without a stored answer, {outcome.unknown_outcome} unknown outcomes,"
            f" {outcome.resumed_batches} batches resumed: {', '.join(outcome.wrong) or 'tables as undisturbed'}",
            flush=True,
        )
    return bad


def _copy(template: Path, path: Path) -> None:
    with closing(sqlite3.connect(template)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode = wal")


def child(path: Path, way: str) -> None:
    """The run that is killed: `ray-import profiles --all`, with batches that are looked at more often."""
    with closing(SqliteSink(path, create=False)) as sink:
        users = sink.profile_users()
    settings = ProfileSettings(in_batches=way == "batch", poll_seconds=0.1, lost_batch_seconds=2.0)
    reports = make_profiles(users, f"sqlite:///{path}", settings)
    raise SystemExit(max(report.exit_code for report in reports))


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profile_chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=3, help="so many storms of each way")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--way", choices=["now", "batch", "both"], default="both")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.way)
    seeds = range(options.first, options.first + options.seeds)
    with tempfile.TemporaryDirectory(prefix="ray-import-profile-chaos-") as folder:
        ways = ["now", "batch"] if options.way == "both" else [options.way]
        bad = sum(storm(way, seeds, options.users, Path(folder)) for way in ways)
    print(machine.in_a_line())
    if bad:
        raise SystemExit(f"{bad} of {options.seeds * len(ways)} are not as they have to be")


if __name__ == "__main__":
    main()
