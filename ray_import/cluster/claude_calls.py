"""The actor that makes all calls to Claude with one key: its limits a minute and the cost limit are those of all users.

The key is read here, from the environment of this process, and goes nowhere else.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

from ray_import.cluster.values import answered
from ray_import.credentials import claude_access
from ray_import.errors import ImporterError, ModelBusy
from ray_import.profile.calling import Caller, CallStats
from ray_import.profile.cost import CostLimit
from ray_import.profile.model import BatchInfo, Model, Prompt, Reply, Usage
from ray_import.profile.settings import ProfileSettings
from ray_import.profile.slots import SharedSlots

Results = tuple[list[tuple[str, Reply]], ImporterError | None]
"""What was read of a batch, and what broke it off."""


class ClaudeCalls:
    """An async actor: all methods share one event loop. It gives errors as values (see `cluster.values`)."""

    def __init__(self, settings: ProfileSettings) -> None:
        self._settings = settings
        self._slots = SharedSlots(settings.in_flight)
        self._limit = CostLimit(settings.max_cost_usd)

    @cached_property
    def _model(self) -> Model:
        # Not in the constructor: an error there reaches the driver without its type.
        access = claude_access(self._settings.model)
        from ray_import.profile.anthropic_api import Claude  # noqa: PLC0415 - in this process alone

        return Claude(access)

    @cached_property
    def _caller(self) -> Caller:
        return Caller(self._model, limit=self._limit, in_flight=self._settings.in_flight)

    def __repr__(self) -> str:
        return "ClaudeCalls"

    async def ready(self) -> ImporterError | None:
        """Answers once calls can be made; with a ConfigError where there is no key."""

        async def connect() -> None:
            _ = self._caller

        return await answered(connect())

    async def take_slot(self, worker: int) -> None:
        """Waits for the right to make a direct call."""
        await self._slots.take(worker)

    async def give_back_slot(self, worker: int) -> None:
        """The call was made, and its answer is stored."""
        self._slots.give_back(worker)

    async def forget_worker(self, worker: int) -> None:
        """The worker is gone."""
        self._slots.forget(worker)

    async def ask(self, prompt: Prompt) -> Reply | ImporterError:
        """See `Asker.ask`."""
        return await answered(self._caller.ask(prompt))

    async def reserve_batch(self, worst_usd: Mapping[str, float]) -> ImporterError | None:
        """See `CostLimit.reserve_batch`."""
        return await answered(self._limit.reserve_batch(worst_usd))

    async def settle_batched(self, custom_id: str, model: str, usage: Usage | None) -> None:
        """See `CostLimit.settle_batched`."""
        self._limit.settle_batched(custom_id, model, usage)

    async def create_batch(self, prompts: Sequence[Prompt]) -> BatchInfo | ImporterError:
        """See `Model.create_batch`."""
        return await answered(self._model.create_batch(prompts))

    async def batches_since(self, created_at: str) -> list[BatchInfo] | ImporterError:
        """See `Model.batches_since`."""
        return await answered(self._model.batches_since(created_at))

    async def batch(self, batch_id: str) -> BatchInfo | ImporterError | None:
        """See `Model.batch`."""
        return await answered(self._model.batch(batch_id))

    async def results(self, batch_id: str) -> Results | ImporterError:
        """All that can be read of `Model.results` at once: batches are small."""
        return await answered(self._results(batch_id))

    async def stats(self) -> CallStats:
        """What the direct calls came to until now."""
        return self._caller.stats

    async def _results(self, batch_id: str) -> Results:
        found = []
        try:
            async for result in self._model.results(batch_id):
                found.append(result)  # noqa: PERF401 - what was read before an error is kept
        except ModelBusy as busy:
            return found, busy
        return found, None
