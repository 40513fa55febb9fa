"""A version of a profile, made of stored answers."""

import uuid
from collections.abc import Sequence
from typing import Any, Literal

from ray_import.destinations.profiles import Fact, ProfileVersion, StoredRequest
from ray_import.profile.memory import memory_md
from ray_import.profile.merging import facts_hash
from ray_import.profile.requests import RequestLog, now
from ray_import.profile.units import PROMPT_VERSION


def save_version(
    log: RequestLog, sections: dict[str, Any], model: str, kind: Literal["quick", "full"], facts: Sequence[Fact]
) -> ProfileVersion:
    """Saves these sections, beside the memory of these facts. The same ones may become the newest version again."""
    version = ProfileVersion(
        id=f"v-{uuid.uuid4().hex}",
        run_id=log.report.run_id,
        kind=kind,
        model=model,
        prompt_version=PROMPT_VERSION,
        sections=sections,
        memory_md=memory_md(facts),
        facts_hash=facts_hash(facts),
        created_at=now(),
    )
    log.store.save_version(log.user_id, version)
    return version


def sections_of(request: StoredRequest) -> dict[str, Any]:
    """What an answered request says."""
    sections: dict[str, Any] = (request.result or {}).get("sections") or {}
    return sections
