"""What the fake API was asked, and what of it was paid for."""

import hashlib
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.support.model_api.numbered import numbered_in
from tests.support.model_api.planted import planted_in


@dataclass(kw_only=True)
class Call:
    """A call over HTTP. `status` is 0 while, and where, it is not answered. `at` is seconds of a monotonic clock."""

    method: str
    path: str
    at: float
    fault: str = ""
    status: int = 0
    input_tokens: int = 0
    retry_count: str = ""
    """What the SDK says of its own retries: it should have none."""


@dataclass(kw_only=True)
class Paid:
    """A request that the model has worked on, whether or not its answer arrived.

    `fingerprint` is the same for equal numbered lines, whatever their fence. `planted` are the planted sentences that
    it read in the user's lines: where they are unique, what was read twice was paid twice.
    """

    kind: str
    model: str
    input_tokens: int
    output_tokens: int
    batch_id: str = ""
    custom_id: str = ""
    fingerprint: str = ""
    planted: list[str] = field(default_factory=list)
    delivered: bool = True
    """False where the client was gone when a direct call was answered."""


class Ledger:
    """Calls and paid requests, in order."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.paid: list[Paid] = []
        self.failures: list[str] = []
        """Tracebacks of the fake itself: there should be none."""
        self.in_flight = 0
        self.most_in_flight = 0
        self._lock = threading.Lock()

    def enter(self, by: int) -> None:
        """Counts direct calls that the model works on."""
        with self._lock:
            self.in_flight += by
            self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def as_json(self) -> dict[str, Any]:
        """The whole ledger."""
        with self._lock:
            calls, paid = list(self.calls), list(self.paid)
        return {
            "calls": [asdict(each) for each in calls],
            "paid": [asdict(each) for each in paid],
            "failures": list(self.failures),
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerCopy:
    """The ledger as it was when a test asked for it."""

    calls: list[Call]
    paid: list[Paid]
    failures: list[str]
    in_flight: int
    most_in_flight: int

    @classmethod
    def of(cls, found: dict[str, Any]) -> "LedgerCopy":
        """From its JSON."""
        calls, paid = [Call(**each) for each in found["calls"]], [Paid(**each) for each in found["paid"]]
        return cls(**{**found, "calls": calls, "paid": paid})

    def tokens(self, kinds: Iterable[str] = ("facts", "quick", "merge", "sections")) -> int:
        """The input tokens that were paid for, of requests of these kinds."""
        return sum(each.input_tokens for each in self.paid if each.kind in set(kinds))

    def paid_twice(self) -> dict[str, int]:
        """Equal requests that were paid more than once: how often, by fingerprint."""
        counts = Counter(each.fingerprint for each in self.paid)
        return {fingerprint: count for fingerprint, count in counts.items() if count > 1}

    def read_twice(self) -> dict[str, int]:
        """Planted sentences that more than one paid request of facts has read: how often each. Requests whose answers
        were cut off count too; those tests that cut off answers have to expect them."""
        counts = Counter(sentence for each in self.paid if each.kind == "facts" for sentence in set(each.planted))
        return {sentence: count for sentence, count in counts.items() if count > 1}

    def count(self, path: str, method: str = "", status: int | None = None) -> int:
        """How many calls there were of this path's end."""
        return sum(
            each.path.endswith(path) and method in ("", each.method) and status in (None, each.status)
            for each in self.calls
        )


def fingerprint_of(prompt: str) -> str:
    """Equal for prompts with the same numbered lines."""
    lines = [(each.number, each.role, each.text) for each in numbered_in(prompt)]
    if lines:  # the last one ends with the fence
        number, role, text = lines[-1]
        lines[-1] = (number, role, text.split("\n", 1)[0])
    return hashlib.sha256(repr(lines or prompt).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def planted_read(prompt: str) -> list[str]:
    """The planted sentences in the user's lines."""
    return [fact.quote for line in numbered_in(prompt) if line.role == "user" for fact in planted_in(line.text)]
