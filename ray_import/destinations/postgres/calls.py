"""Calls of ray_import's functions in a Postgres (`sql/postgres/`), and the patience with it.

Every function may be called again: so whatever fails in a way that passes is tried again, also where nobody knows
whether it was done.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from tenacity import RetryCallState, Retrying, stop_before_delay

from ray_import.chunks.rows import ChunkRow, MessageRow
from ray_import.destinations.halving import TOO_LARGE, busy
from ray_import.destinations.migrations import LATEST_POSTGRES, OTHER_VERSION
from ray_import.errors import ImporterError, SinkBusy, SinkError, SinkOverloaded
from ray_import.retry import Backoff

PATIENCE_SECONDS = 240
"""How long a destination that has answered once may be away."""
OPENING_PATIENCE_SECONDS = 6
"""How long it is tried to open a destination where nothing answers: the address may be wrong."""
OUTAGE_PATIENCE_SECONDS = 40
"""The same where a gateway or PostgREST answers that the database is away: after an outage PostgREST waits up to 32 s
before it connects again."""
LONGEST_WAIT_SECONDS = 15
LONGEST_ASKED_SECONDS = 60
TRIES_OF_TOO_LARGE = 3

_OUTAGE = re.compile(r"PGRST00\d|[45]\d\d")
"""Codes of a gateway or PostgREST: a SQLSTATE has five characters."""

T = TypeVar("T")
Wait = Callable[[RetryCallState], float]
"""How many seconds to wait before the next try."""


@dataclass(slots=True)
class PartLimits:
    """How much is written in one transaction."""

    rows: int
    bytes: int


class Database(Protocol):
    """A way to the functions. Raises SinkError and its kinds."""

    limits: PartLimits

    def call(self, function: str, arguments: dict[str, Any]) -> Any:
        """Calls one function in a transaction of its own, and gives what it gives."""

    def write(
        self, batch: dict[str, Any], chunks: Sequence[ChunkRow], messages: Sequence[MessageRow]
    ) -> list[dict[str, Any]]:
        """Writes conversations with their chunks and messages in one transaction. Returns their fates (see
        ray_import_replace)."""

    def close(self) -> None:
        """Lets go of it."""


class DatabaseCalls:
    """The functions of one database."""

    def __init__(
        self, database: Database, *, wait: Wait | None = None, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Raises SinkError where the database is not reached, or is not set up."""
        self._database = database
        self.retries = 0
        self._wait = wait or polite_wait
        self._patience_seconds = min(OPENING_PATIENCE_SECONDS, patience_seconds)
        self._outage_patience_seconds = min(OUTAGE_PATIENCE_SECONDS, patience_seconds)
        try:
            self._refuse_other_version(self._call("version"))
        except BaseException:
            database.close()
            raise
        self._patience_seconds = self._outage_patience_seconds = patience_seconds

    def _refuse_other_version(self, version: int) -> None:
        if version < LATEST_POSTGRES:
            raise SinkError(
                f"The database's tables have version {version}, but this ray-import needs {LATEST_POSTGRES}.",
                "Run ray-import migrate with the same --to.",
                OTHER_VERSION,
            )
        if version > LATEST_POSTGRES:
            raise SinkError(
                f"The database's tables have version {version}, but this ray-import only supports {LATEST_POSTGRES}.",
                "Upgrade ray-import.",
                OTHER_VERSION,
            )

    def close(self) -> None:
        self._database.close()

    def _call(self, function: str, **arguments: Any) -> Any:
        try:
            return self._patiently(lambda: self._database.call(f"ray_import_{function}", arguments), whole=True)
        except SinkOverloaded as error:
            if error.code == TOO_LARGE:
                raise
            raise busy(error) from None

    def _patiently(self, work: Callable[[], T], *, whole: bool) -> T:
        """Retries transient errors with backoff until the patience ends, with one last try at its end.

        What is too much is for halving, unless it is `whole` already.
        """
        return Retrying(
            retry=lambda state: _may_pass(state, whole=whole),
            wait=self._wait_within_patience,
            stop=self._is_over,
            before_sleep=self._count_retry,
            reraise=True,
        )(work)

    def _left_seconds(self, state: RetryCallState) -> float:
        is_outage = _OUTAGE.fullmatch(_code_of(state))
        patience_seconds = self._outage_patience_seconds if is_outage else self._patience_seconds
        return patience_seconds - (state.seconds_since_start or 0.0)

    def _wait_within_patience(self, state: RetryCallState) -> float:
        return min(self._wait(state), max(0.0, self._left_seconds(state)))

    def _is_over(self, state: RetryCallState) -> bool:
        """Also where the destination asks for a longer pause than is left."""
        left_seconds = self._left_seconds(state)
        return left_seconds <= 0 or _asked_seconds(state) > left_seconds

    def _count_retry(self, _state: RetryCallState) -> None:
        self.retries += 1


def while_opening(work: Callable[[], T]) -> T:
    """Does `work`, and retries it for OPENING_PATIENCE_SECONDS while the database is busy or away."""
    stop = stop_before_delay(OPENING_PATIENCE_SECONDS)
    return Retrying(retry=lambda state: _may_pass(state, whole=True), wait=polite_wait, stop=stop, reraise=True)(work)


def _may_pass(state: RetryCallState, *, whole: bool) -> bool:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, SinkOverloaded):
        return whole and (error.code != TOO_LARGE or state.attempt_number < TRIES_OF_TOO_LARGE)
    return isinstance(error, ImporterError) and error.retry


_BACKOFF = Backoff(first_seconds=0.2, longest_seconds=LONGEST_WAIT_SECONDS, longest_asked_seconds=LONGEST_ASKED_SECONDS)


def polite_wait(state: RetryCallState) -> float:
    """Returns the seconds before the next attempt: exponential backoff with jitter, or the pause that was asked for."""
    return _BACKOFF.seconds_after(state.attempt_number, _asked_seconds(state))


def _asked_seconds(state: RetryCallState) -> float:
    """Returns the pause that the destination asks for, at most LONGEST_ASKED_SECONDS."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_seconds if isinstance(error, SinkBusy) else 0.0
    return min(asked, LONGEST_ASKED_SECONDS)


def _code_of(state: RetryCallState) -> str:
    error = state.outcome.exception() if state.outcome else None
    return error.code if isinstance(error, SinkError) else ""
