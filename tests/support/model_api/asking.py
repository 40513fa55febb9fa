"""Our client of Claude over the fake API, for the tests of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import SecretStr

from ray_import.credentials import ClaudeAccess
from ray_import.profile.anthropic_api import Claude
from ray_import.profile.model import Prompt, Reply
from tests.support.model_api.planted import Planted
from tests.support.model_api.server import ModelApi
from tests.test_support.model_api.test_model_api import FACTS, MODEL

T = TypeVar("T")

WORD = "Xyzzyburg"
PLANTED = Planted("work", "home town", WORD)
PROMPT = Prompt(
    custom_id="r0",
    model=MODEL,
    system="You extract.",
    text=f"[1] user 2024-05-01: {PLANTED.quote}",
    schema=FACTS,
    max_output_tokens=4_000,
    input_tokens=300,
)


@asynccontextmanager
async def claude_of(api: ModelApi, **options: Any) -> AsyncIterator[Claude]:
    access = ClaudeAccess(key=SecretStr(options.pop("key", api.key)), base_url=options.pop("url", api.url))
    claude = Claude(access, **{"timeout_seconds": 20.0, **options})
    try:
        yield claude
    finally:
        await claude.close()


def run(api: ModelApi, act: Callable[[Claude], Awaitable[T]], **options: Any) -> T:
    async def acted() -> T:
        async with claude_of(api, **options) as claude:
            return await act(claude)

    return asyncio.run(acted())


def ask(api: ModelApi, prompt: Prompt = PROMPT, **options: Any) -> Reply:
    return run(api, lambda claude: claude.ask(prompt), **options)


def prompts(count: int) -> list[Prompt]:
    return [replace(PROMPT, custom_id=f"r{at}", text=f"[1] user 2024-05-01: {at}") for at in range(count)]


async def results_of(claude: Claude, batch_id: str) -> dict[str, Reply]:
    return {custom_id: reply async for custom_id, reply in claude.results(batch_id)}
