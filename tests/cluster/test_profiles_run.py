"""The driver of profiles on Ray, with actors in an event loop: users are handed out, and taken up again."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ray_import.cluster import profile_run
from ray_import.cluster.claude_calls import ClaudeCalls
from ray_import.cluster.profile_run import ProfilesRun
from ray_import.cluster.profile_worker import ProfileWorker
from ray_import.cluster.worker_slots import StartupTimeouts
from ray_import.destinations.registry import parse_destination
from ray_import.errors import ClusterError, ImporterError, ModelError, SinkError
from ray_import.profile.lease import Holder
from ray_import.profile.progress import ProfilesProgress
from ray_import.profile.report import ProfileReport
from ray_import.profile.settings import ProfileSettings
from tests.cluster.in_loop import InLoop, StandIn, loop_in_thread
from tests.support.model_api.server import model_api
from tests.support.profile.bench import FAST, Profiled
from tests.support.profile.chats import chat, fact_of

USERS = [f"user-{number}" for number in range(6)]


@pytest.fixture
def profiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Profiled]:
    monkeypatch.setattr(profile_run, "ray", StandIn)
    monkeypatch.setattr(profile_run, "LOOK_EVERY_SECONDS", 0.02)
    with model_api() as api:
        for name, value in api.environment().items():
            monkeypatch.setenv(name, value)
        made = Profiled(tmp_path / "chunks.db", api)
        for number, user_id in enumerate(USERS):
            made.imported([chat(number, fact_of(number))], user_id)
        yield made


class Bench:
    """A run, its actors, and what its reporter was shown."""

    def __init__(self, profiled: Profiled, loop: Any, lanes: int, worker: type[ProfileWorker], **settings: Any) -> None:
        self.settings = ProfileSettings(**{**FAST, **settings})
        self.calls = InLoop(ClaudeCalls(self.settings), loop)
        self.workers: list[InLoop] = []
        self.shown: list[ProfilesProgress] = []
        self.told: list[str] = []
        self._to = parse_destination(profiled.to)
        self._loop = loop
        self._worker = worker
        self._lanes = lanes

    def made(self) -> list[ProfileReport]:
        """The reports of all users."""
        with closing(self._to.open(create=False)) as sink:
            run = ProfilesRun(
                self.calls, self._make_worker, lambda: self._lanes, sink, self.settings, USERS, [self],
                self.told.append, StartupTimeouts(),
            )  # fmt: skip
            with closing(run):
                return run.to_the_end()

    def show(self, progress: ProfilesProgress) -> None:
        self.shown.append(progress)

    def _make_worker(self, number: int) -> InLoop:
        worker = self._worker(number, self._to, self.settings, self.calls)
        worker._holder = Holder(f"a process/{number}/0", lambda _: False)
        self.workers.append(InLoop(worker, self._loop))
        return self.workers[-1]


@contextmanager
def bench(
    profiled: Profiled, lanes: int = 2, worker: type[ProfileWorker] = ProfileWorker, **settings: Any
) -> Iterator[Bench]:
    with loop_in_thread() as loop:
        made = Bench(profiled, loop, lanes, worker, **settings)
        yield made
        for handle in made.workers:
            handle.actor._heartbeats._stop.set()


def statuses(reports: list[ProfileReport]) -> list[str]:
    return [report.status for report in reports]


def test_all_users_get_a_report_in_their_order_when_two_workers_share_them(profiled: Profiled) -> None:
    with bench(profiled) as made:
        reports = made.made()
    assert [report.user_id for report in reports] == USERS
    assert statuses(reports) == ["complete"] * 6
    assert len(made.workers) == 2
    last = made.shown[-1]
    assert (last.ended, last.users, dict(last.states)) == (6, 6, {"complete": 6})
    assert last.requests == profiled.paid() == sum(report.total.requests for report in reports)
    assert last.calls.requests == last.requests
    assert all(worker.is_dead for worker in made.workers)


class _DiesOnce(ProfileWorker):
    """The first of all dies when it is given the second user."""

    handles: Callable[[], list[InLoop]]

    async def make(self, user_id: str) -> ProfileReport | ImporterError:
        if self._number == 0 and user_id == USERS[1]:
            self.handles()[0].die()
        return await super().make(user_id)


class _DiesOfOne(ProfileWorker):
    """Every worker dies when it is given this user."""

    handles: Callable[[], list[InLoop]]

    async def make(self, user_id: str) -> ProfileReport | ImporterError:
        if user_id == USERS[2]:
            self.handles()[self._number].die()
        return await super().make(user_id)


def test_users_are_taken_up_again_when_their_worker_dies(profiled: Profiled) -> None:
    with bench(profiled, lanes=1, worker=_DiesOnce) as made:
        _DiesOnce.handles = staticmethod(lambda: made.workers)
        reports = made.made()
    assert statuses(reports) == ["complete"] * 6
    assert len(made.workers) == 2
    assert made.shown[-1].ended == 6


def test_user_is_given_up_alone_when_every_worker_dies_of_it(profiled: Profiled) -> None:
    with bench(profiled, worker=_DiesOfOne) as made:
        _DiesOfOne.handles = staticmethod(lambda: made.workers)
        reports = made.made()
    assert statuses(reports) == ["complete", "complete", "failed", "complete", "complete", "complete"]
    assert isinstance(reports[2].error, ClusterError)
    assert reports[2].error.message == "The worker was lost 3 times while it made this profile."
    assert reports[2].exit_code == 3


def test_run_ends_in_plain_words_when_the_actor_of_the_calls_dies(profiled: Profiled) -> None:
    profiled.api.set(latency_seconds=0.2)
    with bench(profiled, lanes=1, in_flight=2) as made:
        show = made.show

        def kill(progress: ProfilesProgress) -> None:
            show(progress)
            if progress.requests >= 1 and not made.calls.is_dead:
                made.calls.die()

        made.show = kill  # type: ignore[method-assign]
        reports = made.made()
    failed = [report for report in reports if report.status == "failed"]
    assert len(failed) >= 3
    assert {type(report.error) for report in failed} == {ModelError}
    assert {str(report.error).splitlines()[0] for report in failed} == {
        "The process that makes the calls to Claude was lost."
    }
    assert sum(report.unknown_outcome for report in reports) <= 2


def test_no_other_run_is_begun_when_the_api_refuses_for_good(profiled: Profiled) -> None:
    profiled.api.fault("spend_limit")
    with bench(profiled, lanes=1) as made:
        reports = made.made()
    assert statuses(reports) == ["failed"] * 6
    assert sum(not report.run_id for report in reports) >= 2
    assert profiled.paid() == 0


class _CannotOpen(ProfileWorker):
    """All but the second cannot."""

    async def ready(self) -> str | ImporterError:
        return await super().ready() if self._number == 1 else SinkError("This machine has no route.", "", "x")


def test_workers_that_cannot_open_the_destination_are_not_used_when_others_can(profiled: Profiled) -> None:
    with bench(profiled, worker=_CannotOpen) as made:
        reports = made.made()
    assert statuses(reports) == ["complete"] * 6
    assert made.told == ["a worker could not start and is not used: This machine has no route."]
    with bench(profiled, lanes=1, worker=_CannotOpen) as alone, pytest.raises(SinkError):
        alone.made()


class _Silent(ProfileWorker):
    """Every worker dies before it can work."""

    handles: Callable[[], list[InLoop]]

    async def ready(self) -> str | ImporterError:
        self.handles()[self._number].die()
        return await super().ready()


def test_run_ends_when_every_worker_dies_before_it_can_work(profiled: Profiled) -> None:
    with bench(profiled, worker=_Silent) as made:
        _Silent.handles = staticmethod(lambda: made.workers)
        with pytest.raises(ClusterError, match="die before they can work"):
            made.made()
    assert len(made.workers) <= 4
    assert profiled.paid() == 0
