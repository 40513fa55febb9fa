"""Keeps what a command spends below its limit: a request is let through only if its worst case fits."""

import asyncio
from collections.abc import Mapping

from ray_import.errors import CostReached
from ray_import.profile.model import Prompt, Usage
from ray_import.profile.prices import cost_usd, worst_cost_usd


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
