import asyncio

import pytest

from ray_import.errors import CostReached
from ray_import.profile.cost import CostLimit, cost_usd, worst_cost_usd
from ray_import.profile.model import Prompt, Usage

MODEL = "claude-haiku-5-5"
USAGE = Usage(input_tokens=10_000, output_tokens=500)


def prompt(name: str = "a") -> Prompt:
    return Prompt(
        custom_id=name, model=MODEL, system="", text="", schema={}, max_output_tokens=8_000, input_tokens=10_000
    )


WORST = worst_cost_usd(prompt())
CHARGED = cost_usd(MODEL, USAGE)


def test_request_is_let_through_only_while_its_worst_case_fits() -> None:
    async def count() -> int:
        limit = CostLimit(WORST + 3.5 * CHARGED)
        for at in range(10):
            try:
                await limit.reserve(prompt(str(at)))
            except CostReached:
                return at
            await limit.settle(prompt(str(at)), USAGE)
        return 10

    assert asyncio.run(count()) == 4


def test_request_waits_when_only_others_worst_cases_keep_it_back() -> None:
    async def ask() -> list[str]:
        limit, done = CostLimit(1.5 * WORST), list[str]()
        await limit.reserve(prompt("a"))

        async def second() -> None:
            await limit.reserve(prompt("b"))
            done.append("b")

        waiting = asyncio.create_task(second())
        await asyncio.sleep(0)
        done.append("a")
        await limit.settle(prompt("a"), USAGE)
        await waiting
        return done

    assert asyncio.run(ask()) == ["a", "b"]


@pytest.mark.parametrize(("is_certain", "spent"), [(True, 0.0), (False, WORST)])
def test_request_without_usage_counts_whole_unless_nothing_was_charged_for_certain(
    is_certain: bool, spent: float
) -> None:
    async def settle() -> float:
        limit = CostLimit(None)
        await limit.reserve(prompt())
        await limit.settle(prompt(), None, is_certain=is_certain)
        return limit.spent_usd

    assert asyncio.run(settle()) == pytest.approx(spent)


def batch_of(*names: str) -> dict[str, float]:
    """The worst cases of a batch."""
    return {name: worst_cost_usd(prompt(name), batch=True) for name in names}


def test_batch_is_refused_whole_when_its_worst_case_does_not_fit() -> None:
    async def reserve() -> None:
        limit = CostLimit(2.2 * WORST)
        await limit.reserve_batch(batch_of("a", "b", "c", "d"))
        with pytest.raises(CostReached, match="--max-cost"):
            await limit.reserve_batch(batch_of("x"))
        for name in "abcd":
            limit.settle_batched(name, MODEL, USAGE)
        limit.settle_batched("of an earlier command", MODEL, USAGE)
        assert limit.spent_usd == pytest.approx(2 * CHARGED)
        await limit.reserve_batch(batch_of("x"))

    asyncio.run(reserve())


def test_everything_is_let_through_when_there_is_no_limit() -> None:
    asyncio.run(CostLimit().reserve_batch(batch_of(*map(str, range(1000)))))
