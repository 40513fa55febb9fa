"""A stand-in for the handle of an async actor: its methods run in this event loop, and all that Ray would carry is
pickled on its way there and back."""

import asyncio
import pickle
from functools import partial
from typing import Any

from ray.exceptions import ActorDiedError


class InLoop:
    """The handle of `actor`. `carried` is what was pickled."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._calls: set[asyncio.Task[Any]] = set()
        self._is_dead = False
        self.carried: list[bytes] = []

    def __getattr__(self, name: str) -> "_Method":
        return _Method(partial(self._start, name))

    def die(self) -> None:
        """The process is gone: whoever waits for an answer is told so."""
        self._is_dead = True
        for call in self._calls:
            call.cancel()

    def _start(self, name: str, *arguments: Any) -> "asyncio.Task[Any]":
        return asyncio.create_task(self._carry(name, arguments))

    async def _carry(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if self._is_dead:
            raise ActorDiedError
        call = asyncio.create_task(getattr(self._actor, name)(*self._pickled(arguments)))
        self._calls.add(call)
        try:
            return self._pickled(await call)
        except asyncio.CancelledError:
            raise ActorDiedError from None
        finally:
            self._calls.discard(call)

    def _pickled(self, value: Any) -> Any:
        self.carried.append(pickle.dumps(value))
        return pickle.loads(self.carried[-1])


class _Method:
    def __init__(self, start: Any) -> None:
        self.remote = start
