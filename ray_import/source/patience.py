"""How long a server is waited for, and how often it is asked again."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from ray_import.errors import ImporterError, SourceUnavailable
from ray_import.retry import Backoff
from ray_import.settings import ReadLimits
from ray_import.source.waiting import LEAST_TIMEOUT_SECONDS, Waiting

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Seconds to connect, and for each next byte; attempts without one byte in between, and the longest wait
    between two of them, whatever the server asks for. `waiting` counts the time that is waited for one source, that
    between attempts included; its errors are raised then, too."""

    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    attempts: int = 6
    longest_wait_seconds: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    waiting: Waiting | None = None

    def for_source(self, label: str, limits: ReadLimits) -> "RetryPolicy":
        """The same for one source; a `waiting` that there is already goes on."""
        return self if self.waiting is not None else replace(self, waiting=Waiting(label, limits))

    def persist(self, attempt: Callable[[], Result]) -> Result:
        """What `attempt` gives in the end. Raises its last error, or the first that is not worth another try."""
        again = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, ImporterError) and error.retry),
            stop=stop_after_attempt(self.attempts),
            wait=self._seconds,
            sleep=self._sleep,
            reraise=True,
        )
        return again(attempt)

    def _sleep(self, seconds: float) -> None:
        if self.waiting is None:
            self.sleep(seconds)
            return
        while seconds > 0:
            turn = min(seconds, max(self.waiting.seconds_to_check, LEAST_TIMEOUT_SECONDS))
            with self.waiting.counted():
                self.sleep(turn)
            self.waiting.check()
            seconds -= turn

    def _seconds(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_seconds if isinstance(error, SourceUnavailable) else 0.0
        longest = self.longest_wait_seconds
        backoff = Backoff(first_seconds=1.0, longest_seconds=longest, longest_asked_seconds=longest)
        return backoff.seconds_after(state.attempt_number, asked)


PATIENCE = RetryPolicy()
