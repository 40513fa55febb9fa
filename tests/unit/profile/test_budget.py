"""The budget against the fake API's own limits, on a clock that only the test moves."""

import heapq
import math
import random
from dataclasses import dataclass, field

import pytest

from ray_import.profile.model import RateLimit, Usage
from ray_import.profile.rate_limits import Budget, Ticket
from ray_import.profile.replies import limits_of
from tests.support.model_api.dials import Dials
from tests.support.model_api.limits import Limits

MINUTES = 5
IN_FLIGHT = 64


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(kw_only=True)
class Load:
    """What is sent: requests of about so many tokens, which take so long."""

    dials: Dials
    tokens: int = 12_000
    output: int = 960
    seconds: float = 15.0
    too_low: float = 1.0
    """By so much the estimates are too low."""
    others_tokens_per_second: int = 0
    refused_at: list[float] = field(default_factory=list)
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def run(self, seed: int) -> "Load":
        """MINUTES of it."""
        clock, rng = Clock(), random.Random(seed)
        server, budget = Limits(self.dials, clock), Budget(clock)
        ends: list[tuple[float, int, Ticket, Usage]] = []
        taken_by_others = 0.0
        while clock.now < 60 * MINUTES:
            while ends and ends[0][0] <= clock.now:
                _, _, ticket, usage = heapq.heappop(ends)
                server.take_output(usage.output_tokens)
                self.output_tokens += usage.output_tokens
                budget.answered(ticket, usage, limits_of(server.headers()))
            if clock.now - taken_by_others >= 1 and self.others_tokens_per_second:
                server.take(self.others_tokens_per_second)
                taken_by_others = clock.now
            estimate = rng.randint(self.tokens // 2, self.tokens)
            while len(ends) < IN_FLIGHT and budget.wait_seconds(estimate, 8_000) <= 0:
                ticket = budget.take(estimate, 8_000)
                actual = int(estimate * self.too_low)
                wait = server.take(actual)
                if wait:
                    self.refused_at.append(clock.now)
                    budget.refused(ticket, math.ceil(wait))
                    continue
                self.requests += 1
                self.input_tokens += actual
                usage = Usage(input_tokens=actual, output_tokens=rng.randint(self.output // 2, self.output * 3 // 2))
                heapq.heappush(ends, (clock.now + rng.uniform(0.5, 1.5) * self.seconds, self.requests, ticket, usage))
                estimate = rng.randint(self.tokens // 2, self.tokens)
            clock.now += 0.05
        return self

    def most_refused_in_a_minute(self) -> int:
        """Of any sixty seconds."""
        return max((sum(at <= other < at + 60 for other in self.refused_at) for at in self.refused_at), default=0)


REQUESTS = Dials(requests_per_minute=50, input_tokens_per_minute=4_000_000)
INPUT = Dials(requests_per_minute=1_000, input_tokens_per_minute=400_000, output_tokens_per_minute=80_000)
OUTPUT = Dials(requests_per_minute=1_000, input_tokens_per_minute=4_000_000, output_tokens_per_minute=30_000)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("dials", "limit"), [(REQUESTS, "requests"), (INPUT, "input"), (OUTPUT, "output")])
def test_budget_is_used_and_hardly_passed_when_one_limit_binds(dials: Dials, limit: str, seed: int) -> None:
    load = Load(dials=dials).run(seed)
    used = {
        "requests": load.requests / dials.requests_per_minute,
        "input": load.input_tokens / dials.input_tokens_per_minute,
        "output": load.output_tokens / max(1, dials.output_tokens_per_minute),
    }[limit]
    assert used >= 0.85 * MINUTES
    assert load.most_refused_in_a_minute() <= 1


@pytest.mark.parametrize("too_low", [0.7, 1.4])
def test_budget_is_used_and_hardly_passed_when_estimates_are_wrong(too_low: float) -> None:
    load = Load(dials=INPUT, too_low=too_low).run(0)
    assert load.input_tokens >= 0.85 * MINUTES * INPUT.input_tokens_per_minute
    assert load.most_refused_in_a_minute() <= 1


def test_budget_leaves_room_when_somebody_else_uses_the_key() -> None:
    load = Load(dials=INPUT, others_tokens_per_second=2_500).run(1)
    left = INPUT.input_tokens_per_minute - 60 * 2_500
    assert load.input_tokens >= 0.7 * MINUTES * left
    assert load.most_refused_in_a_minute() <= 1


def test_first_request_is_alone_until_its_answer_tells_the_limits() -> None:
    budget = Budget(Clock())
    assert budget.wait_seconds(12_000, 8_000) == 0
    ticket = budget.take(12_000, 8_000)
    assert budget.wait_seconds(1, 1) == math.inf
    budget.answered(ticket, Usage(input_tokens=12_000), [RateLimit("input-tokens", 60_000, 48_000)])
    assert budget.wait_seconds(12_000, 8_000) == 0
    assert 0 < budget.wait_seconds(57_000, 8_000) < 10


def test_nothing_is_sent_for_as_long_as_a_refusal_asks() -> None:
    clock = Clock()
    budget = Budget(clock)
    budget.answered(budget.take(10, 10), None, [])
    budget.refused(budget.take(10, 10), 20.0)
    assert budget.wait_seconds(10, 10) == 20
    clock.now = 20.0
    ticket = budget.take(10, 10)
    assert budget.wait_seconds(10, 10) == math.inf
    budget.refused(ticket, 5.0)
    assert budget.wait_seconds(10, 10) == 40


def test_a_long_retry_after_is_cut_to_a_minute() -> None:
    budget = Budget(Clock())
    budget.refused(budget.take(10, 10), 3600.0)
    assert budget.wait_seconds(10, 10) == 60


def test_a_request_larger_than_a_limit_is_sent_when_the_bucket_is_full() -> None:
    clock = Clock()
    budget = Budget(clock)
    budget.answered(budget.take(10, 10), Usage(input_tokens=10), [RateLimit("input-tokens", 1_000, 500)])
    wait = budget.wait_seconds(50_000, 10)
    assert 0 < wait < 60
    clock.now += wait + 0.01
    assert budget.wait_seconds(50_000, 10) == 0
