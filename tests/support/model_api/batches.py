"""Message Batches: created whole, worked on when their time is over, kept until they are deleted."""

import json
import random
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.model_api.answers import Refused, error_answer, json_answer, refused
from tests.support.model_api.dials import ITEM_FAULTS, Dials, Faults
from tests.support.model_api.ledger import Ledger
from tests.support.model_api.work import answered, question_of

MOST_REQUESTS = 100_000
CUSTOM_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
PATH = "/v1/messages/batches"


@dataclass(kw_only=True)
class Batch:
    """A batch; `results` are lines of JSON, there once it has ended."""

    id: str
    requests: list[dict[str, Any]]
    created: datetime
    ends_at: float
    status: str = "in_progress"
    canceled: bool = False
    ended: datetime | None = None
    results: list[bytes] = field(default_factory=list)
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("succeeded", "errored", "canceled", "expired"), 0)
    )


class Batches:
    """All batches of the one key. The methods raise Refused; they are called by one thread at a time."""

    def __init__(self, dials: Dials, faults: Faults, ledger: Ledger, clock: Callable[[], float]) -> None:
        self._dials = dials
        self._faults = faults
        self._ledger = ledger
        self._clock = clock
        self._batches: dict[str, Batch] = {}

    def create(self, body: Any) -> Batch:
        """Begins one. What is wrong within the parameters of a request is seen later, as an errored result."""
        requests = body.get("requests") if isinstance(body, dict) else None
        if not isinstance(requests, list) or not requests:
            raise refused(400, "requests: at least one is required")
        if len(requests) > MOST_REQUESTS:
            raise refused(413, "requests: too many")
        ids = [each.get("custom_id") for each in requests]
        if len(set(ids)) < len(ids) or not all(isinstance(each, str) and CUSTOM_ID.fullmatch(each) for each in ids):
            raise refused(400, "requests: custom_id has to be unique, and 1 to 64 of A-Z, a-z, 0-9, _ and -")
        batch = Batch(
            id=f"msgbatch_{secrets.token_hex(8)}",
            requests=requests,
            created=datetime.now(UTC),
            ends_at=self._clock() + self._dials.batch_seconds,
        )
        self._batches[batch.id] = batch
        return batch

    def get(self, batch_id: str) -> Batch:
        """One, worked on if its time is over."""
        batch = self._batches.get(batch_id)
        if batch is None:
            raise refused(404, "Not found")
        self._go_on(batch)
        return batch

    def page(self, query: dict[str, str]) -> dict[str, Any]:
        """The newest first, from behind `after_id`."""
        newest = list(reversed(self._batches.values()))
        for batch in newest:
            self._go_on(batch)
        ids = [batch.id for batch in newest]
        if "after_id" in query:
            newest = newest[ids.index(query["after_id"]) + 1 :]
        limit = int(query.get("limit", "20"))
        if not 1 <= limit <= 1000:
            raise refused(400, "limit: out of range")
        page = newest[:limit]
        return {
            "data": [as_json(batch, "") for batch in page], "has_more": len(newest) > limit,
            "first_id": page[0].id if page else None, "last_id": page[-1].id if page else None,
        }  # fmt: skip

    def cancel(self, batch_id: str) -> Batch:
        """What is not worked on yet is canceled, at the next look."""
        batch = self.get(batch_id)
        if batch.status == "ended":
            raise refused(400, "The batch has ended")
        batch.canceled, batch.status = True, "canceling"
        return batch

    def delete(self, batch_id: str) -> None:
        """Only of one that has ended."""
        if self.get(batch_id).status != "ended":
            raise refused(400, "The batch has not ended")
        del self._batches[batch_id]

    def end_all(self) -> None:
        """Lets the time of all be over."""
        for batch in self._batches.values():
            batch.ends_at = 0.0

    def all(self) -> list[Batch]:
        """As they were created."""
        return list(self._batches.values())

    def clear(self) -> None:
        """Forgets them all."""
        self._batches.clear()

    def _go_on(self, batch: Batch) -> None:
        if batch.status == "canceling" and batch.canceled:
            batch.canceled = False  # told once as canceling
            return
        held = self._dials.hold_batches or self._clock() < batch.ends_at
        if batch.status == "ended" or (held and batch.status != "canceling"):
            return
        results = [self._result(batch, request) for request in batch.requests]
        for _, result in results:
            kind = result["type"] if result["type"] in batch.counts else "errored"
            batch.counts[kind] += 1
        if self._dials.shuffle_results:
            random.Random(batch.id).shuffle(results)
        lines = [{"custom_id": custom_id, "result": result} for custom_id, result in results]
        batch.results = [json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogatepass") for line in lines]
        batch.status, batch.ended, batch.requests = "ended", datetime.now(UTC), []

    def _result(self, batch: Batch, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        custom_id = request["custom_id"]
        if batch.status == "canceling":
            return custom_id, {"type": "canceled"}
        fault = self._faults.of(ITEM_FAULTS, "POST", PATH, json.dumps(request, ensure_ascii=False))
        if fault and fault.kind in ("expired", "canceled"):
            return custom_id, {"type": fault.kind}
        if fault and fault.kind == "errored":
            return custom_id, _errored(error_answer(500, "Internal server error").body)
        try:
            question = question_of(request.get("params"))
        except Refused as wrong:
            return custom_id, _errored(wrong.answer.body)
        made, _ = answered(question, self._dials, self._faults, self._ledger, batch_id=batch.id, custom_id=custom_id)
        if fault:
            return custom_id, {"type": "half_succeeded", "reason": "nobody knows"}
        return custom_id, {"type": "succeeded", "message": made}


def _errored(body: bytes) -> dict[str, Any]:
    return {"type": "errored", "error": json.loads(body)}


def as_json(batch: Batch, base_url: str) -> dict[str, Any]:
    """The batch as the API describes it. Its counts stay 0 until it has ended."""
    ended = batch.status == "ended"
    processing = 0 if ended else len(batch.requests)
    return {
        "id": batch.id, "type": "message_batch", "processing_status": batch.status,
        "request_counts": {"processing": processing, **batch.counts},
        "created_at": batch.created.isoformat(), "expires_at": (batch.created + timedelta(hours=24)).isoformat(),
        "ended_at": batch.ended.isoformat() if batch.ended else None, "archived_at": None,
        "cancel_initiated_at": None,
        "results_url": f"{base_url}{PATH}/{batch.id}/results" if ended else None,
    }  # fmt: skip


def deleted_json(batch_id: str) -> Any:
    """The answer to a deletion."""
    return json_answer({"id": batch_id, "type": "message_batch_deleted"})
