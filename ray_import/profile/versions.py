"""A version of a profile, made of a stored answer."""

from collections.abc import Sequence
from typing import Literal

from ray_import.profile.memory import memory_md
from ray_import.profile.merging import facts_hash
from ray_import.profile.requests import RequestLog, now
from ray_import.profile.units import PROMPT_VERSION
from ray_import.sink.profiles import Fact, ProfileVersion, StoredRequest


def save_version(
    log: RequestLog, request: StoredRequest, kind: Literal["quick", "full"], facts: Sequence[Fact]
) -> ProfileVersion:
    """Saves what the answered request says, beside the memory of these facts."""
    result = request.result or {}
    version = ProfileVersion(
        id=request.id.replace("p-", "v-", 1),
        run_id=log.report.run_id,
        kind=kind,
        model=request.model,
        prompt_version=PROMPT_VERSION,
        sections=result.get("sections") or {},
        memory_md=memory_md(facts),
        facts_hash=facts_hash(facts),
        created_at=now(),
    )
    log.store.save_version(log.user_id, version)
    return version
