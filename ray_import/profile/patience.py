"""Calls about batches, tried again while the API is busy. For direct requests `profile.calling` does that."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ray_import.errors import ModelBusy

T = TypeVar("T")

MAX_WAIT_SECONDS = 60.0
FIRST_WAIT_SECONDS = 0.5
GIVE_UP_AFTER_TRIES = 40
"""About half an hour without any answer."""

log = logging.getLogger(__name__)


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Tries `call` again while it raises ModelBusy, after growing, random waits, and for half an hour at most."""
    for tries in range(1, GIVE_UP_AFTER_TRIES):
        try:
            return await call()
        except ModelBusy as busy:
            log.info("profile_api_busy tries=%d", tries)
            await asyncio.sleep(wait_seconds(tries, busy.retry_after_seconds))
    return await call()


def wait_seconds(tries: int, retry_after_seconds: float) -> float:
    """Full jitter, and at least what the API asks for, as far as that is within reason."""
    jitter = random.uniform(0, min(MAX_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(tries, 10)))  # noqa: S311
    return max(min(retry_after_seconds, MAX_WAIT_SECONDS), jitter)
