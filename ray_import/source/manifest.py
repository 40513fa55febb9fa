"""The export's own list of its files, used for one thing: to notice a shard that is missing."""

from collections.abc import Iterable, Iterator, Set

import orjson

from ray_import.records import Problem
from ray_import.source.names import is_conversations, shard_name, shown

MAX_BYTES = 16 * 1024 * 1024

MAX_LISTED = 100_000
"""Shards that are compared, of one source; those that a manifest lists beyond them are not."""
MAX_NAMED = 20
"""Missing shards of one source that are problems of their own; of all others only the number is a problem."""
MAX_NAME_CHARACTERS = 100
"""Of a shard's name, the longest that is compared and told."""


def listed_shards(manifest: bytes) -> set[str]:
    """Base names of the shards that `manifest` lists.

    Three shapes of the manifest are known (format.md §1.1); in all of them shards are string values.
    The logical name `conversations.json` stands beside them and is no file where shards are listed.
    """
    try:
        listed = {shard_name(s)[:MAX_NAME_CHARACTERS] for s in _strings(orjson.loads(manifest)) if is_conversations(s)}
    except orjson.JSONDecodeError:
        return set()
    if len(listed) > 1:
        listed.discard("conversations.json")
    return listed


def missing_shards(where: str, listed: Iterable[str], present: Set[str]) -> list[Problem]:
    """A problem for each of the first `listed` shards that are not `present`, and one for the number of all others."""
    missing = sorted(set(listed) - present)
    told = [f"{shown(name)} is listed in the export's manifest but missing" for name in missing[:MAX_NAMED]]
    if len(missing) > MAX_NAMED:
        told.append(f"{len(missing) - MAX_NAMED:,} more files are listed in the export's manifest but missing")
    return [Problem("missing_shard", where, detail) for detail in told]


def _strings(value: object) -> Iterator[str]:
    open_values = [value]
    while open_values:
        match open_values.pop():
            case str() as text:
                yield text
            case dict() as mapping:
                open_values.extend(mapping.values())
            case list() as items:
                open_values.extend(items)
