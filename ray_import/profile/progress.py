"""How far a run of the profile step is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


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
