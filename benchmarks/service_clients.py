"""Clients of the service that do as a careful back end does: they repeat a request until it is answered."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import UUID

import httpx

from benchmarks.service_site import Process, body_of, headers

CLIENTS = 6
REPEATED_SHARE = 0.2
"""Of the answered requests, those that are sent once more with the same key."""
HUNG_AFTER_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """One import that somebody asks for: the object `key` of the user's folder."""

    user_id: str
    key: str
    after: "Wanted | None" = None
    """The user's job before, which may still run when this one is asked for: 409 is an answer to wait at."""


@dataclass(slots=True)
class Answers:
    """What the clients were told: the job of each request, and what ought not to be."""

    jobs: dict[Wanted, str] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str) -> None:
        """An answer, or an error in its place."""
        with self.lock:
            self.statuses[what] += 1

    def blame(self, what: str) -> None:
        """Something that ought not to be."""
        with self.lock:
            self.wrong.append(what)


class Clients:
    """Asks for imports, of one user's in their order, at any `serve` that is there; `stop` ends the waiting."""

    def __init__(
        self, serves: Sequence[Process], seed: int, over_seconds: float, begins: Callable[[int], None]
    ) -> None:
        """`begins` is called with the port before each request."""
        self.answers = Answers()
        self.stop = threading.Event()
        self._serves = serves
        self._seed = seed
        self._over_seconds = over_seconds
        self._begins = begins
        self._http = httpx.Client(timeout=10, trust_env=False)
        self._pool = ThreadPoolExecutor(CLIENTS, "client")

    def begin(self, wanted: Sequence[Wanted]) -> None:
        """Begins to ask: each within `over_seconds`, at a moment that the seed says."""
        rng = random.Random(f"clients {self._seed}")
        after = 0.0
        for number, each in enumerate(wanted):
            after += rng.uniform(0, 2 * self._over_seconds / len(wanted))
            self._pool.submit(self._ask, each, number, time.monotonic() + after)

    def end(self) -> Answers:
        """Waits until all are answered."""
        self._pool.shutdown()
        self._http.close()
        return self.answers

    def _ask(self, wanted: Wanted, number: int, at: float) -> None:
        rng = random.Random(f"client {self._seed} {number}")
        self.stop.wait(max(0.0, at - time.monotonic()))
        while wanted.after and wanted.after not in self.answers.jobs and not self.stop.is_set():
            self.stop.wait(0.05)
        key = str(UUID(int=rng.getrandbits(128), version=4))
        job_id = self._until_accepted(wanted, key, rng)
        if job_id is None:
            return
        with self.answers.lock:
            self.answers.jobs[wanted] = job_id
        if rng.random() < REPEATED_SHARE:
            again = self._until_accepted(wanted, key, rng)
            if again not in (job_id, None):
                self.answers.blame(f"one key, two jobs: {job_id} and {again}")

    def _until_accepted(self, wanted: Wanted, key: str, rng: random.Random) -> str | None:
        ends_at = time.monotonic() + HUNG_AFTER_SECONDS
        while not self.stop.is_set():
            if time.monotonic() > ends_at:
                self.answers.blame(f"not accepted after {HUNG_AFTER_SECONDS:g} s: {wanted.user_id}")
                return None
            job_id = self._try(wanted, key, rng)
            if job_id:
                return job_id
            self.stop.wait(rng.uniform(0.05, 0.4))
        return None

    def _try(self, wanted: Wanted, key: str, rng: random.Random) -> str | None:
        serve = rng.choice(self._serves)
        self._begins(serve.port)
        try:
            answer = self._http.post(
                f"{serve.url}/process-full-v2",
                json=body_of(wanted.user_id, wanted.key),
                headers=headers(**{"Idempotency-Key": key}),
            )
        except httpx.HTTPError as error:
            self.answers.count(type(error).__name__)
            return None
        self.answers.count(str(answer.status_code))
        if answer.status_code == 202:
            return str(answer.json()["job_id"])
        if answer.status_code == 409 and wanted.after:
            return None
        if answer.status_code not in (429, 503):
            self.answers.blame(f"{answer.status_code} {answer.text[:200]}")
        return None
