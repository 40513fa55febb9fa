"""Makes direct calls: within the limits of the key, again where the API is busy, and never past the cost limit."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from ray_import.errors import CostReached, ModelBusy, ModelError, ModelOutcomeUnknown
from ray_import.profile.cost import CostLimit
from ray_import.profile.model import Model, Prompt, Reply, Usage
from ray_import.profile.rate_limits import MOST_WAIT_SECONDS, Budget
from ray_import.profile.requests import Question, RequestLog, Step
from ray_import.retry import Backoff

IN_FLIGHT = 8

BACKOFF = Backoff(first_seconds=1.0, longest_seconds=MOST_WAIT_SECONDS, longest_asked_seconds=MOST_WAIT_SECONDS)

PATIENCE_SECONDS = 1800.0
"""For how long an API that is busy or away is asked again."""

MOST_REJECTED = 5
"""So many requests that are refused one after the other are a fault of all of them."""

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class CallStats:
    """What the calls of a Caller came to. `tried_again` counts by reason: `rate_limit`, `busy`."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    waited_seconds: float = 0.0
    """For the limits of the key, summed over requests that waited one after the other."""
    tried_again: Counter[str] = field(default_factory=Counter)


class Caller:
    """Direct calls of one key, `in_flight` at the same time. Used by one event loop."""

    def __init__(
        self,
        model: Model,
        budget: Budget | None = None,
        limit: CostLimit | None = None,
        *,
        in_flight: int = IN_FLIGHT,
        patience_seconds: float = PATIENCE_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._model = model
        self._budget = budget or Budget()
        self._limit = limit or CostLimit()
        self._patience_seconds = patience_seconds
        self._sleep = sleep
        self._slots = asyncio.Semaphore(in_flight)
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._rejected = 0
        self.stats = CallStats()

    async def ask(self, prompt: Prompt) -> Reply:
        """Sends a request until it is answered. Raises CostReached before one that could pass the cost limit, and what
        `Model.ask` raises: ModelBusy only after PATIENCE_SECONDS."""
        async with self._slots:
            await self._limit.reserve(prompt)
            usage: Usage | None = None
            is_certain = False
            try:
                reply = await self._answered(prompt)
                usage, is_certain = reply.usage, reply.reason == "errored"
            except ModelOutcomeUnknown:
                raise
            except ModelError:
                is_certain = True
                raise
            finally:
                await self._limit.settle(prompt, usage, is_certain=is_certain)
        self._count(reply)
        return reply

    async def _answered(self, prompt: Prompt) -> Reply:
        first_failed, tries = 0.0, 0
        while True:
            try:
                return await self._sent(prompt)
            except ModelBusy as busy:
                tries += 1
                first_failed = first_failed or time.monotonic()
                if time.monotonic() - first_failed >= self._patience_seconds:
                    raise
                reason = "rate_limit" if busy.is_rate_limit else "busy"
                self.stats.tried_again[reason] += 1
                log.info("model_call_again request=%s reason=%s tries=%d", prompt.custom_id, reason, tries)
                wait = 0.0 if busy.is_rate_limit else wait_seconds(tries, busy.retry_after_seconds)
            await self._sleep(wait)

    async def _sent(self, prompt: Prompt) -> Reply:
        """Sends it once, when the limits of the key allow it."""
        async with self._turn:  # first come, first served
            await self._wait_for_budget(prompt)
            ticket = self._budget.take(prompt.input_tokens, prompt.max_output_tokens)
        try:
            reply = await self._model.ask(prompt)
        except ModelBusy as busy:
            if busy.is_rate_limit:
                self._budget.refused(ticket, busy.retry_after_seconds)
            else:
                self._budget.failed(ticket)
            raise
        except BaseException:
            self._budget.failed(ticket)
            raise
        else:
            self._budget.answered(ticket, reply.usage, reply.limits)
            return reply
        finally:
            self._changed.set()

    async def _wait_for_budget(self, prompt: Prompt) -> None:
        began = time.monotonic()
        while (wait := self._budget.wait_seconds(prompt.input_tokens, prompt.max_output_tokens)) > 0:
            self._changed.clear()
            try:
                async with asyncio.timeout(min(wait, MOST_WAIT_SECONDS)):
                    await self._changed.wait()
            except TimeoutError:
                continue
        self.stats.waited_seconds += time.monotonic() - began

    def _count(self, reply: Reply) -> None:
        self.stats.requests += 1
        if reply.usage is not None:
            self.stats.input_tokens += reply.usage.input_tokens
            self.stats.output_tokens += reply.usage.output_tokens
        self._rejected = self._rejected + 1 if reply.reason == "errored" else 0
        if self._rejected >= MOST_REJECTED:
            raise all_rejected(self._rejected)


def all_rejected(requests: int) -> ModelError:
    """The error for so many requests that were refused one after the other."""
    return ModelError(
        f"The Claude API rejected {requests} requests in succession.", "Check --model and the state of the account."
    )


def wait_seconds(tries: int, retry_after_seconds: float) -> float:
    """Returns the wait after so many failed attempts, at least as long as the API asks for, up to a minute."""
    return BACKOFF.seconds_after(tries, retry_after_seconds)


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
