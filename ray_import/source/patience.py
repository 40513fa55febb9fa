"""How long a server is waited for, and how often it is asked again."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from ray_import.errors import ImporterError, SourceUnavailable

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to connect, and for each next byte; attempts without one byte in between, and the longest wait
    between two of them, whatever the server asks for."""

    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    attempts: int = 6
    longest_wait_seconds: float = 60.0
    sleep: Callable[[float], None] = time.sleep

    def persist(self, attempt: Callable[[], Result]) -> Result:
        """What `attempt` gives in the end. Raises its last error, or the first that is not worth another try."""
        again = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, ImporterError) and error.retry),
            stop=stop_after_attempt(self.attempts),
            wait=self._seconds,
            sleep=self.sleep,
            reraise=True,
        )
        return again(attempt)

    def _seconds(self, state: RetryCallState) -> float:
        """Random, so that many who wait do not come back all at once; not less than the server asks for."""
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_seconds if isinstance(error, SourceUnavailable) else 0.0
        return min(max(asked, wait_random_exponential(max=self.longest_wait_seconds)(state)), self.longest_wait_seconds)


PATIENCE = Patience()
