"""When the first chunk is in the database, for everyone to see."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

LOOK_EVERY_S = 0.005


class FirstChunk:
    """`with FirstChunk(database) as first: ...`, then `first.seconds`, counted from entering.

    A thread asks the database until there is a row. After that it costs nothing. NaN where there never is one.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._stop = Event()
        self._thread = Thread(target=self._watch, name="first-chunk", daemon=True)
        self._began = 0.0
        self.seconds = float("nan")

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        ended = False
        while not ended:
            ended = self._stop.wait(LOOK_EVERY_S)  # and looks once more: it may have gone too fast
            if self._is_there():
                self.seconds = time.monotonic() - self._began
                return

    def _is_there(self) -> bool:
        if not self._database.exists():
            return False
        try:
            with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as db:
                return db.execute("SELECT 1 FROM conversation_chunks LIMIT 1").fetchone() is not None
        except sqlite3.Error:
            return False  # it is being made
