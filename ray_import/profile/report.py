"""What came of a run of the profile step, as numbers."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from ray_import.destinations.profiles import RequestKind, StoredRequest
from ray_import.errors import ImporterError

Status = Literal["complete", "partial", "failed"]
NEVER_SENT = frozenset({"max_cost", "not_sent"})
"""Reasons of requests that are not counted as sent."""

KINDS: tuple[RequestKind, ...] = ("quick", "facts", "merge", "sections")


@dataclass(slots=True, kw_only=True)
class Spent:
    """What requests of one kind took, in tokens and dollars."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0

    def include(self, other: "Spent") -> None:
        """Adds what others took."""
        self.requests += other.requests
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.usd += other.usd

    def add(self, request: StoredRequest) -> None:
        """A request that has come to its end, unless it was never sent."""
        if request.reason in NEVER_SENT:
            return
        self.requests += 1
        self.input_tokens += request.input_tokens
        self.output_tokens += request.output_tokens
        self.usd += request.usd

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "requests": self.requests,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "usd": round(self.usd, 6),
        }


@dataclass(slots=True, kw_only=True)
class ProfileReport:
    """The counts of one run, filled while it is at work.

    `failures` counts requests by the reason for which their answer could not be used, `rejected` statements of answers
    by the reason of the check. `not_extracted` are units that have no answer at the end. `lacking` says what else keeps
    the profile from being complete.
    """

    user_id: str
    run_id: str
    model: str
    spent: dict[RequestKind, Spent] = field(default_factory=lambda: {kind: Spent() for kind in KINDS})
    failures: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    facts: Counter[str] = field(default_factory=Counter)
    new_units: int = 0
    dropped_units: int = 0
    not_extracted: int = 0
    unknown_outcome: int = 0
    resumed_batches: int = 0
    without_messages: int = 0
    unclear: int = 0
    lacking: list[str] = field(default_factory=list)
    skipped_columns: list[str] = field(default_factory=list)
    version: str | None = None
    version_kind: str | None = None
    seconds: float = 0.0
    error: ImporterError | None = None

    @property
    def total(self) -> Spent:
        """Of all kinds."""
        total = Spent()
        for spent in self.spent.values():
            total.include(spent)
        return total

    @property
    def status(self) -> Status:
        """Partial where something is missing that was asked for."""
        if self.error is not None:
            return "failed"
        return "partial" if self.not_extracted or self.lacking else "complete"

    @property
    def exit_code(self) -> int:
        """0 complete, 1 partial, else that of the error."""
        if self.error is not None:
            return self.error.exit_code
        return 1 if self.status == "partial" else 0

    @property
    def failures_by_reason(self) -> dict[str, int]:
        """The requests without a usable answer, those of unknown outcome among them."""
        unknown = {"unknown_outcome": self.unknown_outcome} if self.unknown_outcome else {}
        return {**self.failures, **unknown}

    def add(self, request: StoredRequest) -> None:
        """Counts a request that has come to its end in this run."""
        self.spent[request.kind].add(request)
        self.rejected.update(request.rejected)
        if request.state == "unknown_outcome":
            self.unknown_outcome += 1
        elif request.state == "failed":
            self.failures[request.reason] += 1

    def lacks(self, what: str) -> None:
        """Remembers once what is missing."""
        if what not in self.lacking:
            self.lacking.append(what)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, and for the destination."""
        return {
            "user_id": self.user_id,
            "run_id": self.run_id,
            "status": self.status,
            "model": self.model,
            **self.total.as_dict(),
            "by_step": {kind: self.spent[kind].as_dict() for kind in KINDS},
            "new_units": self.new_units,
            "dropped_units": self.dropped_units,
            "not_extracted": self.not_extracted,
            "without_messages": self.without_messages,
            "unknown_outcome": self.unknown_outcome,
            "resumed_batches": self.resumed_batches,
            "facts": dict(self.facts),
            "failures": dict(self.failures),
            "rejected": dict(self.rejected),
            "unclear": self.unclear,
            "version": self.version,
            "version_kind": self.version_kind,
            "lacking": list(self.lacking),
            "skipped_columns": list(self.skipped_columns),
            "seconds": round(self.seconds, 3),
            "error": None if self.error is None else str(self.error),
        }
