"""The queue for a worker that does not end because its database is away."""

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from ray_import.destinations.service_jobs import ServiceJobs
from ray_import.errors import ImporterError

log = logging.getLogger(__name__)

T = TypeVar("T")

CALL_PATIENCE_SECONDS = 2.0
"""Of one call; a worker that is asked to stop waits no longer."""
LONGEST_WAIT_SECONDS = 15.0
AFTER_STOP_SECONDS = 8.0
"""For so long a worker that was asked to stop still tries to tell how its job ended."""


class PatientQueue:
    """Calls the queue, and tries again with backoff as long as the error may pass. Each try after an error opens a new
    connection. For one thread."""

    def __init__(self, connect: Callable[[], ServiceJobs], stop: threading.Event) -> None:
        self._connect = connect
        self._stop = stop
        self._jobs: ServiceJobs | None = None
        self._stopped_at: float | None = None

    def claim(self, do: Callable[[ServiceJobs], T]) -> T | None:
        """What `do` gives; None once the worker is asked to stop. Raises an ImporterError that does not pass."""
        return self.call(do, after_stop_seconds=0.0)

    def call(self, do: Callable[[ServiceJobs], T], *, after_stop_seconds: float = AFTER_STOP_SECONDS) -> T | None:
        """The same, which goes on for a while after the worker was asked to stop; None where that did not help."""
        for failures in range(1_000_000_000):
            try:
                if self._jobs is None:
                    self._jobs = self._connect()
                return do(self._jobs)
            except ImporterError as error:
                self.close()
                if not error.retry:
                    raise
                if failures == 0:
                    log.warning("queue_away error=%s", type(error).__name__)
            if self._is_over(after_stop_seconds):
                break
            self._wait(failures)
        return None

    def close(self) -> None:
        """Closes the connection, if there is one."""
        jobs, self._jobs = self._jobs, None
        if jobs is not None:
            with suppress(ImporterError):
                jobs.close()

    def _is_over(self, after_stop_seconds: float) -> bool:
        if not self._stop.is_set():
            return False
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()
        return time.monotonic() - self._stopped_at >= after_stop_seconds

    def _wait(self, failures: int) -> None:
        seconds = min(LONGEST_WAIT_SECONDS, 0.5 * 2 ** min(failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311
        if self._stop.wait(seconds):
            time.sleep(0.2)
