"""A thread that keeps leases alive while this process waits for whatever it waits for."""

import threading
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Generic, Protocol, Self, TypeVar

BEAT_EVERY_SECONDS = 5.0
PATIENCE_AT_THE_END_SECONDS = 2.0
"""With a destination that is away."""


class Connection(Protocol):
    """Something that can be closed."""

    def close(self) -> None:
        """Closes it."""


C = TypeVar("C", bound=Connection)


class BeatingThread(Generic[C]):
    """Calls `beat` again and again, with a connection of its own, which it opens by itself; where that fails, or is
    lost, it tries again."""

    def __init__(self, connect: Callable[[], C], beat: Callable[[C], object], every_seconds: float) -> None:
        self._connect = connect
        self._call_beat = beat
        self._every_seconds = every_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_AT_THE_END_SECONDS)

    def _run(self) -> None:
        while not self._stop.wait(self._every_seconds):
            # Whatever goes wrong: work that goes on must not lose its place by it.
            with suppress(Exception), closing(self._connect()) as connection:
                while not self._stop.is_set():
                    self._call_beat(connection)
                    self._stop.wait(self._every_seconds)
