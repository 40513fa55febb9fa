"""Calls about batches, tried again while the API is busy. For direct requests `profile.direct_calls` does that."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ray_import.errors import ModelBusy
from ray_import.profile.direct_calls import wait_seconds

T = TypeVar("T")

MOST_TRIES = 40
"""About half an hour without any answer."""

log = logging.getLogger(__name__)


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Tries `call` again while it raises ModelBusy, after growing, random waits, and for half an hour at most."""
    for tries in range(1, MOST_TRIES):
        try:
            return await call()
        except ModelBusy as busy:
            log.info("profile_api_busy tries=%d", tries)
            await asyncio.sleep(wait_seconds(tries, busy.retry_after_seconds))
    return await call()
