"""The columns of a front end's `user_profiles`, with the values that its CHECKs and pages take."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Literal

import orjson

from ray_import.destinations.profiles import Fact, ProfileStore, ProfileVersion
from ray_import.errors import ConfigError
from ray_import.profile.memory import memory_md
from ray_import.profile.requests import now
from ray_import.profile.sections import IDENTITY, LISTS, SECTIONS, TEXTS, UNKNOWN

FrontEndState = Literal["processing", "quick_ready", "complete", "failed", "forgotten"]

MOST_ERROR_CHARACTERS = 500


def front_end_values(
    version: ProfileVersion | None,
    facts: Iterable[Fact],
    state: FrontEndState,
    *,
    error: str = "",
    at: str | None = None,
) -> dict[str, Any]:
    """What to set. `version` is the newest one, if there is one; `error` is what failed, or what keeps a complete
    profile from being whole; `at` is ISO 8601 in UTC, now by default.

    The status is `complete` or `quick_ready` only with a version: without one a chat would open that knows nothing. A
    user who has one keeps it, whatever becomes of a later run.
    """
    at = at or now()
    if state == "forgotten":
        return _forgotten(at)
    message = error[:MOST_ERROR_CHARACTERS] or None
    values = {"updated_at": at, "import_error": message} | _full_pass(state, at, message)
    if version is not None:
        status = "complete" if version.kind == "full" else "quick_ready"
        reached = {"import_status": status, "import_stage": "Complete", "progress_percent": 100}
        return values | reached | _profile(version, memory_md(facts) or version.memory_md)
    if state == "failed":
        failed = {"import_status": "failed", "import_stage": "Failed", "progress_percent": 100, "memory_status": "none"}
        return values | failed
    begun = {"import_status": "processing", "import_stage": "Generating soulprint", "progress_percent": 60}
    return values | begun | {"memory_status": "building", "processing_started_at": at}


def publish(store: ProfileStore, table: str, user_id: str, values: dict[str, Any]) -> list[str]:
    """Sets these columns, see `ProfileStore.publish_profile`. A table may not allow the status `failed`: then it
    becomes `none`, or stays as it is, and the other columns say that the run has failed."""
    if values.get("import_status") == "failed":
        for status in ("failed", "none"):
            with suppress(ConfigError):
                return store.publish_profile(table, user_id, values | {"import_status": status})
        values = {name: value for name, value in values.items() if name != "import_status"}
    return store.publish_profile(table, user_id, values)


def _forgotten(at: str) -> dict[str, Any]:
    """No word of the profile stays in a column."""
    texts = [f"{name}_md" for name in SECTIONS]
    texts += ["soulprint_text", "memory_md", "ai_name", "archetype", "soulprint_generated_at", "import_error"]
    times = ["full_pass_started_at", "full_pass_completed_at", "full_pass_error", "processing_started_at"]
    states = {"import_status": "none", "full_pass_status": "pending", "memory_status": "none", "progress_percent": 0}
    return dict.fromkeys([*texts, *times, "import_stage"]) | states | {"updated_at": at}


def _full_pass(state: FrontEndState, at: str, message: str | None) -> dict[str, Any]:
    """The page polls until it is complete or failed."""
    if state == "processing":
        return {"full_pass_status": "processing", "full_pass_started_at": at, "full_pass_error": None}
    if state == "quick_ready":
        return {"full_pass_status": "processing", "full_pass_error": None}
    if state == "complete":
        return {"full_pass_status": "complete", "full_pass_completed_at": at, "full_pass_error": None}
    return {"full_pass_status": "failed", "full_pass_error": message}


def _profile(version: ProfileVersion, memory: str) -> dict[str, Any]:
    sections = {name: _plain(name, version.sections.get(name) or {}) for name in SECTIONS}
    identity = sections["identity"]
    return {f"{name}_md": orjson.dumps(section).decode() for name, section in sections.items()} | {
        "soulprint_text": _as_text(sections, memory),
        "ai_name": identity["ai_name"],
        "archetype": identity["archetype"],
        "memory_md": memory,
        "memory_status": "ready",
        "soulprint_generated_at": version.created_at,
    }


def _plain(name: str, section: dict[str, Any]) -> dict[str, Any]:
    """The section as the pages read it: texts and lists of texts, without sources."""
    if name == "identity":
        return {field: section.get(field) or UNKNOWN for field in IDENTITY} | {"generated": True}
    texts = {field: (section.get(field) or {}).get("text") or UNKNOWN for field in TEXTS[name]}
    return texts | {field: [one["text"] for one in section.get(field) or ()] for field in LISTS[name]}


def _as_text(sections: dict[str, dict[str, Any]], memory: str) -> str:
    """All of it as one text, without what is not known."""
    parts = list[str]()
    for name, section in sections.items():
        lines = list[str]()
        for field, value in section.items():
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str) and text != UNKNOWN:
                    lines.append(f"- {field.replace('_', ' ')}: {text}\n")
        if lines:
            parts.append(f"## {name.capitalize()}\n\n{''.join(lines)}")
    if memory:
        parts.append(f"## Memory\n\n{memory.replace('## ', '### ')}")
    return "\n".join(parts)
