"""What goes wrong, and when: set by a test, asked for each request.

    g.faults.add(RESET_AFTER, path="/rpc/write", nth=[1])          # the first such request: done, its answer lost
    g.faults.add(RATE_LIMITED, path="^/rest/", chance=0.2, seed=7)  # every fifth or so, the same ones each time
    g.faults.add(TOO_LARGE, larger_than=1_000_000)                 # every body of more than a megabyte
    g.faults.add(delayed(2.0), path="/rpc/")                       # a destination that takes two seconds
    g.faults.decide = lambda call: BAD_GATEWAY if … else None      # anything else

The first rule that fits decides. Answers are given instead of the work; what has `after` in its name happens when the
work is done and committed.
"""

import random
import re
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Literal

from tests.support.gateway.calls import Answer, Call, html_answer, json_answer, rest_error, storage_error

When = Literal["before", "after"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong with one request; `dataclasses.replace` joins several."""

    name: str
    do: Callable[[], object] | None = None
    """Called before the work, in a thread: replaces an object, say."""
    delay_seconds: float = 0.0
    """How long the request lies before the work."""
    answer: Answer | None = None
    """Given instead of any work."""
    reset: When | None = None
    """The connection is reset, before or after the work."""
    hang: When | None = None
    """Nothing is answered, before or after the work, until the client goes or the gateway is closed."""
    cut_after: int | None = None
    """The connection is reset after so many bytes of the body."""
    drip: tuple[int, float] | None = None
    """The body comes in pieces of so many bytes, so many seconds apart."""


def rate_limited(retry_after: float = 1) -> Fault:
    """429 as a proxy tells it: a header, and a body without a code."""
    told = {"message": "API rate limit exceeded"}
    return Fault("rate_limited", answer=json_answer(429, told, {"retry-after": f"{retry_after:g}"}))


def delayed(seconds: float) -> Fault:
    """The work begins so many seconds later."""
    return Fault("delayed", delay_seconds=seconds)


def cut_after(size: int) -> Fault:
    """The body breaks off after `size` bytes."""
    return Fault("cut_after", cut_after=size)


def dripping(size: int, seconds: float) -> Fault:
    """The body comes slowly."""
    return Fault("dripping", drip=(size, seconds))


def doing(action: Callable[[], object]) -> Fault:
    """`action` happens just before the work."""
    return Fault("doing", do=action)


RATE_LIMITED = rate_limited()
BAD_GATEWAY = Fault("bad_gateway", answer=html_answer(502, "Bad Gateway"))
TOO_LARGE = Fault("too_large", answer=html_answer(413, "Request Entity Too Large"))
SCHEMA_LOADING = Fault(
    "schema_loading",
    answer=rest_error(503, "PGRST002", "Could not query the database for the schema cache. Retrying."),
)
POOL_EXHAUSTED = Fault(
    "pool_exhausted",
    answer=rest_error(504, "PGRST003", "Timed out acquiring connection from connection pool."),
)
STATEMENT_TIMEOUT = Fault(
    "statement_timeout", answer=rest_error(500, "57014", "canceling statement due to statement timeout")
)
CONNECTION_LOST = Fault("connection_lost", answer=rest_error(400, "", ""))
"""PostgREST 14, when its connection to Postgres breaks without an SQLSTATE."""
DEADLOCK = Fault("deadlock", answer=rest_error(500, "40P01", "deadlock detected"))
RESET_BEFORE = Fault("reset_before", reset="before")
RESET_AFTER = Fault("reset_after", reset="after")
HANG_BEFORE = Fault("hang_before", hang="before")
HANG_AFTER = Fault("hang_after", hang="after")
STORAGE_TIMEOUT = Fault(
    "storage_timeout",
    answer=storage_error(544, "DatabaseTimeout", "The connection to the database timed out", "DatabaseTimeout"),
)
STORAGE_LOCKED = Fault(
    "storage_locked", answer=storage_error(423, "ResourceLocked", "The resource is locked", "ResourceLocked")
)
STORAGE_SLOW_DOWN = Fault(
    "storage_slow_down",
    answer=storage_error(
        429, "too_many_connections", "Too many connections issued to the database", "SlowDown", http=429
    ),
)


class Rule:
    """A fault and the requests that it meets."""

    def __init__(
        self,
        fault: Fault,
        *,
        method: str | None = None,
        path: str = "",
        nth: Collection[int] | None = None,
        chance: float | None = None,
        seed: int = 0,
        larger_than: int | None = None,
    ) -> None:
        self.fault = fault
        self.seen = 0
        self._method = method
        self._path = re.compile(path)
        self._nth = nth
        self._chance = chance
        self._random = random.Random(seed)
        self._larger_than = larger_than

    def meets(self, call: Call) -> bool:
        """Whether this request fails; those that fit are counted from 1."""
        if self._method not in (None, call.method) or not self._path.search(call.path):
            return False
        if self._larger_than is not None and len(call.body) <= self._larger_than:
            return False
        self.seen += 1
        if self._nth is not None and self.seen not in self._nth:
            return False
        return self._chance is None or self._random.random() < self._chance


class Faults:
    """The rules of a gateway; they may be changed while it runs."""

    def __init__(self) -> None:
        self.decide: Callable[[Call], Fault | None] | None = None
        """Asked first, if set."""
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def add(
        self,
        fault: Fault,
        *,
        method: str | None = None,
        path: str = "",
        nth: Collection[int] | None = None,
        chance: float | None = None,
        seed: int = 0,
        larger_than: int | None = None,
    ) -> Rule:
        """Adds a rule: for every request, or those of a method, those whose path has `path` (a regular expression),
        those with a body of more than `larger_than` bytes; of these all, or the `nth` (from 1), or each with `chance`.
        """
        rule = Rule(fault, method=method, path=path, nth=nth, chance=chance, seed=seed, larger_than=larger_than)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """From now on nothing goes wrong."""
        with self._lock:
            self._rules.clear()
        self.decide = None

    def of(self, call: Call) -> Fault | None:
        """What goes wrong with this request. A HEAD's answer has no body."""
        found = self.decide(call) if self.decide else None
        if found is None:
            with self._lock:
                found = next((rule.fault for rule in self._rules if rule.meets(call)), None)
        if found and found.answer and call.method == "HEAD":
            return replace(found, answer=replace(found.answer, body=b""))
        return found
