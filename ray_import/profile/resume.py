"""What a run does about the requests that an earlier run has left without an answer."""

import logging
from collections import defaultdict
from collections.abc import Mapping

from ray_import.profile.batches import BatchSender, known_batches
from ray_import.profile.requests import RequestLog, Step
from ray_import.sink.profiles import RequestKind, StoredRequest

log = logging.getLogger(__name__)


def left_behind(requests: RequestLog) -> list[StoredRequest]:
    """The requests of dead runs that are not at their end."""
    found = requests.store.requests(requests.user_id, ("sending", "in_batch"))
    return [request for request in found if request.run_id != requests.report.run_id]


def end_direct_calls(requests: RequestLog, left: list[StoredRequest]) -> list[StoredRequest]:
    """Ends the direct calls among them as `unknown_outcome`: nobody can learn their answers. Returns the others."""
    batched = []
    for request in left:
        if request.group_id or request.batch_id:
            batched.append(request)
        else:
            requests.unknown_outcome(request)
    return batched


async def read_batches(
    requests: RequestLog, batched: list[StoredRequest], sender: BatchSender, steps: Mapping[RequestKind, Step]
) -> None:
    """Waits for the batches of dead runs, and stores their answers. Those whose id was lost are looked for."""
    known = known_batches(requests.store.requests(requests.user_id))
    groups: dict[tuple[str, str, RequestKind], list[StoredRequest]] = defaultdict(list)
    for request in batched:
        known_id = request.batch_id or known.get(request.group_id, "")
        groups[known_id, request.group_id, request.kind].append(request)
    for (known_id, _, kind), group in groups.items():
        step = steps[kind]
        if known_id:
            batch_id, found = known_id, sender.adopt(group, known_id)
        else:
            batch_id, found = await sender.find_lost(step, group)
        if batch_id:
            log.info("profile_batch_resumed batch=%s requests=%d", batch_id, len(found))
            requests.report.resumed_batches += 1
            await sender.collect(step, {batch_id: found})
