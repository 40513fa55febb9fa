"""A bounded pool of connections, as PostgREST has one: who waits too long is refused."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from tests.gateway.calls import Refused, rest_error

Connection = psycopg.Connection[tuple[Any, ...]]


class Pool:
    """At most `size` connections in autocommit; for one, a request waits `wait_seconds` (504 PGRST003 after that)."""

    def __init__(self, dsn: str, size: int, wait_seconds: float) -> None:
        self._dsn = dsn
        self._wait_seconds = wait_seconds
        self._free = threading.Semaphore(size)
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lends a connection, which comes back unless it broke."""
        if not self._free.acquire(timeout=self._wait_seconds):
            message = "Timed out acquiring connection from connection pool."
            raise Refused(rest_error(504, "PGRST003", message))
        try:
            db = self._take()
            try:
                yield db
            finally:
                self._give_back(db)
        finally:
            self._free.release()

    def _take(self) -> Connection:
        with self._lock:
            db = self._idle.pop() if self._idle else None
        if db is None:
            try:
                db = psycopg.connect(self._dsn, autocommit=True, prepare_threshold=None)
            except psycopg.Error as error:
                message = "Database connection error. Retrying the connection."
                raise Refused(rest_error(503, "PGRST000", message, str(error))) from None
        with self._lock:
            self._busy.add(db)
        return db

    def _give_back(self, db: Connection) -> None:
        idle = db.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        with self._lock:
            self._busy.discard(db)
            if idle:
                self._idle.append(db)
        if not idle:
            db.close()

    def cancel(self) -> None:
        """Ends what is running: a request must not outlive the test."""
        with self._lock:
            busy = list(self._busy)
        for db in busy:
            db.cancel_safe(timeout=5)

    def close(self) -> None:
        """Closes the connections that nobody has."""
        with self._lock:
            idle, self._idle = self._idle, []
        for db in idle:
            db.close()
