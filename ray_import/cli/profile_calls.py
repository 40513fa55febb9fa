"""The model that `profile` and `profiles` ask, by the key of the environment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ray_import.credentials import claude_access, is_bedrock_model
from ray_import.errors import ConfigError
from ray_import.profile.cost import CostLimit, cost_usd
from ray_import.profile.direct_calls import Caller
from ray_import.profile.model import Model
from ray_import.profile.run import Calls
from ray_import.profile.settings import ProfileSettings


def check_access(settings: ProfileSettings) -> None:
    """Raises ConfigError where there is no key, or what is asked for cannot be had with it."""
    claude_access(settings.model)
    check_batches(settings)


def check_batches(settings: ProfileSettings) -> None:
    """Raises ConfigError where batches are asked for, and there are none for this model."""
    if settings.in_batches and is_bedrock_model(settings.model):
        raise ConfigError("Amazon Bedrock takes no Message Batches.", "Use --now.")


@asynccontextmanager
async def opened_calls(settings: ProfileSettings) -> AsyncIterator[Calls]:
    """Direct calls and batches under one cost limit. Raises ConfigError where there is no key."""
    async with opened_model(settings.model) as model:
        limit = CostLimit(settings.max_cost_usd)
        caller = Caller(model, limit=limit, in_flight=settings.in_flight)
        slots = asyncio.Semaphore(settings.in_flight)
        yield Calls(asker=caller, slots=slots, model=model, limit=limit, price=cost_usd)


@asynccontextmanager
async def opened_model(model: str) -> AsyncIterator[Model]:
    """Connects lazily; closes at the end. Raises ConfigError where there is no key."""
    access = claude_access(model)
    from ray_import.profile.anthropic_api import Claude  # noqa: PLC0415 - seconds, and 80 MB

    claude = Claude(access)
    try:
        yield claude
    finally:
        await claude.close()
