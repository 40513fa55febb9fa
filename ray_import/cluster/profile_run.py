"""The profiles of many users on a Ray that is up: workers that die are replaced, and their users taken up again."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ray_import.cluster.autoscaler import Machines
from ray_import.cluster.claude_calls import ClaudeCalls, calls_lost
from ray_import.cluster.failures import LOST, cannot_be_made, to_ours
from ray_import.cluster.profile_worker import ProfileWorker
from ray_import.cluster.session import Session
from ray_import.cluster.worker_slots import START_TIMEOUT_SECONDS, NoWorkerTimeout, StartupTimeouts
from ray_import.destinations.base import Destination, Sink
from ray_import.errors import ClusterError, ConfigError, ImporterError, ModelError
from ray_import.profile.many_users import MOST_LOSSES, USERS_AT_ONCE, Assignments, failed_report
from ray_import.profile.progress import ProfilesReporter, Totals
from ray_import.profile.report import ProfileReport
from ray_import.profile.settings import ProfileSettings

DIRECT_USERS_AT_ONCE = 4
"""Of a worker by direct calls, which are soon answered; by batches it has as many as a process alone."""

LOOK_EVERY_SECONDS = 1.0
WAIT_SECONDS = 0.2
CALLS_AT_ONCE = 10_000
"""Of the actor that makes the calls: most of them wait."""

MOST_FAILED_STARTS = 3
"""So many workers in succession that die before they can work are a fault of all of them."""


def make_profiles_on_ray(
    session: Session,
    destination: Destination,
    sink: Sink,
    settings: ProfileSettings,
    user_ids: Sequence[str],
    workers: int | None,
    reporters: Sequence[ProfilesReporter],
    tell: Callable[[str], None] = lambda _: None,
) -> list[ProfileReport]:
    """A report for each user, in their order, by at most `workers` workers (default: one per CPU). `sink` is the
    driver's own connection.

    What ends one user's run is in its report, and leaves the others alone; but where the API refuses for good, no other
    run is begun. Raises ClusterError, ConfigError where there is no key, and SinkError where no worker can open the
    destination.
    """
    machines = Machines.of(session, destination, workers, None)

    def lanes() -> int:
        return session.lanes(workers) if destination.on_this_machine else session.lanes_anywhere(workers)

    with machines.asked_for(), closing(ClaudeCallsActor(session, settings)) as calls:
        calls.wait_until_ready()
        make_worker = _worker_factory(session, destination, settings, calls.actor)
        patience = machines.patience
        with closing(
            ProfilesRun(calls.actor, make_worker, lanes, sink, settings, user_ids, reporters, tell, patience)
        ) as run:
            return run.to_the_end()


class ClaudeCallsActor:
    """The actor of the key, on this machine. It is not started again where it dies: see `calls_lost`."""

    def __init__(self, session: Session, settings: ProfileSettings) -> None:
        self._is_local = session.local
        self.actor = (
            ray.remote(ClaudeCalls)
            .options(
                name="claude-calls",
                num_cpus=0,
                max_restarts=0,
                max_task_retries=0,
                max_concurrency=CALLS_AT_ONCE,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=session.node_id, soft=False),
            )
            .remote(settings)
        )

    def wait_until_ready(self) -> None:
        """Raises ConfigError where its process finds no key, and ClusterError where it does not start."""
        ref = self.actor.ready.remote()
        ready, _ = ray.wait([ref], timeout=START_TIMEOUT_SECONDS)
        if not ready:
            raise ClusterError(f"The process for the calls to Claude did not start within {START_TIMEOUT_SECONDS} s.")
        try:
            error = ray.get(ref)
        except LOST as lost:
            raise cannot_be_made(lost) or calls_lost() from None
        except ray.exceptions.RayError as failed:
            raise to_ours(failed) from None
        if isinstance(error, ConfigError) and not self._is_local:
            where = "On a cluster, Ray's own processes on this machine need it: set it where ray start is called."
            raise ConfigError(error.message, where)
        if error is not None:
            raise error

    def close(self) -> None:
        """Ends it at once."""
        ray.kill(self.actor)


def _worker_factory(
    session: Session, destination: Destination, settings: ProfileSettings, calls: Any
) -> Callable[[int], Any]:
    """Makes a worker: where the destination is, if that is on one machine, else anywhere."""
    remote = ray.remote(ProfileWorker)
    here = NodeAffinitySchedulingStrategy(node_id=session.node_id, soft=False)

    def make(number: int) -> Any:
        return remote.options(
            name=f"profile-worker-{number}",
            num_cpus=min(1, session.cpus) if destination.on_this_machine else 1,  # a head may have none
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy=here if destination.on_this_machine else "SPREAD",
        ).remote(number, destination, settings, calls)

    return make


@dataclass(slots=True)
class _Worker:
    """A worker as the run knows it. `holder` is empty until it has answered."""

    actor: Any
    holder: str = ""


@dataclass(frozen=True, slots=True)
class _Call:
    """What was asked, of which worker; of the actor of the key as worker -1."""

    what: str
    worker: int = -1
    user_id: str = ""


class ProfilesRun:
    """Gives users to workers until all have come to the end."""

    def __init__(
        self,
        calls: Any,
        make_worker: Callable[[int], Any],
        lanes: Callable[[], int],
        sink: Sink,
        settings: ProfileSettings,
        user_ids: Sequence[str],
        reporters: Sequence[ProfilesReporter],
        tell: Callable[[str], None],
        patience: StartupTimeouts,
    ) -> None:
        self._calls = calls
        self._make_worker = make_worker
        self._lanes = lanes
        self._sink = sink
        self._settings = settings
        self._user_ids = list(dict.fromkeys(user_ids))
        self._reporters = reporters
        self._tell = tell
        self._assignments = Assignments(self._user_ids, USERS_AT_ONCE if settings.in_batches else DIRECT_USERS_AT_ONCE)
        self._totals = Totals(len(self._user_ids))
        self._reports: dict[str, ProfileReport] = {}
        self._workers: dict[int, _Worker] = {}
        self._pending: dict[Any, _Call] = {}
        self._started = 0
        self._failed_starts = 0
        self._unusable = 0
        self._wanted = 1
        self._next_look = 0.0
        self._none_up = NoWorkerTimeout(patience, time.monotonic())

    def to_the_end(self) -> list[ProfileReport]:
        """Returns once every user has a report. Raises what keeps all workers from working."""
        while self._assignments.open:
            self._look()
            self._start_workers()
            self._hand_out()
            for ref in self._ready():
                call = self._pending.pop(ref, None)  # its worker may have died by another call
                if call is not None:
                    self._settle(ref, call)
            self._none_up.look(time.monotonic(), up=any(worker.holder for worker in self._workers.values()))
        self._ask_once_more()
        self._show()
        return [self._reports[user_id] for user_id in self._user_ids]

    def close(self) -> None:
        """Ends all workers at once; their users' runs need not wait for the end of a lease."""
        for number in list(self._workers):
            self._end(number)

    def _look(self) -> None:
        """From time to time: how many workers there may be, and how far they are."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_EVERY_SECONDS
        self._wanted = max(1, min(self._lanes() - self._unusable, self._assignments.open))
        self._show()
        asked = {(call.what, call.worker) for call in self._pending.values()}
        for number, worker in self._workers.items():
            if worker.holder and ("progress", number) not in asked:
                self._ask(worker.actor.progress, _Call("progress", number))
        if ("stats", -1) not in asked:
            self._ask(self._calls.stats, _Call("stats"))

    def _show(self) -> None:
        progress = self._totals.now()
        for reporter in self._reporters:
            reporter.show(progress)

    def _ask_once_more(self) -> None:
        """What the calls came to in all."""
        with suppress(ray.exceptions.RayError):
            self._totals.calls = ray.get(self._calls.stats.remote(), timeout=LOOK_EVERY_SECONDS)

    def _start_workers(self) -> None:
        while len(self._workers) < self._wanted:
            number, self._started = self._started, self._started + 1
            self._workers[number] = _Worker(self._make_worker(number))
            self._ask(self._workers[number].actor.ready, _Call("ready", number))

    def _hand_out(self) -> None:
        """To one worker after the other, until nobody takes more."""
        numbers = [number for number, worker in self._workers.items() if worker.holder]
        while numbers:
            for number in list(numbers):
                user_id = self._assignments.next_for(number, self._wanted)
                if user_id is None:
                    numbers.remove(number)
                    continue
                self._totals.begin(user_id)
                # One constant name a kind: names become labels of metrics, which Ray never frees.
                method = self._workers[number].actor.make.options(name="make_profile")
                self._ask(method, _Call("make", number, user_id), user_id)

    def _ask(self, method: Any, call: _Call, *arguments: Any) -> None:
        self._pending[method.remote(*arguments)] = call

    def _ready(self) -> list[Any]:
        refs = list(self._pending)
        if not refs:
            time.sleep(WAIT_SECONDS)
            return []
        ready, _ = ray.wait(refs, num_returns=1, timeout=WAIT_SECONDS, fetch_local=False)
        if ready:
            ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0, fetch_local=False)
        return list(ready)

    def _settle(self, ref: Any, call: _Call) -> None:
        try:
            answer = ray.get(ref)
        except LOST as error:
            if call.what == "stats":
                self._refuse(calls_lost())
            else:
                self._lost(call.worker, cannot_be_made(error))
            return
        except ray.exceptions.RayError as error:
            answer = to_ours(error)
        if call.what == "ready":
            self._is_up(call.worker, answer)
        elif call.what == "make":
            is_error = isinstance(answer, ImporterError)
            report = failed_report(call.user_id, self._settings, answer) if is_error else answer
            self._assignments.done(call.worker, call.user_id)
            self._ended(report)
        elif isinstance(answer, ImporterError):
            pass  # only figures are missing
        elif call.what == "stats":
            self._totals.calls = answer
        else:
            for progress in answer:
                self._totals.show(progress)

    def _is_up(self, number: int, answer: str | ImporterError) -> None:
        """One that cannot open the destination, say, is not used; others may be on machines that can."""
        if not isinstance(answer, ImporterError):
            self._workers[number].holder = answer
            self._failed_starts = 0
            return
        self._end(number)
        self._unusable += 1
        if not self._workers:
            raise answer
        self._wanted = len(self._workers)
        self._tell(f"a worker could not start and is not used: {answer.message}")

    def _ended(self, report: ProfileReport) -> None:
        self._totals.end(report)
        self._reports[report.user_id] = report
        if isinstance(report.error, ModelError):
            self._refuse(report.error)

    def _refuse(self, error: ModelError) -> None:
        """The API refuses for good, or the actor that calls it is gone: no other run is begun."""
        for user_id in self._assignments.give_up_waiting():
            self._ended_without(user_id, error)

    def _ended_without(self, user_id: str, error: ImporterError) -> None:
        report = failed_report(user_id, self._settings, error)
        self._totals.end(report)
        self._reports[user_id] = report

    def _lost(self, number: int, cannot_start: ClusterError | None) -> None:
        """The worker has died: its users wait for another one."""
        was_up = bool(self._workers[number].holder)
        self._end(number)
        for user_id in self._assignments.users_of(number):
            self._totals.lose(user_id)
        for user_id in self._assignments.lost(number):
            why = ClusterError(
                f"The worker was lost {MOST_LOSSES} times while it made this profile.",
                "Stored answers are kept; run it again to resume. Out of memory, perhaps: use fewer --workers.",
            )
            self._ended_without(user_id, why)
        self._failed_starts += not was_up
        if cannot_start is not None or self._failed_starts >= MOST_FAILED_STARTS:
            raise cannot_start or ClusterError("Workers die before they can work.", "See Ray's logs for the reason.")

    def _end(self, number: int) -> None:
        """Ends a worker, if it lives, and what it holds."""
        worker = self._workers.pop(number)
        self._pending = {ref: call for ref, call in self._pending.items() if call.worker != number}
        with suppress(ray.exceptions.RayError):
            ray.kill(worker.actor)
            self._calls.forget_worker.remote(number)
        if worker.holder:
            with suppress(ImporterError):  # its lease runs out, too
                self._sink.release_profiles(worker.holder)
