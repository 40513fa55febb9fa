"""Rate limits as the API keeps them: three buckets that fill up steadily, and the headers that tell of them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.support.model_api.dials import Dials


@dataclass
class _Bucket:
    level: float
    at: float


class Limits:
    """Each bucket holds what a minute allows, and starts full. Output tokens are taken when they are known."""

    def __init__(self, dials: Dials, clock: Callable[[], float]) -> None:
        self._dials = dials
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def take(self, input_tokens: int) -> float:
        """Takes a request and its input. Where one bucket does not hold so much nothing is taken, and the seconds
        until it would are given."""
        asked = {"requests": 1.0, "input-tokens": float(input_tokens), "output-tokens": 1.0}
        waits = [self._wait(name, amount) for name, amount in asked.items()]
        if max(waits) > 0:
            return max(waits)
        self._take("requests", 1)
        self._take("input-tokens", input_tokens)
        return 0.0

    def take_output(self, tokens: int) -> None:
        """Takes the output of an answer; the bucket may go below empty."""
        self._take("output-tokens", tokens)

    def headers(self) -> dict[str, str]:
        """As the API tells them; only of limits that there are."""
        headers: dict[str, str] = {}
        for name in ("requests", "input-tokens", "output-tokens"):
            limit = self._limit(name)
            if not limit:
                continue
            level = self._level(name)
            full = datetime.now(UTC) + timedelta(seconds=(limit - level) * 60 / limit)
            left = max(0, int(level) if name == "requests" else round(level / 1000) * 1000)
            headers[f"anthropic-ratelimit-{name}-limit"] = str(limit)
            headers[f"anthropic-ratelimit-{name}-remaining"] = str(left)
            headers[f"anthropic-ratelimit-{name}-reset"] = full.strftime("%Y-%m-%dT%H:%M:%SZ")
        return headers

    def reset(self) -> None:
        """Fills all buckets."""
        self._buckets.clear()

    def _limit(self, name: str) -> int:
        dials = self._dials
        limits = {
            "requests": dials.requests_per_minute,
            "input-tokens": dials.input_tokens_per_minute,
            "output-tokens": dials.output_tokens_per_minute,
        }
        return limits[name]

    def _level(self, name: str) -> float:
        limit, now = self._limit(name), self._clock()
        bucket = self._buckets.setdefault(name, _Bucket(limit, now))
        bucket.level = min(limit, bucket.level + (now - bucket.at) * limit / 60)
        bucket.at = now
        return bucket.level

    def _wait(self, name: str, amount: float) -> float:
        limit = self._limit(name)
        if not limit:
            return 0.0
        return max(0.0, (min(amount, limit) - self._level(name)) * 60 / limit)

    def _take(self, name: str, amount: float) -> None:
        if self._limit(name):
            self._level(name)
            self._buckets[name].level -= amount
