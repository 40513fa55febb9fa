"""A connection to Postgres that does not wait for ever: a frozen server acknowledges packets, and says nothing."""

from collections.abc import Generator
from time import monotonic
from typing import Any

import psycopg


class ImpatientConnection(psycopg.Connection[Any]):
    """Raises OperationalError where a statement is not answered within `answer_seconds`; whoever uses it closes it."""

    answer_seconds: float | None = None

    def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **options: Any) -> Any:
        """See `psycopg.Connection.wait`."""
        if self.answer_seconds is not None:
            gen = _until(gen, monotonic() + self.answer_seconds)
        return super().wait(gen, *arguments, **options)


def _until(gen: Generator[Any, Any, Any], deadline: float) -> Generator[Any, Any, Any]:
    """The same generator, until then. It is resumed several times a second, also where nothing has come."""
    try:
        waits_for = next(gen)
        while True:
            ready = yield waits_for
            if not ready and monotonic() > deadline:
                raise psycopg.OperationalError("no answer in time")
            waits_for = gen.send(ready)
    except StopIteration as ended:
        return ended.value
