"""The requests of one run as rows: written before they are sent, ended in one transaction with what came of them."""

import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from ray_import.destinations.profiles import Fact, ProfileStore, RequestKind, StoredRequest, StoredUnit
from ray_import.profile.model import Prompt, Reply, Usage
from ray_import.profile.report import ProfileReport

SENT_AGAIN = frozenset({"expired", "canceled", "no_result", "batch_gone", "not_sent", "unknown_outcome"})
"""Reasons that say nothing of what was asked: it was not read, or its answer was lost."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Question:
    """A request and what is sent for it."""

    request: StoredRequest
    prompt: Prompt


class Step(Protocol):
    """One kind of request: what is asked, and what becomes of the answers."""

    @property
    def kind(self) -> RequestKind:
        """Of its requests."""

    def load(self, requests: Sequence[StoredRequest]) -> None:
        """Fetches what the answers of these requests of a batch are checked against. Others that were loaded before are
        let go."""

    def settle(self, request: StoredRequest, reply: Reply) -> None:
        """Checks an answer, and stores what came of it."""

    def give_up(self, request: StoredRequest) -> None:
        """The request has no answer, and its row says so already."""


class RequestLog:
    """Makes, saves and ends the requests of one run, and counts them in its report. `changed` is called after each."""

    def __init__(
        self,
        store: ProfileStore,
        report: ProfileReport,
        price: Callable[[str, Usage, bool], float],
        changed: Callable[[], None] = lambda: None,
        check_lease: Callable[[], None] = lambda: None,
    ) -> None:
        self.store = store
        self.report = report
        self._price = price
        self._changed = changed
        self._check_lease = check_lease

    @property
    def user_id(self) -> str:
        """Whose profile it is."""
        return self.report.user_id

    @property
    def model(self) -> str:
        """Of all requests of the run."""
        return self.report.model

    def new(
        self, kind: RequestKind, *, unit_ids: Sequence[str] = (), mark: str = "", context: dict[str, Any] | None = None
    ) -> StoredRequest:
        """A request that is not saved yet. `context` is what its answer will be checked against, ids and numbers only:
        it is kept in `result` until the answer is there."""
        return StoredRequest(
            id=f"p-{uuid.uuid4().hex}",
            run_id=self.report.run_id,
            kind=kind,
            model=self.model,
            state="sending",
            unit_ids=tuple(unit_ids),
            mark=mark,
            result=context,
            created_at=now(),
        )

    def save(self, requests: Sequence[StoredRequest]) -> None:
        """Writes rows that are not at their end. Raises LeaseLost."""
        self._check_lease()
        self.store.save_requests(self.user_id, requests)

    def answered(
        self,
        request: StoredRequest,
        reply: Reply,
        *,
        units: Sequence[StoredUnit] = (),
        facts: Sequence[Fact] = (),
        replaced: Sequence[str] = (),
        rejected: dict[str, int] | None = None,
        result: dict[str, Any] | None = None,
    ) -> None:
        """Ends a request with a checked answer. The units `replaced` are deleted with the facts that came of them
        alone."""
        ended = replace(self._paid(request, reply), state="answered", rejected=rejected or {}, result=result)
        self._settle(ended, units, facts, replaced)

    def failed(
        self, request: StoredRequest, reason: str, reply: Reply | None = None, *, units: Sequence[StoredUnit] = ()
    ) -> None:
        """Ends a request without a usable answer."""
        paid = request if reply is None else self._paid(request, reply)
        self._settle(replace(paid, state="failed", reason=reason), units)

    def unknown_outcome(self, request: StoredRequest) -> None:
        """Ends a request that may have been answered, and charged, without us."""
        self._settle(replace(request, state="unknown_outcome", reason="unknown_outcome"))

    def _paid(self, request: StoredRequest, reply: Reply) -> StoredRequest:
        usage = reply.usage or Usage()
        return replace(
            request,
            stop_reason=reply.stop_reason,
            input_tokens=usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens,
            output_tokens=usage.output_tokens,
            usd=self._price(request.model, usage, bool(request.group_id)),
        )

    def _settle(
        self,
        request: StoredRequest,
        units: Sequence[StoredUnit] = (),
        facts: Sequence[Fact] = (),
        replaced: Sequence[str] = (),
    ) -> None:
        self._check_lease()
        if self.store.settle_request(self.user_id, request, units, facts, replaced):
            self.report.add(request)
            log.info("profile_request_%s request=%s reason=%s", request.state, request.id, request.reason or "-")
        self._changed()


def now() -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
