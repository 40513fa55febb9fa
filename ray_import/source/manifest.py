"""The export's own list of its files, used for one thing: to notice a shard that is missing."""

from collections.abc import Iterator

import orjson

from ray_import.source.names import base_name, is_conversations

MAX_BYTES = 16 * 1024 * 1024

MAX_NAMED = 20
"""Missing shards of one source that are problems of their own; of all others only the number is a problem."""
MAX_NAME_CHARACTERS = 100
"""Of a missing shard's name in a problem."""


def missing_shards(manifest: bytes, present: list[str]) -> list[str]:
    """Base names of the shards that `manifest` lists and `present` (member names) lacks.

    Three shapes of the manifest are known (format.md §1.1); in all of them shards are string values.
    The logical name `conversations.json` stands beside them and is no file where shards are listed.
    """
    try:
        listed = {base_name(s) for s in _strings(orjson.loads(manifest)) if is_conversations(s)}
    except orjson.JSONDecodeError:
        return []
    if len(listed) > 1:
        listed.discard("conversations.json")
    return sorted(listed - {base_name(name) for name in present})


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
