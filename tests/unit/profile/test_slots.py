"""Slots of a key are shared, and come back from workers that died."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from ray_import.profile.rate_limits import SharedSlots


async def is_waiting(task: "asyncio.Task[None]") -> bool:
    """Whether it still waits, once everything that can happen has."""
    for _ in range(5):
        await asyncio.sleep(0)
    return not task.done()


def started(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    return asyncio.create_task(work)


def test_worker_waits_when_all_slots_are_taken_and_goes_on_when_one_is_given_back() -> None:
    async def take() -> None:
        slots = SharedSlots(2)
        await slots.take(1)
        await slots.take(2)
        third = started(slots.take(1))
        assert await is_waiting(third)
        slots.give_back(2)
        assert not await is_waiting(third)

    asyncio.run(take())


def test_slots_come_back_when_their_worker_is_gone() -> None:
    async def take() -> None:
        slots = SharedSlots(2)
        await slots.take(1)
        await slots.take(1)
        of_the_dead, of_another = started(slots.take(1)), started(slots.take(2))
        assert await is_waiting(of_another)
        slots.forget(1)
        assert not await is_waiting(of_another)
        assert not await is_waiting(of_the_dead)
        await slots.take(2)
        slots.give_back(1)
        last = started(slots.take(3))
        assert await is_waiting(last)
        slots.give_back(2)
        assert not await is_waiting(last)

    asyncio.run(take())
