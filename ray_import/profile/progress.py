"""The progress of a run of the profile step, for one user, and added up over many."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ray_import.profile.direct_calls import CallStats
from ray_import.profile.report import ProfileReport


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileProgress:
    """`expected_requests` is an estimate that may grow. By reason, `failures` counts requests and `rejected`
    statements."""

    user_id: str
    step: str
    requests: int
    expected_requests: int
    input_tokens: int
    output_tokens: int
    usd: float
    seconds: float
    failures: Mapping[str, int] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)

    @property
    def seconds_left(self) -> float | None:
        """By the speed so far; None before the first answer."""
        if not self.requests:
            return None
        return self.seconds / self.requests * max(0, self.expected_requests - self.requests)


class ProfileReporter(Protocol):
    """Shows how far runs are. It must not raise."""

    def show(self, progress: ProfileProgress) -> None:
        """Called after each answer, and when a step begins."""


class SilentReporter:
    """Shows nothing."""

    def show(self, progress: ProfileProgress) -> None:
        """Does nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilesProgress:
    """All users together. `states`: `pending`, `running`, and those of a report. What was spent for a user counts also
    where the worker was lost. `calls` are the direct calls of the key."""

    users: int
    states: Counter[str]
    requests: int
    expected_requests: int
    input_tokens: int
    output_tokens: int
    usd: float
    seconds: float
    failures: Counter[str]
    rejected: Counter[str]
    calls: CallStats

    @property
    def ended(self) -> int:
        """How many users have come to the end."""
        return self.users - self.states["pending"] - self.states["running"]

    def as_one(self) -> ProfileProgress:
        """As the progress of one run."""
        return ProfileProgress(
            user_id=f"{self.ended:,} of {self.users:,} users",
            step=f"{self.states['running']:,} active",
            requests=self.requests,
            expected_requests=max(self.requests, self.expected_requests),
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            usd=self.usd,
            seconds=self.seconds,
        )


class ProfilesReporter(Protocol):
    """Shows how far the profiles of many users are. It must not raise."""

    def show(self, progress: ProfilesProgress) -> None:
        """Called again and again, and at the end."""


@dataclass(slots=True, kw_only=True)
class _Attempt:
    """What one run of a user has told last."""

    requests: int = 0
    expected_requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)


class Totals:
    """Adds up what the runs of `users` users tell; each run by its own, so that what a lost one has told stays."""

    def __init__(self, users: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._users = users
        self._clock = clock
        self._began = clock()
        self._at_work: dict[str, _Attempt] = {}
        self._ended = _Attempt()
        self._states: Counter[str] = Counter()
        self.calls = CallStats()

    def begin(self, user_id: str) -> None:
        """A run of this user begins."""
        self._at_work[user_id] = _Attempt()

    def show(self, progress: ProfileProgress) -> None:
        """See `ProfileReporter.show`. What comes after the end of a run does not count."""
        if progress.user_id in self._at_work:
            self._at_work[progress.user_id] = _Attempt(
                requests=progress.requests,
                expected_requests=progress.expected_requests,
                input_tokens=progress.input_tokens,
                output_tokens=progress.output_tokens,
                usd=progress.usd,
                failures=Counter(progress.failures),
                rejected=Counter(progress.rejected),
            )

    def lose(self, user_id: str) -> None:
        """The worker of this user is gone."""
        lost = self._at_work.pop(user_id, _Attempt())
        lost.expected_requests = lost.requests
        _include(self._ended, lost)

    def end(self, report: ProfileReport) -> None:
        """A user has come to the end."""
        self._at_work.pop(report.user_id, None)
        self._states[report.status] += 1
        total = report.total
        ended = _Attempt(
            requests=total.requests,
            expected_requests=total.requests,
            input_tokens=total.input_tokens,
            output_tokens=total.output_tokens,
            usd=total.usd,
            failures=Counter(report.failures_by_reason),
            rejected=Counter(report.rejected),
        )
        _include(self._ended, ended)

    def now(self) -> ProfilesProgress:
        """All of it at this moment. Of users who have not begun, as many requests are expected as of the others."""
        total = _Attempt()
        for attempt in (self._ended, *self._at_work.values()):
            _include(total, attempt)
        begun = len(self._at_work) + self._states.total()
        pending = self._users - begun
        expected = total.expected_requests + (round(total.expected_requests * pending / begun) if begun else 0)
        states = self._states + Counter(pending=pending, running=len(self._at_work))
        return ProfilesProgress(
            users=self._users,
            states=states,
            requests=total.requests,
            expected_requests=expected,
            input_tokens=total.input_tokens,
            output_tokens=total.output_tokens,
            usd=total.usd,
            seconds=self._clock() - self._began,
            failures=total.failures,
            rejected=total.rejected,
            calls=self.calls,
        )


def _include(total: _Attempt, other: _Attempt) -> None:
    total.requests += other.requests
    total.expected_requests += other.expected_requests
    total.input_tokens += other.input_tokens
    total.output_tokens += other.output_tokens
    total.usd += other.usd
    total.failures.update(other.failures)
    total.rejected.update(other.rejected)
