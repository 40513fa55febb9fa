"""Sends requests by Message Batches, and reads their results, also those of earlier runs."""

import asyncio
import math
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Protocol

from ray_import.destinations.profiles import StoredRequest
from ray_import.errors import CostReached, ModelBusy, ModelError, ModelOutcomeUnknown, ModelRejected
from ray_import.profile.cost import worst_cost_usd
from ray_import.profile.direct_calls import MOST_REJECTED, all_rejected, reason_of, wait_seconds
from ray_import.profile.model import BatchModel, Usage
from ray_import.profile.patience import patiently
from ray_import.profile.replies import reply_without_text
from ray_import.profile.requests import Question, RequestLog, Step
from ray_import.profile.settings import BATCH_REQUESTS, CLOCK_SKEW_SECONDS, ProfileSettings


class BatchLimit(Protocol):
    """What keeps batches below the cost limit of a command: see `profile.cost.CostLimit`."""

    async def reserve_batch(self, worst_usd: Mapping[str, float]) -> None:
        """Takes the worst cases of a batch, by custom id. Raises CostReached where they do not fit."""

    def settle_batched(self, custom_id: str, model: str, usage: Usage | None) -> None:
        """Replaces one worst case by what was charged."""


class BatchSender:
    """Sends by batches of at most BATCH_REQUESTS requests. Never sends one twice: see `find_lost`."""

    def __init__(self, log: RequestLog, model: BatchModel, limit: BatchLimit, settings: ProfileSettings) -> None:
        self._log = log
        self._model = model
        self._limit = limit
        self._settings = settings
        self._rejected = 0

    async def send(self, step: Step, questions: Iterator[Question]) -> None:
        sent: dict[str, list[StoredRequest]] = {}
        stopped: Exception | None = None
        while stopped is None and (group := list(islice(questions, BATCH_REQUESTS))):
            stopped = await self._send_parts(step, group, sent)
        step.load(())
        await self.collect(step, sent)
        if stopped is not None:
            raise stopped

    async def collect(self, step: Step, sent: dict[str, list[StoredRequest]]) -> None:
        """Waits for these batches, and settles their requests."""
        waiting = dict(sent)
        while waiting:
            for batch_id, requests in list(waiting.items()):
                batch = await patiently(lambda batch_id=batch_id: self._model.batch(batch_id))  # type: ignore[misc]
                if batch is None:
                    self._without_answer(step, requests, "batch_gone")
                elif batch.status == "ended":
                    await self._read(step, batch_id, requests)
                else:
                    continue
                del waiting[batch_id]
            if waiting:
                await asyncio.sleep(self._settings.poll_seconds)

    async def find_lost(self, step: Step, requests: list[StoredRequest]) -> tuple[str, list[StoredRequest]]:
        """The batch that these requests were sent in, where its id was lost, and the requests as they are stored then.

        It is looked for among the batches of as many requests that were created since; a custom id in its results
        proves it, so one that is at work is waited for. Without one, the requests end as `not_sent`, and the id is
        empty.
        """
        batch_id = await lost_batch(
            self._model,
            requests,
            poll_seconds=self._settings.poll_seconds,
            lost_batch_seconds=self._settings.lost_batch_seconds,
        )
        if batch_id:
            return batch_id, self._in_batch(requests, batch_id)
        self._without_answer(step, requests, "not_sent")
        return "", requests

    def adopt(self, requests: Sequence[StoredRequest], batch_id: str) -> list[StoredRequest]:
        """These requests as those of a batch whose id was stored for others of the same group alone."""
        return list(requests) if all(one.batch_id for one in requests) else self._in_batch(requests, batch_id)

    async def _send_parts(
        self, step: Step, group: Sequence[Question], sent: dict[str, list[StoredRequest]]
    ) -> Exception | None:
        """Sends a batch, or several: one that the API refuses is sent in halves, and a single request that it refuses
        has failed. Adds to `sent`. Returns what keeps the others from being sent."""
        waiting = [group]
        while waiting:
            part = waiting.pop()
            try:
                batch_id, requests = await self._send_group(step, part)
            except ModelRejected:
                if len(part) > 1:
                    middle = len(part) // 2
                    waiting += (part[middle:], part[:middle])
                    continue
                self._rejected += 1
                step.settle(part[0].request, reply_without_text("errored"))
            except (CostReached, ModelError) as error:
                return self._stopped(step, waiting, error)
            else:
                self._rejected = 0
                if batch_id:
                    sent[batch_id] = requests
            if self._rejected >= MOST_REJECTED:
                return self._stopped(step, waiting, all_rejected(self._rejected))
        return None

    def _stopped(self, step: Step, parts: Sequence[Sequence[Question]], error: Exception) -> Exception:
        """Ends the requests of these parts of a batch, which was refused as a whole."""
        for part in parts:
            self._without_answer(step, [question.request for question in part], reason_of(error))
        return error

    async def _send_group(self, step: Step, group: Sequence[Question]) -> tuple[str, list[StoredRequest]]:
        prompts = [question.prompt for question in group]
        await self._limit.reserve_batch({prompt.custom_id: worst_cost_usd(prompt, batch=True) for prompt in prompts})
        group_id = uuid.uuid4().hex
        requests = [replace(question.request, group_id=group_id) for question in group]
        self._log.save(requests)
        try:
            batch = await patiently(lambda: self._model.create_batch(prompts))
        except ModelOutcomeUnknown:
            return await self.find_lost(step, requests)
        except ModelRejected:
            for request in requests:
                self._limit.settle_batched(request.id, request.model, None)
            raise
        except ModelError as error:
            self._without_answer(step, requests, reason_of(error))
            raise
        return batch.id, self._in_batch(requests, batch.id)

    def _in_batch(self, requests: Sequence[StoredRequest], batch_id: str) -> list[StoredRequest]:
        found = [replace(request, state="in_batch", batch_id=batch_id) for request in requests]
        self._log.save(found)
        return found

    async def _read(self, step: Step, batch_id: str, requests: Sequence[StoredRequest]) -> None:
        """Settles each request of a batch that has ended once, however often its results have to be read."""
        step.load(requests)
        left = {request.id: request for request in requests}
        tries = 0
        while True:
            try:
                async for custom_id, reply in self._model.results(batch_id):
                    request = left.pop(custom_id, None)
                    if request is not None:
                        self._limit.settle_batched(custom_id, request.model, reply.usage)
                        step.settle(request, reply)
                break
            except ModelBusy as busy:
                tries += 1
                await asyncio.sleep(wait_seconds(tries, busy.retry_after_seconds))
        self._without_answer(step, list(left.values()), "no_result")
        step.load(())

    def _without_answer(self, step: Step, requests: Sequence[StoredRequest], reason: str) -> None:
        for request in requests:
            self._limit.settle_batched(request.id, request.model, None)
            self._log.failed(request, reason)
            step.give_up(request)


def known_batches(requests: Sequence[StoredRequest]) -> dict[str, str]:
    """The batch of each group of requests, where its id was stored for one of them at least."""
    return {request.group_id: request.batch_id for request in requests if request.group_id and request.batch_id}


async def lost_batch(
    model: BatchModel,
    requests: Sequence[StoredRequest],
    *,
    poll_seconds: float,
    lost_batch_seconds: float,
    most_seconds: float = math.inf,
) -> str:
    """The id of the batch that these requests were sent in; empty where there is none.

    Raises TimeoutError where that is not known after `most_seconds`: a batch that might be it has not ended.
    """
    ids, others = {request.id for request in requests}, set[str]()
    since = datetime.fromisoformat(requests[0].created_at)
    ask_since = (since - timedelta(seconds=CLOCK_SKEW_SECONDS)).astimezone(UTC).isoformat().replace("+00:00", "Z")
    began = time.monotonic()
    while True:
        found = await patiently(lambda: model.batches_since(ask_since))
        candidates = [batch for batch in found if batch.count == len(ids) and batch.id not in others]
        for batch in candidates:
            if batch.status == "ended":
                if await _first_result(model, batch.id) in ids:  # they are random
                    return batch.id
                others.add(batch.id)
        is_waiting = any(batch.status != "ended" for batch in candidates)
        age_seconds = (datetime.now(UTC) - since).total_seconds()
        if not is_waiting and age_seconds >= lost_batch_seconds:
            return ""
        if time.monotonic() - began >= most_seconds:
            raise TimeoutError
        await asyncio.sleep(poll_seconds)


async def _first_result(model: BatchModel, batch_id: str) -> str:
    """The custom id of one of its requests."""

    async def first() -> str:
        async for custom_id, _ in model.results(batch_id):
            return custom_id
        return ""

    return await patiently(first)
