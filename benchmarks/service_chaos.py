"""Kills the service at seeded moments: `python -m benchmarks.service_chaos --seeds 20 --jobs 60 --serves 2 --works 3`.

Real `ray-import serve` and `ray-import work` processes, a real Postgres (or SQLite), and exports of 20 KB to 1 MB in
the tests' stand-in for Storage; a few of them are missing, are no exports, or hold a conversation that cannot be read.
Clients ask with retries and an Idempotency-Key, while SIGKILL and SIGTERM meet both kinds of processes, alone or
together with their children, mostly in the middle of a job or of a request; a supervisor starts them again. A job that
three workers have begun is left in peace, as one that five have begun is given up.

Then every job that was accepted must have ended once, in the state in which it ends undisturbed: a trigger in the
database records each change of a state. There is no job that no client knows, nothing runs, no source is kept, no
request was answered with what is neither acceptance nor a reason to wait, a process that was asked to end did so in
time, and none ended by itself. Chunks, messages, the ledger and rejects are those of an undisturbed run, but for times
and random ids. With `--profile`, conversations have planted facts, the fake API of the tests makes profiles of them,
and these are compared, too. Exits with 1 where that does not hold. One seed gives one storm, as far as clocks do.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import machine
from benchmarks.profile_chaos import TABLES as PROFILE_TABLES
from benchmarks.service_clients import Answers, Clients, Wanted
from benchmarks.service_exports import put_chats, put_exports
from benchmarks.service_site import KINDS, Databases, Fetch, databases, site, storage
from benchmarks.service_supervisor import Kills, Supervisor, wait_until_all_ended
from ray_import.profile.settings import IN_FLIGHT
from tests.support.model_api.server import ModelApi, model_api_process
from tests.support.user_exports import COMPARED

LATENCY_SECONDS = 0.2
ARRIVAL_SECONDS = 0.4
"""Between two requests of the clients, on average."""
HUNG_AFTER_SECONDS = 900.0
ENDS_WITHIN_SECONDS = 30.0
"""From SIGTERM on: what the platform gives."""
MESSAGES = (
    "user_id, product, conversation_id, node_id, parent_id, thread, on_active_path, position, role, created_at, model,"
    " text, quoted, attachments"
)
TABLES = {table: f"SELECT {columns} FROM {table}" for table, columns in COMPARED.items()} | {
    "conversation_messages": f"SELECT {MESSAGES} FROM conversation_messages",
    "running_imports": "SELECT id FROM import_jobs WHERE status = 'running'",
    "running_runs": "SELECT id FROM import_runs WHERE status = 'running'",
    "sources_kept": "SELECT id FROM service_jobs WHERE source <> ''",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What all seeds have in common."""

    wanted: Sequence[Wanted]
    serves: int
    works: int
    web_workers: int
    environment: Mapping[str, str]
    api: ModelApi | None


@dataclass(frozen=True, slots=True)
class Left:
    """What a run leaves: the tables, and how each job ended."""

    rows: Mapping[str, Sequence[str]]
    ends: Mapping[Wanted, str]


@dataclass(slots=True)
class Run:
    """What happened in one run, and what of it ought not to."""

    left: Left
    kills: Kills
    answers: Answers
    attempts: int = 0
    seconds: float = 0.0
    paid: int = 0
    unused: int = 0
    """Paid requests whose answer is not stored."""
    wrong: list[str] = field(default_factory=list)


def run(made: Databases, plan: Plan, seed: int | None) -> Run:
    """One run over all jobs; without a seed, an undisturbed one."""
    with site(made, plan.environment) as place:
        place.database.record_transitions()
        if plan.api:
            plan.api.forget_ledger()
        began = time.monotonic()
        supervisor = Supervisor(
            place,
            plan.serves,
            plan.works,
            web_workers=plan.web_workers,
            seed=seed or 0,
            ends_within=ENDS_WITHIN_SECONDS,
        )
        with supervisor:
            over_seconds = ARRIVAL_SECONDS * len(plan.wanted)
            clients = Clients(supervisor.serves, seed or 0, over_seconds, supervisor.asked)
            clients.begin(plan.wanted)
            if seed is not None:
                supervisor.storm()
            all_ended = wait_until_all_ended(
                place.database, len(plan.wanted), HUNG_AFTER_SECONDS, lambda: _all_answered(clients, plan)
            )
            supervisor.calm()
            clients.stop.set()
            answers = clients.end()
        with place.database.connected() as fetch:
            found = Run(_left(fetch, answers, plan), supervisor.kills, answers)
            found.wrong = [*supervisor.kills.wrong, *answers.wrong, *_ended_once(fetch, answers)]
            found.attempts = fetch("SELECT sum(attempts) FROM service_jobs")[0][0]
            if plan.api:
                _look_at_payments(found, fetch, plan.api)
        if not all_ended:
            states = place.database.fetch("SELECT state, count(*) FROM service_jobs GROUP BY state")
            found.wrong.append(f"not all have ended after {HUNG_AFTER_SECONDS:g} s: {states}")
        found.seconds = time.monotonic() - began
        return found


def _all_answered(clients: Clients, plan: Plan) -> bool:
    return len(clients.answers.jobs) == len(plan.wanted) or bool(clients.answers.wrong)


def _left(fetch: Fetch, answers: Answers, plan: Plan) -> Left:
    queries = TABLES | PROFILE_TABLES if plan.api else TABLES
    rows = {table: sorted(repr(tuple(row)) for row in fetch(query)) for table, query in queries.items()}
    states = {
        job_id: (state, error_type)
        for job_id, state, error_type in fetch("SELECT id, state, error_type FROM service_jobs")
    }
    ends = {wanted: " ".join(filter(None, states.get(job_id, ("lost",)))) for wanted, job_id in answers.jobs.items()}
    return Left(rows, ends)


def _ended_once(fetch: Fetch, answers: Answers) -> Iterator[str]:
    """What does not hold of the changes of the jobs' states."""
    ended, left_an_end = Counter[str](), list[str]()
    for job_id, before, after in fetch("SELECT job_id, before, after FROM bench_transitions"):
        ended[job_id] += after not in ("queued", "running")
        if before not in ("queued", "running"):
            left_an_end.append(f"{job_id} has gone from {before} to {after}")
    yield from left_an_end
    known = set(answers.jobs.values())
    if len(known) != len(answers.jobs):
        yield f"{len(answers.jobs)} requests have {len(known)} jobs"
    yield from (f"{job_id} has ended {ended[job_id]} times" for job_id in sorted(known) if ended[job_id] != 1)
    stored = {job_id for (job_id,) in fetch("SELECT id FROM service_jobs")}
    if stored - known:
        yield f"{len(stored - known)} jobs of which no client knows"
    if known - stored:
        yield f"{len(known - stored)} accepted jobs are not there"


def _look_at_payments(found: Run, fetch: Fetch, api: ModelApi) -> None:
    """Of direct calls, at most those that were in flight when a worker was killed are paid for nothing."""
    found.paid = len(api.ledger().paid)
    found.unused = found.paid - int(fetch("SELECT count(*) FROM profile_requests WHERE state = 'answered'")[0][0])
    kills = sum(count for what, count in found.kills.counts.items() if what.startswith("work"))
    if found.unused > IN_FLIGHT * kills:
        found.wrong.append(f"{found.unused} requests paid for nothing, {IN_FLIGHT * kills} allowed")


def differences(calm: Left, wild: Left) -> Iterator[str]:
    """Where they differ, in numbers of rows, and the jobs that ended otherwise."""
    for table, expected in calm.rows.items():
        missing = Counter(expected) - Counter(wild.rows[table])
        too_many = Counter(wild.rows[table]) - Counter(expected)
        if missing or too_many:
            users = sorted({row.split("'")[1] for row in (missing + too_many).elements() if "'" in row})[:3]
            yield f"{table} -{missing.total()} +{too_many.total()} ({', '.join(users)})"
    for wanted, expected_end in calm.ends.items():
        found = wild.ends.get(wanted, "not accepted")
        if found != expected_end:
            yield f"{wanted.key} of {wanted.user_id} is {found}, not {expected_end}"


def told(name: str, found: Run) -> str:
    """A run in a line."""
    kills = ", ".join(f"{count} x {what}" for what, count in sorted(found.kills.counts.items())) or "no kills"
    statuses = ", ".join(f"{count} x {what}" for what, count in sorted(found.answers.statuses.items()))
    paid = f", {found.paid} paid, {found.unused} of them in vain" if found.paid else ""
    wrong = "; ".join(found.wrong) or "each job ended once, tables as undisturbed"
    slowest = found.kills.slowest_end_seconds
    return (
        f"{name}: {kills}; {statuses}; {found.attempts} attempts of {len(found.answers.jobs)} jobs{paid};"
        f" slowest end {slowest:.1f} s; {found.seconds:.0f} s: {wrong}"
    )


@contextmanager
def planned(options: argparse.Namespace) -> Iterator[Plan]:
    """Writes the exports and serves them, and the fake API where it is wanted."""
    with (
        tempfile.TemporaryDirectory(prefix="ray-import-service-exports-") as folder,
        model_api_process(latency_seconds=LATENCY_SECONDS) if options.profile else nullcontext() as api,
    ):
        objects = Path(folder) / "storage"
        objects.mkdir()
        wanted = put_chats(objects, options.jobs) if options.profile else put_exports(objects, options.jobs)
        with storage(objects) as access:
            environment = {**access, **(api.environment() if api else {})}
            yield Plan(wanted, options.serves, options.works, options.web_workers, environment, api)


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.service_chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=3, help="so many storms")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=60)
    parser.add_argument("--serves", type=int, default=2, help="processes of `serve`, each on a port of its own")
    parser.add_argument("--web-workers", type=int, default=1, help="uvicorn's workers in each of them")
    parser.add_argument("--works", type=int, default=3, help="processes of `work`")
    parser.add_argument("--to", choices=KINDS, default="postgres")
    parser.add_argument("--profile", action="store_true", help="with profiles, by the tests' fake API")
    options = parser.parse_args()
    bad = 0
    with planned(options) as plan, databases(options.to) as made:
        calm = run(made, plan, None)
        print(told("undisturbed", calm), dict(Counter(calm.left.ends.values())), flush=True)
        if calm.wrong:
            raise SystemExit("the undisturbed run is not as it has to be")
        for seed in range(options.first, options.first + options.seeds):
            found = run(made, plan, seed)
            found.wrong += differences(calm.left, found.left)
            bad += bool(found.wrong)
            print(told(f"seed {seed}", found), flush=True)
    print(machine.in_a_line())
    if bad:
        raise SystemExit(f"{bad} of {options.seeds} are not as they have to be")


if __name__ == "__main__":
    main()
