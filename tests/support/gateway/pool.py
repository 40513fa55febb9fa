"""A bounded pool of connections, as PostgREST has one: who waits too long is refused."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from tests.support.gateway.calls import Refused, html_answer, rest_error

LEAST_BACKOFF_SECONDS, MOST_BACKOFF_SECONDS = 1.0, 32.0

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
        self._looks_again_at = 0.0
        self._backoff_seconds = 0.0
        self.closing = threading.Event()
        """Set when the stand-in is closed: what would be repeated is not."""

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
            db = self._connect()
        with self._lock:
            self._busy.add(db)
        return db

    def _connect(self) -> Connection:
        """Raises Refused where the database is away. It is not looked for again before the backoff is over, which grows
        up to 32 s: until then PostgREST takes no connection, which a gateway calls 502."""
        if time.monotonic() < self._looks_again_at:
            raise Refused(html_answer(502, "Bad Gateway"))
        try:
            db = psycopg.connect(self._dsn, autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            self._backoff_seconds = min(MOST_BACKOFF_SECONDS, 2 * self._backoff_seconds or LEAST_BACKOFF_SECONDS)
            self._looks_again_at = time.monotonic() + self._backoff_seconds
            message = "Database connection error. Retrying the connection."
            raise Refused(rest_error(503, "PGRST000", message, str(error))) from None
        self._backoff_seconds = 0.0
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
        self.closing.set()
        with self._lock:
            busy = list(self._busy)
        for db in busy:
            db.cancel_safe(timeout=5)

    def break_connections(self) -> None:
        """Breaks all connections as a Postgres does that is stopped `immediate`: without a word."""
        with self._lock:
            there = [*self._idle, *self._busy]
        for db in there:
            with socket.socket(fileno=os.dup(db.fileno())) as ours:
                ours.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes the connections that nobody has."""
        with self._lock:
            idle, self._idle = self._idle, []
        for db in idle:
            db.close()
