"""Deletes all traces of a user's profile: at the API, in the front end's columns, and in the destination."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ray_import.destinations.profiles import Forgotten, ProfileStore, StoredRequest
from ray_import.profile.batches import known_batches, lost_batch
from ray_import.profile.model import Model
from ray_import.profile.patience import patiently
from ray_import.profile.settings import LOST_BATCH_SECONDS

CANCEL_SECONDS = 60.0
"""How long a batch that was cancelled may take to end: only then it can be deleted."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """What was deleted. `batches_left` were cancelled, but not deleted: they had not ended."""

    rows: Forgotten
    batches_deleted: int
    batches_left: tuple[str, ...]
    skipped_columns: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **asdict(self.rows),
            "batches_deleted": self.batches_deleted,
            "batches_left": list(self.batches_left),
            "skipped_columns": list(self.skipped_columns),
        }

    def in_words(self) -> str:
        """For a person."""
        rows = self.rows
        text = (
            f"deleted {rows.facts:,} facts, {rows.versions:,} versions, {rows.requests:,} requests,"
            f" {rows.units:,} units, {rows.runs:,} runs, {self.batches_deleted:,} batches"
        )
        if self.batches_left:
            text += f"; not ended, and not deleted at the API: {', '.join(self.batches_left)}"
        return text


def batches_of(store: ProfileStore, user_id: str) -> tuple[list[str], list[list[StoredRequest]]]:
    """The batches that were sent for a user, and the requests of those whose id was lost."""
    requests = store.requests(user_id)
    known = known_batches(requests)
    lost: dict[str, list[StoredRequest]] = {}
    for request in requests:
        if request.group_id and request.group_id not in known and request.state == "sending":
            lost.setdefault(request.group_id, []).append(request)
    return list(dict.fromkeys(request.batch_id for request in requests if request.batch_id)), list(lost.values())


async def find_batches(
    model: Model, lost: Sequence[Sequence[StoredRequest]], poll_seconds: float = 2.0
) -> tuple[list[str], list[str]]:
    """The ids of batches that were lost; and what to say of those that may be there, but are not found in time."""
    found, unknown = list[str](), list[str]()
    for requests in lost:
        try:
            batch_id = await lost_batch(
                model,
                requests,
                poll_seconds=poll_seconds,
                lost_batch_seconds=LOST_BATCH_SECONDS,
                most_seconds=CANCEL_SECONDS,
            )
        except TimeoutError:
            unknown.append(f"one of {len(requests):,} requests, if it was created at {requests[0].created_at}")
            continue
        if batch_id:
            found.append(batch_id)
    return found, unknown


async def delete_batches(model: Model, batch_ids: Sequence[str], poll_seconds: float = 2.0) -> list[str]:
    """Cancels and deletes these batches. Returns those that did not end in time."""
    left = list(batch_ids)
    for batch_id in left:
        await patiently(lambda batch_id=batch_id: model.cancel_batch(batch_id))  # type: ignore[misc]
    waited = 0.0
    while True:
        left = [batch_id for batch_id in left if not await _delete(model, batch_id)]
        if not left or waited >= CANCEL_SECONDS:
            return left
        waited += poll_seconds
        await asyncio.sleep(poll_seconds)


async def _delete(model: Model, batch_id: str) -> bool:
    batch = await patiently(lambda: model.batch(batch_id))
    if batch is not None:
        if batch.status != "ended":
            return False
        await patiently(lambda: model.delete_batch(batch_id))
        log.info("profile_batch_deleted batch=%s", batch_id)
    return True
