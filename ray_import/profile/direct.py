"""Sends requests by direct calls, a few at the same time."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from ray_import.errors import CostReached, ModelBusy, ModelError, ModelOutcomeUnknown
from ray_import.profile.model import Prompt, Reply
from ray_import.profile.requests import Question, RequestLog, Step


class Asker(Protocol):
    """What makes the direct calls of one key: in this process, or an actor of a cluster that all processes share."""

    async def ask(self, prompt: Prompt) -> Reply:
        """Sends a request, within the limits of the key, and again where the API is busy. Raises CostReached before a
        request that could pass the cost limit, and else what `Model.ask` raises."""


class Sender(Protocol):
    """Sends what a step asks, and gives it the answers."""

    async def send(self, step: Step, questions: Iterator[Question]) -> None:
        """Returns once all are answered. Raises what keeps the others from being sent (a key, money, an API that is
        away for long), after those that were sent by then are answered."""


class DirectSender:
    """Sends by direct calls, `in_flight` at the same time. `slots` are those of the key, which all users share: a
    request is saved when it has one, so that what a killed process has left as `sending` was sent, or about to be."""

    def __init__(
        self, log: RequestLog, asker: Asker, in_flight: int, slots: AbstractAsyncContextManager[None] | None = None
    ) -> None:
        self._log = log
        self._asker = asker
        self._in_flight = in_flight
        self._slots = slots or asyncio.Semaphore(in_flight)

    async def send(self, step: Step, questions: Iterator[Question]) -> None:
        pending: set[asyncio.Task[None]] = set()
        done: set[asyncio.Task[None]] = set()
        for question in questions:
            pending.add(asyncio.create_task(self._ask(step, question)))
            if len(pending) >= self._in_flight:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            if any(task.exception() for task in done):
                break
        outcomes = await asyncio.gather(*done, *pending, return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _ask(self, step: Step, question: Question) -> None:
        async with self._slots:
            self._log.save([question.request])
            await self._ask_saved(step, question)

    async def _ask_saved(self, step: Step, question: Question) -> None:
        request = question.request
        try:
            reply = await self._asker.ask(question.prompt)
        except ModelOutcomeUnknown:
            self._log.unknown_outcome(request)
            step.give_up(request)
        except (CostReached, ModelError) as error:
            self._log.failed(request, reason_of(error))
            step.give_up(request)
            raise
        else:
            step.settle(request, reply)


def reason_of(error: Exception) -> str:
    """The word under which a request that was not answered is counted."""
    if isinstance(error, CostReached):
        return "max_cost"
    return "model_away" if isinstance(error, ModelBusy) else "model_refused"
