"""What a run over many profiles tells Ray's metrics, and its job's metadata: figures, no user, no words.

See `cluster.metrics`: names and labels are constant, and the driver tells all of them.
"""

import time
from collections.abc import Callable

from ray.util.metrics import Gauge

from ray_import.cluster.job_metadata import JobEntry
from ray_import.cluster.metrics import Total
from ray_import.importing.progress import percent
from ray_import.profile.totals import ProfilesProgress

STATES = ("pending", "running", "complete", "partial", "failed")
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
        """See `ProfilesReporter.show`."""
        for state in STATES:
            self._users.set(progress.states[state], {"state": state})
        self._requests.is_now({"": progress.requests})
        self._tokens.is_now({"input": progress.input_tokens, "output": progress.output_tokens})
        self._dollars.is_now({"": progress.usd})
        self._waited.is_now({"": progress.calls.waited_seconds})
        self._retries.is_now({**dict.fromkeys(RETRY_REASONS, 0), **progress.calls.tried_again})
        self._failures.is_now({**dict.fromkeys(FAILURE_REASONS, 0), **progress.failures})
        self._rejected.is_now({**dict.fromkeys(REJECT_REASONS, 0), **progress.rejected})


class ProfileJobMetadata:
    """A reporter of the job's metadata."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._entry = JobEntry(clock)

    def show(self, progress: ProfilesProgress) -> None:
        """See `ProfilesReporter.show`."""
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
