"""The queue as the web processes use it: a few threads, each with a connection of its own, and a deadline.

The event loop never waits for the database, so `/health` answers while that does not. The threads are daemons: one that
is stuck in a connection to a dead server does not hold up the end of the process.
"""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from ray_import.destinations.base import Destination
from ray_import.destinations.service_jobs import ServiceJobs
from ray_import.errors import ImporterError, SinkBusy

log = logging.getLogger(__name__)

CONNECTIONS = 4
"""Per web process. To a SQLite file it is one: its writers wait for each other by sleeping, and the unlucky one is
overtaken until its patience ends."""
PATIENCE_SECONDS = 1.5
"""How long a call is retried."""
DEADLINE_SECONDS = 2.0
"""After this, a request is answered 503, whatever its call does."""
MOST_WAITING = 200
"""More requests are answered 503 at once."""

T = TypeVar("T")
Work = Callable[[ServiceJobs], Any]


class JobStores:
    """Calls `ServiceJobs` from coroutines. A connection that fails is closed, and opened anew for the next call."""

    def __init__(
        self,
        destination: Destination,
        *,
        connections: int | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._destination = destination
        if connections is None:
            connections = 1 if destination.on_this_machine else CONNECTIONS
        self._connections = connections
        self._deadline_seconds = deadline_seconds
        self._most_waiting = most_waiting
        self._calls: queue.SimpleQueue[tuple[Future[Any], Work] | None] = queue.SimpleQueue()

    def start(self) -> None:
        """Starts the threads, which connect at once; where that fails, they connect when they are needed."""
        for number in range(self._connections):
            threading.Thread(target=self._serve, name=f"jobs-{number}", daemon=True).start()

    def stop(self) -> None:
        """Lets the threads close their connections and end; does not wait for them."""
        for _ in range(self._connections):
            self._calls.put(None)

    async def call(self, work: Callable[[ServiceJobs], T]) -> T:
        """The result of `work` in one of the threads. Raises what it raises, and SinkBusy at the deadline: then `work`
        may still be done, unless it had not begun."""
        if self._calls.qsize() >= self._most_waiting:
            raise SinkBusy("Too many requests are waiting for the database.")
        future: Future[T] = Future()
        self._calls.put((future, work))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._deadline_seconds)
        except TimeoutError:
            raise SinkBusy("The database does not answer.") from None

    def _serve(self) -> None:
        jobs: ServiceJobs | None = None
        with suppress(ImporterError):
            jobs = self._open()
        while (taken := self._calls.get()) is not None:
            future, work = taken
            if not future.set_running_or_notify_cancel():  # its request has been answered
                continue
            try:
                if jobs is None:
                    jobs = self._open()
                result = work(jobs)
            except BaseException as error:  # noqa: BLE001 - it is the caller's
                _close(jobs, error)
                jobs = None
                _settle(future.set_exception, error)
            else:
                _settle(future.set_result, result)
        _close(jobs)

    def _open(self) -> ServiceJobs:
        return self._destination.open_jobs(patience_seconds=PATIENCE_SECONDS)


def _close(jobs: ServiceJobs | None, error: BaseException | None = None) -> None:
    if isinstance(error, ImporterError):
        log.warning("database_call_failed error=%s code=%s", type(error).__name__, getattr(error, "code", ""))
    if jobs is not None:
        with suppress(Exception):  # it is broken, mostly
            jobs.close()


def _settle(settle: Callable[[Any], None], value: Any) -> None:
    with suppress(RuntimeError):  # the event loop is closed
        settle(value)
