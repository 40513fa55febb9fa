"""The Caller over real HTTP: tries again, limits, costs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from ray_import.errors import CostReached, ModelBusy, ModelError, ModelOutcomeUnknown
from ray_import.profile.cost import CostLimit, worst_cost_usd
from ray_import.profile.direct_calls import Caller, wait_seconds
from ray_import.profile.model import Prompt, Reply
from tests.support.model_api.asking import PROMPT, claude_of
from tests.support.model_api.server import ModelApi

T = TypeVar("T")


class Sleeps:
    """Sleeps hardly at all, and notes how long was asked for."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


@asynccontextmanager
async def caller_of(api: ModelApi, limit: CostLimit | None = None, **options: Any) -> AsyncIterator[Caller]:
    async with claude_of(api) as claude:
        yield Caller(claude, limit=limit, **{"sleep": Sleeps(), **options})


def run(api: ModelApi, act: Callable[[Caller], Awaitable[T]], **options: Any) -> T:
    async def acted() -> T:
        async with caller_of(api, **options) as caller:
            return await act(caller)

    return asyncio.run(acted())


def numbered(at: int) -> Prompt:
    return replace(PROMPT, custom_id=f"r{at}", text=f"{PROMPT.text} {at}")


async def all_of(caller: Caller, count: int) -> list[Reply]:
    return await asyncio.gather(*(caller.ask(numbered(at)) for at in range(count)))


@pytest.mark.parametrize("status", [429, 500, 529])
def test_request_is_sent_again_until_it_is_answered_when_the_api_is_busy(api: ModelApi, status: int) -> None:
    api.fault("status", status=status, nth=[1, 2] if status != 429 else [1], retry_after=1)
    sleeps = Sleeps()

    async def act(caller: Caller) -> tuple[Reply, dict[str, int]]:
        return await caller.ask(PROMPT), dict(caller.stats.tried_again)

    reply, again = run(api, act, sleep=sleeps)
    assert reply.reason == ""
    assert again == ({"rate_limit": 1} if status == 429 else {"busy": 2})
    assert len(api.ledger().paid) == 1
    if status != 429:
        assert all(1 <= seconds <= 60 for seconds in sleeps.seconds)


def test_busy_is_raised_when_patience_is_at_its_end(api: ModelApi) -> None:
    api.fault("status", status=529)
    with pytest.raises(ModelBusy, match="529"):
        run(api, lambda caller: caller.ask(PROMPT), patience_seconds=0.2)
    assert len(api.ledger().calls) > 1


@pytest.mark.parametrize(("kind", "error"), [("spend_limit", ModelError), ("drop_after", ModelOutcomeUnknown)])
def test_request_is_not_sent_again_when_that_is_final_or_may_cost_twice(
    api: ModelApi, kind: str, error: type[ModelError]
) -> None:
    api.fault(kind)
    with pytest.raises(ModelError) as found:
        run(api, lambda caller: caller.ask(PROMPT))
    assert type(found.value) is error
    assert len(api.ledger().calls) == 1


def test_calls_run_at_the_same_time_up_to_their_number(api: ModelApi) -> None:
    api.set(latency_seconds=0.05)
    replies = run(api, lambda caller: all_of(caller, 30), in_flight=4)
    assert len(replies) == 30
    assert api.ledger().most_in_flight == 4
    assert not api.ledger().paid_twice()


def test_limit_of_the_key_is_hardly_passed(api: ModelApi) -> None:
    api.set(requests_per_minute=60, latency_seconds=0.01)
    run(api, lambda caller: all_of(caller, 60))
    assert api.ledger().count("/messages", status=429) <= 1
    assert len(api.ledger().paid) == 60


def test_first_request_is_alone(api: ModelApi) -> None:
    api.set(latency_seconds=0.2)
    run(api, lambda caller: all_of(caller, 6))
    calls = api.ledger().calls
    assert calls[1].at - calls[0].at >= 0.2
    assert api.ledger().most_in_flight == 5


def test_nothing_is_sent_past_the_cost_limit(api: ModelApi) -> None:
    limit = CostLimit(3 * worst_cost_usd(PROMPT))

    async def act(caller: Caller) -> int:
        answers = await asyncio.gather(*(caller.ask(numbered(at)) for at in range(300)), return_exceptions=True)
        assert {type(each) for each in answers} == {Reply, CostReached}
        return sum(isinstance(each, Reply) for each in answers)

    answered = run(api, act, limit=limit)
    assert answered == len(api.ledger().paid) > 3
    assert 2 * worst_cost_usd(PROMPT) < limit.spent_usd <= 3 * worst_cost_usd(PROMPT)


def test_rejected_request_costs_itself_alone_unless_many_are_in_succession(api: ModelApi) -> None:
    api.fault("status", status=400, containing=" bad")
    good, bad = PROMPT, replace(PROMPT, text=f"{PROMPT.text} bad")

    async def act(caller: Caller) -> list[str]:
        reasons = [(await caller.ask(prompt)).reason for prompt in (good, bad, bad, bad, bad, good, bad, bad, bad, bad)]
        with pytest.raises(ModelError, match="in succession"):
            await caller.ask(bad)
        return reasons

    assert run(api, act) == ["", *["errored"] * 4, "", *["errored"] * 4]


def test_wait_is_random_grows_and_obeys_the_api_up_to_a_minute() -> None:
    assert all(0 <= wait_seconds(1, 0.0) <= 1 for _ in range(50))
    assert max(wait_seconds(6, 0.0) for _ in range(200)) > 10
    assert all(wait_seconds(100, 0.0) <= 60 for _ in range(50))
    assert wait_seconds(1, 7.0) == 7
    assert wait_seconds(1, 3600.0) == 60
