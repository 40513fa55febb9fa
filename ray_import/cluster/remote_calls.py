"""The calls of a worker, made by the actor that has the key: see `cluster.claude_calls`."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from ray_import.cluster.values import told
from ray_import.errors import ModelError, ModelOutcomeUnknown
from ray_import.profile.model import BatchInfo, Prompt, Reply, Usage
from ray_import.profile.prices import cost_usd
from ray_import.profile.run import Calls
from ray_import.profile.settings import ProfileSettings


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
    """See `profile.direct.Asker`."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def ask(self, prompt: Prompt) -> Reply:
        """See `Asker.ask`."""
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
    """See `profile.batches.BatchLimit`."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def reserve_batch(self, worst_usd: Mapping[str, float]) -> None:
        """See `BatchLimit.reserve_batch`."""
        await told(self._actor.reserve_batch.remote(worst_usd), calls_lost())

    def settle_batched(self, custom_id: str, model: str, usage: Usage | None) -> None:
        """See `BatchLimit.settle_batched`."""
        self._actor.settle_batched.remote(custom_id, model, usage)


class RemoteBatches:
    """See `profile.model.BatchModel`."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def create_batch(self, prompts: Sequence[Prompt]) -> BatchInfo:
        """See `BatchModel.create_batch`."""
        batch: BatchInfo = await told(self._actor.create_batch.remote(prompts), outcome_unknown())
        return batch

    async def batches_since(self, created_at: str) -> list[BatchInfo]:
        """See `BatchModel.batches_since`."""
        found: list[BatchInfo] = await told(self._actor.batches_since.remote(created_at), calls_lost())
        return found

    async def batch(self, batch_id: str) -> BatchInfo | None:
        """See `BatchModel.batch`."""
        found: BatchInfo | None = await told(self._actor.batch.remote(batch_id), calls_lost())
        return found

    async def results(self, batch_id: str) -> AsyncIterator[tuple[str, Reply]]:
        """See `BatchModel.results`."""
        found, error = await told(self._actor.results.remote(batch_id), calls_lost())
        for result in found:
            yield result
        if error is not None:
            raise error
