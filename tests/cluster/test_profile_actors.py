"""The actors of profiles without a Ray between them: errors are values, limits are shared, keys do not travel."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ray_import.cluster.claude_calls import ClaudeCalls
from ray_import.cluster.profile_worker import ProfileWorker
from ray_import.destinations.registry import parse_destination
from ray_import.errors import ConfigError, ImporterError, ModelError
from ray_import.profile.settings import ProfileSettings
from tests.cluster.in_loop import InLoop
from tests.support.model_api.server import model_api
from tests.support.profile.bench import FAST, Profiled
from tests.support.profile.chats import chat, fact_of

USERS = ("ada", "ben", "eve")
WAYS = pytest.mark.parametrize("in_batches", [False, True], ids=["now", "batch"])


@pytest.fixture
def profiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Profiled]:
    with model_api() as api:
        for name, value in api.environment().items():
            monkeypatch.setenv(name, value)
        made = Profiled(tmp_path / "chunks.db", api)
        for at, user_id in enumerate(USERS):
            made.imported(
                [chat(number, fact_of(number), padding=4_000) for number in range(20 * at, 20 * at + 20)], user_id
            )
        yield made


def said_by(at: int) -> set[tuple[str, str]]:
    return {(fact_of(number).statement, f"c-{number:04}-0") for number in range(20 * at, 20 * at + 20)}


class Actors:
    """The actor of the key, and workers."""

    def __init__(self, profiled: Profiled, workers: int, **settings: Any) -> None:
        self.settings = ProfileSettings(**{**FAST, **settings})
        self.calls = InLoop(ClaudeCalls(self.settings))
        to = parse_destination(profiled.to)
        self.workers = [ProfileWorker(number, to, self.settings, self.calls) for number in range(workers)]
        self.handles = [InLoop(worker) for worker in self.workers]

    async def reports(self, *user_ids: str) -> list[Any]:
        """Each user by one worker after the other."""
        assert await self.calls.ready.remote() is None
        asked = [self.handles[at % len(self.handles)].make.remote(user_id) for at, user_id in enumerate(user_ids)]
        return list(await asyncio.gather(*asked))


@contextmanager
def actors(profiled: Profiled, workers: int = 2, **settings: Any) -> Iterator[Actors]:
    made = Actors(profiled, workers, **settings)
    try:
        yield made
    finally:
        for worker in made.workers:
            worker._heartbeats._stop.set()
            if "_sink" in vars(worker):
                worker._sink.close()


@WAYS
def test_profiles_are_made_by_several_workers_when_one_actor_makes_the_calls(
    profiled: Profiled, in_batches: bool
) -> None:
    profiled.api.set(latency_seconds=0.02)
    with actors(profiled, in_batches=in_batches, in_flight=3) as made:
        reports = asyncio.run(made.reports(*USERS))
        holders = {worker._holder.name for worker in made.workers}
    assert [(report.user_id, report.status) for report in reports] == [(user_id, "complete") for user_id in USERS]
    for at, user_id in enumerate(USERS):
        assert profiled.said(user_id) == said_by(at)
    assert sum(report.total.requests for report in reports) == profiled.paid()
    assert profiled.api.ledger().most_in_flight <= 3
    assert len(holders) == 1  # the process's own
    assert bool(profiled.api.batches()) == in_batches


def test_no_key_is_in_what_travels_when_calls_succeed_and_fail(profiled: Profiled) -> None:
    profiled.api.fault("spend_limit", nth=list(range(6, 99)))
    with actors(profiled) as made:
        reports = asyncio.run(made.reports(*USERS))
        carried = b"".join(each for handle in (made.calls, *made.handles) for each in handle.carried)
    assert any(isinstance(report.error, ModelError) for report in reports)
    assert len(carried) > 100_000
    assert profiled.api.key.encode() not in carried


@WAYS
def test_cost_limit_is_that_of_all_workers_together(profiled: Profiled, in_batches: bool) -> None:
    dollars = 0.018 if not in_batches else 0.009
    with actors(profiled, in_batches=in_batches, max_cost_usd=dollars) as made:
        reports = asyncio.run(made.reports(*USERS))
    assert {report.status for report in reports} >= {"partial"}
    assert 0 < sum(report.total.usd for report in reports) <= dollars


def test_missing_key_is_told_when_the_actor_of_the_calls_has_none(
    profiled: Profiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")

    async def ready() -> ImporterError | None:
        return await ClaudeCalls(ProfileSettings()).ready()

    error = asyncio.run(ready())
    assert isinstance(error, ConfigError)
    assert error.message == "ANTHROPIC_API_KEY is not set."


def test_worker_tells_the_error_when_it_cannot_open_the_destination(tmp_path: Path) -> None:
    worker = ProfileWorker(0, parse_destination(f"sqlite:///{tmp_path / 'none.db'}"), ProfileSettings(), None)
    assert isinstance(asyncio.run(worker.ready()), ImporterError)


def test_fault_is_told_by_its_type_alone_when_it_is_none_of_ours(
    profiled: Profiled, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> Awaitable[None]:
        raise RuntimeError("the words of a user")

    with actors(profiled, workers=1) as made:
        monkeypatch.setattr("ray_import.cluster.profile_worker.report_of", broken)
        [error] = asyncio.run(made.reports("ada"))
    assert error.message == "A process of the cluster failed with RuntimeError."
    assert "words of a user" not in str(error) + repr(vars(error)) + caplog.text


async def until(holds: Callable[[], bool]) -> None:
    """Looks again and again."""
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)  # between two looks


def test_calls_in_flight_are_of_unknown_outcome_when_the_actor_of_the_calls_dies(profiled: Profiled) -> None:
    profiled.api.set(latency_seconds=0.3)

    async def killed(made: Actors) -> list[Any]:
        made_reports = asyncio.create_task(made.reports(*USERS))
        await until(lambda: len(profiled.api.ledger().paid) >= 4)
        made.calls.die()
        return await made_reports

    with actors(profiled, in_flight=4) as made:
        reports = asyncio.run(killed(made))
    assert {report.status for report in reports} == {"failed"}
    assert {str(report.error).splitlines()[0] for report in reports} == {
        "The process that makes the calls to Claude was lost."
    }
    unknown = sum(report.unknown_outcome for report in reports)
    assert 0 < unknown <= 4
    with actors(profiled) as made:
        again = asyncio.run(made.reports(*USERS))
    assert {report.status for report in again} == {"complete"}
    assert sum(profiled.api.ledger().paid_twice().values()) <= 2 * unknown


def test_slots_of_a_dead_worker_are_free_again(profiled: Profiled) -> None:
    calls = ClaudeCalls(ProfileSettings(in_flight=1))

    async def take() -> None:
        await calls.take_slot(1)
        second = asyncio.create_task(calls.take_slot(2))
        await calls.forget_worker(1)
        async with asyncio.timeout(5):
            await second

    asyncio.run(take())
