"""The actor that makes all calls to Claude with one key: its limits a minute and the cost limit are those of all users.

The key is read here, from the environment of this process, and goes nowhere else.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import Any

from ray_import.cluster.failures import answered, told
from ray_import.credentials import claude_access
from ray_import.errors import ImporterError, ModelBusy, ModelError, ModelOutcomeUnknown
from ray_import.profile.cost import CostLimit, cost_usd
from ray_import.profile.direct_calls import Caller, CallStats
from ray_import.profile.model import BatchInfo, Model, Prompt, Reply, Usage
from ray_import.profile.rate_limits import SharedSlots
from ray_import.profile.run import Calls
from ray_import.profile.settings import ProfileSettings

Results = tuple[list[tuple[str, Reply]], ImporterError | None]
"""What was read of a batch, and what broke it off."""


class ClaudeCalls:
    """An async actor: all methods share one event loop. It gives errors as values (see `cluster.failures`)."""

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
        return await answered(self._caller.ask(prompt))

    async def reserve_batch(self, worst_usd: Mapping[str, float]) -> ImporterError | None:
        return await answered(self._limit.reserve_batch(worst_usd))

    async def settle_batched(self, custom_id: str, model: str, usage: Usage | None) -> None:
        self._limit.settle_batched(custom_id, model, usage)

    async def create_batch(self, prompts: Sequence[Prompt]) -> BatchInfo | ImporterError:
        return await answered(self._model.create_batch(prompts))

    async def batches_since(self, created_at: str) -> list[BatchInfo] | ImporterError:
        return await answered(self._model.batches_since(created_at))

    async def batch(self, batch_id: str) -> BatchInfo | ImporterError | None:
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


def calls_lost() -> ModelError:
    """What ends the runs where the actor is gone. Another one would not know what was spent of --max-cost."""
    return ModelError(
        "The process that makes the calls to Claude was lost.",
        "Stored answers are kept; run it again to resume.",
    )


def outcome_unknown() -> ModelOutcomeUnknown:
    """For what the actor was asked to send when it was lost."""
    return ModelOutcomeUnknown("The process that makes the calls to Claude was lost before it had the answer.")


def remote_calls(actor: Any, worker: int, settings: ProfileSettings) -> Calls:
    """The calls of this worker, for all its users."""
    return Calls(
        asker=RemoteAsker(actor),
        slots=RemoteSlots(actor, worker, settings.in_flight),
        model=RemoteBatches(actor),
        limit=RemoteLimit(actor),
        price=cost_usd,
    )


class RemoteAsker:
    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def ask(self, prompt: Prompt) -> Reply:
        reply: Reply = await told(self._actor.ask.remote(prompt), outcome_unknown())
        return reply


class RemoteSlots(AbstractAsyncContextManager[None]):
    """Slots of the key. No more of this worker's calls than there are slots wait for one in the actor, which has room
    for a limited number."""

    def __init__(self, actor: Any, worker: int, slots: int) -> None:
        self._actor = actor
        self._worker = worker
        self._here = asyncio.Semaphore(slots)

    async def __aenter__(self) -> None:
        """Raises ModelError where the actor is gone."""
        await self._here.acquire()
        try:
            await told(self._actor.take_slot.remote(self._worker), calls_lost())
        except BaseException:
            self._here.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._actor.give_back_slot.remote(self._worker)
        self._here.release()


class RemoteLimit:
    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def reserve_batch(self, worst_usd: Mapping[str, float]) -> None:
        await told(self._actor.reserve_batch.remote(worst_usd), calls_lost())

    def settle_batched(self, custom_id: str, model: str, usage: Usage | None) -> None:
        self._actor.settle_batched.remote(custom_id, model, usage)


class RemoteBatches:
    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def create_batch(self, prompts: Sequence[Prompt]) -> BatchInfo:
        batch: BatchInfo = await told(self._actor.create_batch.remote(prompts), outcome_unknown())
        return batch

    async def batches_since(self, created_at: str) -> list[BatchInfo]:
        found: list[BatchInfo] = await told(self._actor.batches_since.remote(created_at), calls_lost())
        return found

    async def batch(self, batch_id: str) -> BatchInfo | None:
        found: BatchInfo | None = await told(self._actor.batch.remote(batch_id), calls_lost())
        return found

    async def results(self, batch_id: str) -> AsyncIterator[tuple[str, Reply]]:
        found, error = await told(self._actor.results.remote(batch_id), calls_lost())
        for result in found:
            yield result
        if error is not None:
            raise error
