"""A stand-in for async actors: their methods run in an event loop of this process, and all that Ray would carry is
pickled on its way there and back."""

import asyncio
import concurrent.futures
import pickle
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import ray.exceptions


class Ref:
    """What is to come of a call: to be awaited, or to be given to `StandIn`."""

    def __init__(self, future: "concurrent.futures.Future[Any]") -> None:
        self.future = future

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.wrap_future(self.future).__await__()


class InLoop:
    """The handle of `actor`, in `loop` or the one that runs. `carried` is what was pickled."""

    def __init__(self, actor: Any, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.actor = actor
        self._loop = loop
        self._calls: set[asyncio.Task[Any]] = set()
        self.is_dead = False
        self.carried: list[bytes] = []

    def __getattr__(self, name: str) -> "_Method":
        return _Method(partial(self._start, name))

    def die(self) -> None:
        """The process is gone: whoever waits for an answer is told so."""
        self.is_dead = True
        for call in list(self._calls):
            call.get_loop().call_soon_threadsafe(call.cancel)

    def _start(self, name: str, *arguments: Any) -> Ref:
        loop = self._loop or asyncio.get_running_loop()
        return Ref(asyncio.run_coroutine_threadsafe(self._carry(name, arguments), loop))

    async def _carry(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if self.is_dead:
            raise ray.exceptions.ActorDiedError
        call = asyncio.create_task(getattr(self.actor, name)(*self._pickled(arguments)))
        self._calls.add(call)
        try:
            answer = await call
        except asyncio.CancelledError:
            raise ray.exceptions.ActorDiedError from None
        finally:
            self._calls.discard(call)
        if self.is_dead:
            raise ray.exceptions.ActorDiedError
        return self._pickled(answer)

    def _pickled(self, value: Any) -> Any:
        self.carried.append(pickle.dumps(value))
        return pickle.loads(self.carried[-1])


class _Method:
    def __init__(self, start: Any) -> None:
        self.remote = start

    def options(self, **_: Any) -> "_Method":
        return self


class StandIn:
    """For the module `ray` of a driver whose actors are in a loop."""

    exceptions = ray.exceptions

    @staticmethod
    def wait(
        refs: Sequence[Ref],
        *,
        num_returns: int,
        timeout: float,
        fetch_local: bool,  # noqa: ARG004
    ) -> tuple[list[Ref], list[Ref]]:
        """As `ray.wait`."""
        first = concurrent.futures.FIRST_COMPLETED if num_returns < len(refs) else concurrent.futures.ALL_COMPLETED
        concurrent.futures.wait([ref.future for ref in refs], timeout, first)
        done = [ref for ref in refs if ref.future.done()]
        return done[:num_returns], [ref for ref in refs if ref not in done[:num_returns]]

    @staticmethod
    def get(ref: Ref, timeout: float | None = None) -> Any:
        """As `ray.get`."""
        return ref.future.result(timeout)

    @staticmethod
    def kill(handle: InLoop) -> None:
        """As `ray.kill`."""
        handle.die()


async def _at_rest() -> None:
    """Until nothing is left to do."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)


@contextmanager
def loop_in_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop for actors, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="actors", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_at_rest(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
