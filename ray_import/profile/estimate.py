"""What a run would send and cost, before it does: by the plan, without a key, or with tokens counted by the API."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ray_import.destinations.profiles import ProfileStore
from ray_import.profile.facts_prompt import FACTS_SCHEMA, overhead_tokens
from ray_import.profile.facts_step import prompts_of
from ray_import.profile.model import Model, Prompt, Usage
from ray_import.profile.packing import packed
from ray_import.profile.patience import patiently
from ray_import.profile.plan import UnitPlan, plan_units
from ray_import.profile.quick_pass import QUICK_TOKENS
from ray_import.profile.sections import SECTIONS_SCHEMA, SECTIONS_TOKENS
from ray_import.profile.settings import IN_FLIGHT, MERGE_TOKENS, ProfileSettings

OUTPUT_SHARE = 0.08
"""Of the input, what facts take as an answer, thinking included."""

SECTIONS_OUTPUT_TOKENS = 3_000
"""What five sections take as an answer, thinking included."""

SHOWN_SHARE = 0.04
"""Of the input of facts, what they take as statements in the sections' prompt."""

TOKENS_OF_FACT = 40
"""Of one that is stored."""

MERGE_SHARE = 0.05
"""Of the facts' input, what questions about unclear pairs take."""


@dataclass(slots=True, kw_only=True)
class Estimate:
    """Of one user. `is_exact`: the input tokens of facts were counted by the API."""

    user_id: str
    model: str
    units: int = 0
    answered: int = 0
    without_messages: int = 0
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    is_exact: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "usd": round(self.usd, 6)}


class Estimator:
    """`price` gives the dollars of one request by model, usage, and whether it is sent in a batch. With `model` the
    tokens of facts are counted by the API."""

    def __init__(
        self,
        store: ProfileStore,
        settings: ProfileSettings,
        price: Callable[[str, Usage, bool], float],
        model: Model | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._price = price
        self._model = model

    async def estimate(self, user_id: str) -> Estimate:
        """Raises ModelError where the API does not count."""
        plan = plan_units(self._store, user_id, self._settings.model)
        found = Estimate(user_id=user_id, model=self._settings.model, units=len(plan.to_send))
        left = {*plan.dropped, *(unit_id for one in plan.replacements for unit_id in one.old)}
        units = self._store.units(user_id)
        found.answered = sum(unit.state == "answered" and unit.id not in left for unit in units)
        found.without_messages = plan.without_messages
        has_version = bool(self._store.versions_of(user_id, 1))
        tokens = sum(unit.tokens for unit in plan.to_send)
        if tokens and not has_version:
            self._add(found, min(QUICK_TOKENS, tokens), SECTIONS_OUTPUT_TOKENS)
        if self._settings.quick_only:
            return found
        for input_tokens in await self._facts(user_id, plan):
            self._add(found, input_tokens, round(OUTPUT_SHARE * input_tokens))
        found.is_exact = self._model is not None
        if tokens:
            merge_tokens = min(MERGE_TOKENS, round(MERGE_SHARE * tokens))
            self._add(found, merge_tokens, merge_tokens // 10)
            shown = round(SHOWN_SHARE * tokens) + TOKENS_OF_FACT * len(self._store.facts(user_id))
            overhead = overhead_tokens("sections", SECTIONS_SCHEMA)
            self._add(found, overhead + min(SECTIONS_TOKENS, shown), SECTIONS_OUTPUT_TOKENS)
        return found

    async def _facts(self, user_id: str, plan: UnitPlan) -> list[int]:
        """The input tokens of each request for facts."""
        if self._model is None:
            overhead = overhead_tokens("facts", FACTS_SCHEMA)
            return [overhead + sum(unit.tokens for unit in pack) for pack in packed(plan.to_send)]
        model, counted, waiting = self._model, list[int](), set[asyncio.Task[int]]()
        for prompt in prompts_of(self._store, user_id, self._settings.model, plan.to_send):
            waiting.add(asyncio.create_task(_count(model, prompt)))
            if len(waiting) >= IN_FLIGHT:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                counted += [task.result() for task in done]
        return counted + list(await asyncio.gather(*waiting))

    def _add(self, found: Estimate, input_tokens: int, output_tokens: int) -> None:
        found.requests += 1
        found.input_tokens += input_tokens
        found.output_tokens += output_tokens
        usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
        found.usd += self._price(self._settings.model, usage, self._settings.in_batches)


async def _count(model: Model, prompt: Prompt) -> int:
    return await patiently(lambda: model.count_tokens(prompt))
