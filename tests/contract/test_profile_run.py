"""A profile is the same in every destination, by direct calls and by batches."""

import asyncio
from collections.abc import Iterator

import pytest

from ray_import.cli.profile_calls import opened_calls
from ray_import.destinations.base import Sink
from ray_import.profile.lease import Heartbeats, Holder
from ray_import.profile.report import ProfileReport
from ray_import.profile.run import run_profile
from ray_import.profile.settings import ProfileSettings
from tests.contract.destinations import DestinationUnderTest
from tests.support.model_api.server import ModelApi, model_api
from tests.support.profile.chats import chat, fact_of, store

CHATS = [chat(number, fact_of(number), padding=2_000) for number in range(30)]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelApi]:
    with model_api() as api:
        for name, value in api.environment().items():
            monkeypatch.setenv(name, value)
        yield api


def made(destination: DestinationUnderTest, sink: Sink, *, in_batches: bool) -> ProfileReport:
    settings = ProfileSettings(in_batches=in_batches, poll_seconds=0.05)
    holder = Holder("here", lambda _: False)

    async def run() -> ProfileReport:
        with Heartbeats(destination.open, holder) as heartbeats:
            async with opened_calls(settings) as calls:
                return await run_profile(sink, "ada", settings, calls, holder, heartbeats)

    return asyncio.run(run())


@pytest.mark.parametrize("in_batches", [False, True], ids=["now", "batch"])
def test_profile_is_made_once_and_forgotten_when_its_user_asks_for_it(
    destination: DestinationUnderTest, sink: Sink, api: ModelApi, in_batches: bool
) -> None:
    store(sink, "ada", CHATS)
    report = made(destination, sink, in_batches=in_batches)
    assert (report.status, report.lacking) == ("complete", [])
    planted = {(fact_of(number).statement, f"c-{number:04}-0") for number in range(len(CHATS))}
    assert {(fact.statement, fact.node_id) for fact in sink.facts("ada")} == planted
    assert [version.kind for version in sink.versions_of("ada")] == ["full", "quick"]
    api.forget_ledger()
    assert made(destination, sink, in_batches=in_batches).total.requests == 0
    assert api.ledger().calls == []
    assert sink.forget_profile("ada").facts == len(planted)
    assert (sink.facts("ada"), sink.versions_of("ada"), sink.units("ada")) == ([], [], [])
