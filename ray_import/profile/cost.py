"""Keeps what a command spends below its limit: a request is let through only if its worst case fits.

The API reports no prices: the table is Anthropic's list of the date below.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from ray_import.errors import CostReached
from ray_import.profile.model import Prompt, Usage

PRICES_DATE = "2026-11-29"

LONG_PROMPT_TOKENS = 100_000
"""Above so many tokens of a prompt, a model with two tiers charges the upper one for all of it."""

BATCH_SHARE = 0.5
CACHE_READ_SHARE = 0.1
CACHE_WRITE_SHARE = 1.25

WORST_INPUT_FACTOR = 1.5
"""By so much the estimate of a prompt's tokens may be too low."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars a million tokens. `long_*` are those of long prompts; 0 where there is one tier only."""

    input_usd: float
    output_usd: float
    long_input_usd: float = 0.0
    long_output_usd: float = 0.0


PRICES = {
    "claude-haiku-5-5": Price(input_usd=0.10, output_usd=0.50, long_input_usd=0.50, long_output_usd=2.50),
    "claude-haiku-4-5": Price(input_usd=1.0, output_usd=5.0),
    "claude-sonnet-5-5": Price(input_usd=2.0, output_usd=10.0),
    "claude-opus-5-5": Price(input_usd=4.0, output_usd=20.0),
}
UNKNOWN_PRICE = PRICES["claude-opus-5-5"]
"""Of a model that the table does not have: the dearest, so that a limit in dollars holds."""


def price_of(model: str) -> Price:
    """The price of a model, by the beginning of its name; names of Bedrock have a vendor and a region before it."""
    name = model.rpartition("anthropic.")[2]
    return next((price for known, price in PRICES.items() if name.startswith(known)), UNKNOWN_PRICE)


def cost_usd(model: str, usage: Usage, batch: bool = False) -> float:
    """What a request is charged, in US dollars."""
    price = price_of(model)
    prompt_tokens = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    is_long = prompt_tokens > LONG_PROMPT_TOKENS and price.long_input_usd > 0
    input_usd = price.long_input_usd if is_long else price.input_usd
    output_usd = price.long_output_usd if is_long else price.output_usd
    weighed = (
        usage.input_tokens + CACHE_READ_SHARE * usage.cache_read_tokens + CACHE_WRITE_SHARE * usage.cache_write_tokens
    )
    whole = (weighed * input_usd + usage.output_tokens * output_usd) / 1_000_000
    return whole * BATCH_SHARE if batch else whole


def worst_cost_usd(prompt: Prompt, batch: bool = False) -> float:
    """The most that a request can be charged: with all the output that it may have."""
    tokens = int(prompt.input_tokens * WORST_INPUT_FACTOR) + 1
    return cost_usd(prompt.model, Usage(input_tokens=tokens, output_tokens=prompt.max_output_tokens), batch)


class CostLimit:
    """The dollars of one command. Used by one event loop.

    What is being asked counts with its worst case until it is settled. A direct call waits while only the worst cases
    of other direct calls keep it back; a batch does not wait.
    """

    def __init__(self, max_cost_usd: float | None = None) -> None:
        self._max = max_cost_usd
        self._spent = 0.0
        self._direct: dict[str, float] = {}
        self._batched: dict[str, float] = {}
        self._changed = asyncio.Condition()

    @property
    def spent_usd(self) -> float:
        """What was charged for certain, and the worst case of what may have been."""
        return self._spent

    async def reserve(self, prompt: Prompt) -> None:
        """Takes the worst case of a direct call. Raises CostReached where it cannot fit."""
        worst = worst_cost_usd(prompt)
        async with self._changed:
            while self._max is not None and not self._fits(worst):
                if self._spent + sum(self._batched.values()) + worst > self._max:
                    raise reached(self._max)
                await self._changed.wait()
            self._direct[prompt.custom_id] = worst

    async def settle(self, prompt: Prompt, usage: Usage | None, *, is_certain: bool = True) -> None:
        """Replaces the worst case of a direct call by what it was charged. Without usage that is nothing, or, unless
        that `is_certain`, still the worst case."""
        worst = self._direct.pop(prompt.custom_id, 0.0)
        if usage is not None:
            self._spent += cost_usd(prompt.model, usage)
        elif not is_certain:
            self._spent += worst
        async with self._changed:
            self._changed.notify_all()

    async def reserve_batch(self, worst_usd: Mapping[str, float]) -> None:
        """Takes the worst cases of a batch, by custom id. Raises CostReached where they do not fit."""
        if not self._fits(sum(worst_usd.values())):
            raise reached(self._max or 0.0)
        self._batched.update(worst_usd)

    def settle_batched(self, custom_id: str, model: str, usage: Usage | None) -> None:
        """Replaces the worst case of one request of a batch by what it was charged; without usage by nothing. Custom
        ids that were not checked here are of earlier commands, and do not count."""
        if self._batched.pop(custom_id, None) is not None and usage is not None:
            self._spent += cost_usd(model, usage, batch=True)

    def _fits(self, worst: float) -> bool:
        if self._max is None:
            return True
        return self._spent + sum(self._batched.values()) + sum(self._direct.values()) + worst <= self._max


def reached(max_cost_usd: float) -> CostReached:
    """The error."""
    return CostReached(
        f"The next request could cost more than --max-cost allows (${max_cost_usd:g}).",
        "Answers are kept: run the command again with a higher limit to resume.",
    )
