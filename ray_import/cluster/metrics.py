"""What a run tells Ray's metrics, and so Prometheus: a few numbers, none of them by user, batch or source.

Names and labels are constant, since Ray never lets go of a series. For the same reason the driver tells all of them,
at the ticks of the progress, of what workers measure as well: each worker would have series of its own, and so would
each that takes its place. A batch costs nothing here but a few additions in the pool.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ray.util.metrics import Counter, Gauge, Histogram

from ray_import.cluster.job_metadata import JobEntry
from ray_import.pipeline.progress import Progress, percent
from ray_import.profile.progress import ProfilesProgress
from ray_import.records import BatchResult

STATES = ("pending", "running", "complete", "partial", "failed", "skipped")
LATENCY_BUCKETS_SECONDS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 240]
MOST_UNTOLD = 10_000
"""Latencies that nobody has asked for yet; of more, the newest."""


def _latencies() -> deque[float]:
    return deque(maxlen=MOST_UNTOLD)


@dataclass(slots=True)
class PoolTotals:
    """What a pool has added up since it began; of latencies, what was not told yet."""

    work_seconds: float = 0.0
    sink_seconds: float = 0.0
    tried_again: int = 0
    sink_retries: int = 0
    look_ups: deque[float] = field(default_factory=_latencies)
    writes: deque[float] = field(default_factory=_latencies)

    def add(self, result: BatchResult) -> None:
        """Adds what a batch took. One that the destination was not asked about, or has not written, has no latency."""
        self.work_seconds += result.seconds - result.sink_seconds
        self.sink_seconds += result.sink_seconds
        self.sink_retries += result.sink_retries
        if result.look_up_seconds:
            self.look_ups.append(result.look_up_seconds)
        if result.write_seconds:
            self.writes.append(result.write_seconds)


class Measured(Protocol):
    """A pool, as far as it is measured."""

    @property
    def bytes_in_flight(self) -> int:
        """The payloads that are held for batches not finished yet."""

    @property
    def totals(self) -> PoolTotals:
        """What it has added up."""


class Reads(Protocol):
    """Readers, as far as they are measured."""

    @property
    def read_seconds(self) -> float:
        """For how long all readers together have worked."""


class MetricsReporter:
    """A reporter that keeps the metrics up to date."""

    def __init__(self, pool: Measured, readers: Reads) -> None:
        self._pool = pool
        self._readers = readers
        self._users = Gauge("import_users", "Users of the run, by state.", ("state",))
        self._in_flight = Gauge(
            "import_bytes_in_flight", "Bytes of JSON that workers hold or that are queued for them."
        )
        self._read = Total("import_read_bytes", "Bytes of JSON read.")
        self._conversations = Total("import_conversations", "Conversations seen.")
        self._chunks = Total("import_chunks_written", "Chunks written.")
        self._rejects = Total("import_rejects", "Items rejected.")
        self._retries = Total("import_retries", "Retries of batches and of calls to the destination.", "what")
        self._seconds = Total("import_stage_seconds", "Seconds spent by readers and workers, by stage.", "stage")
        self._latency = Histogram(
            "import_destination_seconds",
            "Seconds until the destination answered for a batch, retries included.",
            LATENCY_BUCKETS_SECONDS,
            ("call",),
        )

    def show(self, progress: Progress) -> None:
        for state in STATES:
            self._users.set(progress.states[state], {"state": state})
        self._in_flight.set(self._pool.bytes_in_flight)
        self._read.set_total({"": progress.bytes_read})
        self._conversations.set_total({"": progress.conversations})
        self._chunks.set_total({"": progress.chunks_written})
        self._rejects.set_total({"": progress.rejects})
        totals = self._pool.totals
        self._retries.set_total({"batch": totals.tried_again, "destination": totals.sink_retries})
        work, sink = totals.work_seconds, totals.sink_seconds
        self._seconds.set_total({"read": self._readers.read_seconds, "work": work, "sink": sink})
        for call, untold in (("look_up", totals.look_ups), ("write", totals.writes)):
            while untold:
                self._latency.observe(untold.popleft(), {"call": call})


class Total(Counter):
    """A counter that is told totals. With a `label`, one for each of the label's values."""

    def __init__(self, name: str, description: str, label: str = "") -> None:
        super().__init__(name, description, (label,) if label else None)
        self._label = label
        self._told: dict[str, float] = {}

    def set_total(self, totals: Mapping[str, float]) -> None:
        """Adds what is new. A user who is tried again takes counts back: the counter waits until they are passed.

        What has not happened yet is told as 0, which `inc` refuses: of a series that begins with its first event, a
        rate misses that event.
        """
        for value, total in totals.items():
            new = total - self._told.get(value, 0.0)
            if new > 0 or value not in self._told:
                self._record(max(new, 0.0), {self._label: value} if self._label else None)
                self._told[value] = max(total, 0.0)


PROFILE_STATES = ("pending", "running", "complete", "partial", "failed")
RETRY_REASONS = ("rate_limit", "busy")
REJECT_REASONS = (
    "ambiguous", "empty", "no_citation", "no_such_message", "no_such_pair", "not_answered", "not_said_by_user",
    "quote_not_found", "quote_too_short", "repeated", "too_long", "too_many", "unknown_category", "unknown_relation",
)  # fmt: skip
"""Those that are told from the beginning, as 0; others when there is one."""
FAILURE_REASONS = ("cut_off", "off_schema", "refused", "unknown_outcome")


class ProfileMetrics:
    """A reporter that keeps the metrics up to date."""

    def __init__(self) -> None:
        self._users = Gauge("profile_users", "Users whose profiles are made, by state.", ("state",))
        self._requests = Total("profile_requests", "Requests to the model that have come to their end.")
        self._tokens = Total("profile_tokens", "Tokens of these requests.", "direction")
        self._dollars = Total("profile_dollars", "Cost of these requests in dollars, by the price table.")
        self._waited = Total("profile_limit_wait_seconds", "Seconds of waiting for the limits of the key.")
        self._retries = Total("profile_retries", "Direct calls that were made again, by reason.", "reason")
        self._failures = Total("profile_failed_requests", "Requests without a usable answer, by reason.", "reason")
        self._rejected = Total("profile_rejected_statements", "Statements that failed the check, by reason.", "reason")

    def show(self, progress: ProfilesProgress) -> None:
        for state in PROFILE_STATES:
            self._users.set(progress.states[state], {"state": state})
        self._requests.set_total({"": progress.requests})
        self._tokens.set_total({"input": progress.input_tokens, "output": progress.output_tokens})
        self._dollars.set_total({"": progress.usd})
        self._waited.set_total({"": progress.calls.waited_seconds})
        self._retries.set_total({**dict.fromkeys(RETRY_REASONS, 0), **progress.calls.tried_again})
        self._failures.set_total({**dict.fromkeys(FAILURE_REASONS, 0), **progress.failures})
        self._rejected.set_total({**dict.fromkeys(REJECT_REASONS, 0), **progress.rejected})


class ProfileJobMetadata:
    """A reporter of the job's metadata."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._entry = JobEntry(clock)

    def show(self, progress: ProfilesProgress) -> None:
        self._entry.write(profile_metadata(progress), is_last=progress.ended == progress.users)


def profile_metadata(progress: ProfilesProgress) -> dict[str, str]:
    """The run in a few texts. 100 % are reached when every user has come to the end."""
    states = ", ".join(f"{count} {state}" for state, count in sorted(progress.states.items()) if count)
    rejected = ", ".join(f"{count} {reason}" for reason, count in sorted(progress.rejected.items()) if count)
    return {
        "profile_users": states,
        "profile_percent": str(percent(progress.ended / progress.users if progress.users else 1.0)),
        "profile_requests": str(progress.requests),
        "profile_tokens": f"{progress.input_tokens} input, {progress.output_tokens} output",
        "profile_usd": f"{progress.usd:.4f}",
        "profile_limit_wait_seconds": f"{progress.calls.waited_seconds:.0f}",
        "profile_rejected": rejected,
    }
