"""The direct calls that may be made at the same time with one key, shared by workers that may die."""

import asyncio
from collections import Counter


class SharedSlots:
    """So many slots. What a dead worker holds comes back. Used by one event loop."""

    def __init__(self, slots: int) -> None:
        self._free = asyncio.Semaphore(slots)
        self._held: Counter[int] = Counter()
        self._gone: set[int] = set()

    async def take(self, worker: int) -> None:
        """Waits until one is free. A worker that is gone gets none."""
        await self._free.acquire()
        if worker in self._gone:
            self._free.release()
        else:
            self._held[worker] += 1

    def give_back(self, worker: int) -> None:
        """One that this worker holds; nothing where it holds none."""
        if self._held[worker]:
            self._held[worker] -= 1
            self._free.release()

    def forget(self, worker: int) -> None:
        """The worker is gone, with all that it holds and waits for."""
        self._gone.add(worker)
        for _ in range(self._held.pop(worker, 0)):
            self._free.release()
