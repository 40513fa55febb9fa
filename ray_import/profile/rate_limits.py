"""Keeps the requests of one key within the limits that the API tells in its headers.

The API has a bucket per limit, which fills up steadily within a minute. This is a copy of them, a little smaller: what
a request will take is taken from it before it is sent, and corrected by what its answer tells. The first request is
alone, because nothing is known before its answer.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ray_import.profile.model import RateLimit, Usage

SHARE = 0.95
"""Of a limit, what is used."""

SHARE_AFTER_REFUSAL = 0.8
SHARE_REGAINED_PER_MINUTE = 0.05
"""After a 429 less is used, for some minutes."""

MOST_WAIT_SECONDS = 60.0
"""A longer `retry-after` is not obeyed: the next try is made after so long."""

_SLACK_SHARE = 0.02
_SLACK = {"requests": 1.0, "input-tokens": 1000.0, "output-tokens": 1000.0}
"""The API's account is above ours by what of the limit is not used. Where it is so much below that, somebody else uses
the key: the headers are rounded."""
_WEIGHT = 0.2
"""Of a new request, in the running averages."""


@dataclass
class _Bucket:
    limit: int
    level: float
    at: float


@dataclass(slots=True, kw_only=True)
class Ticket:
    """A request that was sent: what was taken for it, and the levels after that."""

    estimate: int
    taken: dict[str, float]
    levels: dict[str, float]


class Budget:
    """Not for several threads. `clock` gives seconds, and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}
        self._in_flight = 0
        self._expected_output = 0.0
        """Of what is in flight: output is taken from its bucket when it is known, as the API does."""
        self._window = 1.0
        """How many may be in flight: 1 until the first answer, and after a 429; it grows with each answer."""
        self._was_refused = False
        self._share_then = SHARE
        """Of each limit, what was used after the last 429."""
        self._paused_until = -math.inf
        self._refused_at = -math.inf
        self._ratio = 1.0
        """Of the input tokens that are charged to those that were estimated."""
        self._output_share = 0.1
        """Of the output to the input."""

    def wait_seconds(self, input_tokens: int, max_output_tokens: int) -> float:
        """How long such a request has to wait: 0 where it can be sent now; infinite while it waits for an answer."""
        if self._in_flight >= max(1, int(min(self._window, 1e6))):
            return math.inf
        pause = self._paused_until - self._clock()
        wanted = self._wanted(input_tokens, max_output_tokens)
        return max(0.0, pause, *(self._wait_for(name, amount) for name, amount in wanted.items()))

    def take(self, input_tokens: int, max_output_tokens: int) -> Ticket:
        """Takes what such a request will probably take."""
        wanted = self._wanted(input_tokens, max_output_tokens)
        self._in_flight += 1
        self._expected_output += wanted["output-tokens"]
        for name in ("requests", "input-tokens"):
            self._add(name, -wanted[name])
        return Ticket(estimate=input_tokens, taken=wanted, levels={name: self._level(name) for name in self._buckets})

    def answered(self, ticket: Ticket, usage: Usage | None, limits: Sequence[RateLimit]) -> None:
        """Corrects the buckets by what an answer tells."""
        self._end(ticket)
        is_blind = self._was_refused and not (limits or self._buckets)
        self._window = self._window + 1 / self._window if is_blind else math.inf
        if usage is not None:
            self._correct(ticket, usage)
            self._weigh(ticket, usage)
        for limit in limits:
            self._learn(ticket, limit)

    def refused(self, ticket: Ticket, retry_after_seconds: float) -> None:
        """A request was refused with 429: nothing is sent for a while, and then one alone. A second one within a minute
        is the last of that minute."""
        now = self._clock()
        self._end(ticket)
        wait = min(max(retry_after_seconds, 1.0), MOST_WAIT_SECONDS)
        if now - self._refused_at < MOST_WAIT_SECONDS:
            wait = max(wait, MOST_WAIT_SECONDS - (now - self._refused_at))
        self._share_then, self._refused_at = SHARE_AFTER_REFUSAL * self._share(), now
        self._paused_until = max(self._paused_until, now + wait)
        self._was_refused, self._window = True, 1.0
        for name, bucket in self._buckets.items():
            bucket.level = min(self._level(name), 0.0)

    def failed(self, ticket: Ticket) -> None:
        """A request ended without an answer. What was taken stays taken: the API may count it."""
        self._end(ticket)

    def _end(self, ticket: Ticket) -> None:
        self._in_flight -= 1
        self._expected_output -= ticket.taken["output-tokens"]

    def _wanted(self, input_tokens: int, max_output_tokens: int) -> dict[str, float]:
        tokens = input_tokens * self._ratio
        output = min(float(max_output_tokens), tokens * self._output_share)
        return {"requests": 1.0, "input-tokens": tokens, "output-tokens": output}

    def _share(self) -> float:
        minutes = (self._clock() - self._refused_at) / 60
        return min(SHARE, self._share_then + SHARE_REGAINED_PER_MINUTE * minutes) if self._was_refused else SHARE

    def _wait_for(self, name: str, amount: float) -> float:
        bucket = self._buckets.get(name)
        if bucket is None:
            return 0.0
        level = self._level(name) - (self._expected_output if name == "output-tokens" else 0.0)
        missing = min(amount, self._share() * bucket.limit) - level
        return max(0.0, missing * 60 / (self._share() * bucket.limit))

    def _level(self, name: str) -> float:
        bucket, now = self._buckets[name], self._clock()
        full = self._share() * bucket.limit
        bucket.level = min(full, bucket.level + (now - bucket.at) * full / 60)
        bucket.at = now
        return bucket.level

    def _add(self, name: str, amount: float) -> None:
        if name in self._buckets:
            self._buckets[name].level = self._level(name) + amount

    def _correct(self, ticket: Ticket, usage: Usage) -> None:
        too_much = ticket.taken["input-tokens"] - _counted_input(usage)
        self._add("input-tokens", too_much)
        self._add("output-tokens", -usage.output_tokens)
        if "input-tokens" in ticket.levels:
            ticket.levels["input-tokens"] += too_much

    def _weigh(self, ticket: Ticket, usage: Usage) -> None:
        tokens = _counted_input(usage)
        if ticket.estimate > 0:
            ratio = min(3.0, max(0.3, tokens / ticket.estimate))
            self._ratio += _WEIGHT * (ratio - self._ratio)
        if tokens > 0:
            share = min(2.0, usage.output_tokens / tokens)
            self._output_share += _WEIGHT * (share - self._output_share)

    def _learn(self, ticket: Ticket, limit: RateLimit) -> None:
        if limit.limit <= 0:
            return
        bucket = self._buckets.get(limit.kind)
        if bucket is None or bucket.limit != limit.limit:
            level = min(self._share() * limit.limit, limit.remaining)
            self._buckets[limit.kind] = _Bucket(limit.limit, level, self._clock())
            return
        expected = min(ticket.levels.get(limit.kind, math.inf), self._level(limit.kind))
        if limit.kind == "output-tokens":
            expected = bucket.level - self._expected_output
        spare = (1 - self._share() - _SLACK_SHARE) * limit.limit - _SLACK[limit.kind]
        bucket.level -= max(0.0, expected + spare - limit.remaining)


def _counted_input(usage: Usage) -> int:
    """What counts towards the limit: not what is read from a cache."""
    return usage.input_tokens + usage.cache_write_tokens


class SharedSlots:
    """So many slots. What a dead worker holds comes back. Used by one event loop."""

    def __init__(self, slots: int) -> None:
        self._free = asyncio.Semaphore(slots)
        self._held: Counter[int] = Counter()
        self._gone: set[int] = set()

    async def take(self, worker: int) -> None:
        """Waits until one is free. A worker that is gone gets none."""
        await self._free.acquire()
        if worker in self._gone:
            self._free.release()
        else:
            self._held[worker] += 1

    def give_back(self, worker: int) -> None:
        """One that this worker holds; nothing where it holds none."""
        if self._held[worker]:
            self._held[worker] -= 1
            self._free.release()

    def forget(self, worker: int) -> None:
        """The worker is gone, with all that it holds and waits for."""
        self._gone.add(worker)
        for _ in range(self._held.pop(worker, 0)):
            self._free.release()
