"""Which members of an export hold conversations (extraction.md §1, format.md §1.1).

The export's own list of its files is used for one thing: to notice a missing shard.
"""

import re
from collections.abc import Iterable, Iterator, Set
from pathlib import PurePosixPath

import orjson

from ray_import.records import Problem

_MEMBER = re.compile(r"conversations(?:-([0-9]+))?\.json(?:\.gz)?")
_COPY = re.compile(r"(conversations(?:-[0-9]+)?) ?\(([0-9]{1,9})\)\.json(?:\.gz)?")
"""As browsers and file managers name a second download."""

MANIFEST = "export_manifest.json"
GROUP_CHATS = "group_chats.json"
_ENDINGS = (".zip", ".json", ".json.gz", ".tar", ".tar.gz", ".tgz")
_PARTS = {
    "ads.json", "conversation_asset_file_names.json", "export_manifest.json", "group_chats.json", "library_files.json",
    "memories.json", "message_feedback.json", "model_comparisons.json", "projects.json",
    "sectioned_conversations.json", "shared_conversations.json", "shopping.json", "sora.json", "user.json",
    "user_settings.json", "users.json",
}  # fmt: skip

_OTHER_PRODUCTS = {"prod-grok-backend.json": "Grok", "MyActivity.json": "Gemini"}
_JSON_ENDINGS = (".json", ".json.gz", ".jsonl", ".jsonl.gz")
_MATTERING_ENDINGS = (*_ENDINGS, *_JSON_ENDINGS)


def is_conversations(name: str) -> bool:
    """True for `conversations.json` and `conversations-<digits>.json` at any depth.

    The whole base name is matched: `shared_conversations.json` and `._conversations.json` are others.
    """
    path = _path(name)
    return "__MACOSX" not in path.parts and _MEMBER.fullmatch(path.name) is not None


def copy_of(name: str) -> tuple[str, int] | None:
    """What `conversations (2).json` is a copy of, and its number: `("conversations", 2)`. None for all other names."""
    path = _path(name)
    found = None if "__MACOSX" in path.parts else _COPY.fullmatch(path.name)
    return None if found is None else (found[1], int(found[2]))


def shard_name(name: str) -> str:
    """The base name of a file of conversations as a manifest lists it: without `.gz` and the number of a copy."""
    found = copy_of(name)
    return f"{found[0]}.json" if found is not None else base_name(name).removesuffix(".gz")


def is_group_chats(name: str) -> bool:
    """True for the file of an export with the group chats, at any depth."""
    path = _path(name)
    return "__MACOSX" not in path.parts and path.name.removesuffix(".gz") == GROUP_CHATS


def wrapper_keys(name: str) -> tuple[str, ...]:
    """The keys of the top object under which the file of this name may have its array of conversations."""
    return ("conversations", "chats", "group_chats") if is_group_chats(name) else ("conversations",)


def is_other_json(name: str) -> bool:
    """True for a JSON file that is no known part of an export: a browser extension may have written it."""
    path = _path(name)
    usual = path.name.removesuffix(".gz") in _PARTS or is_conversations(name) or copy_of(name) is not None
    return path.name.lower().endswith(_JSON_ENDINGS) and not usual


def is_archive(name: str) -> bool:
    """True for what may be a whole export in another archive, as in the privacy portal's download."""
    return name.lower().endswith((".zip", ".tar", ".tar.gz", ".tgz")) and "__MACOSX" not in name


def matters(name: str) -> bool:
    """True for what may be looked at: JSON and archives, but nothing that macOS adds."""
    if not name.lower().endswith(_MATTERING_ENDINGS):
        return False  # of nearly all files, and quickly
    path = _path(name)
    return "__MACOSX" not in path.parts and not path.name.startswith("._")


def without_ending(name: str) -> str | None:
    """`name` without the ending that says that it may be an export; None where it has none of these."""
    ending = max((ending for ending in _ENDINGS if name.lower().endswith(ending)), key=len, default=None)
    return None if ending is None else name[: -len(ending)]


def is_part_of_export(name: str) -> bool:
    """True for what is no export by itself, but lies in an unpacked one: a shard, and other files beside it."""
    found = _MEMBER.fullmatch(name)
    return name in _PARTS if found is None else found[1] is not None


def shard_order(name: str) -> tuple[str, bool, int, str, str]:
    """Sorts by folder, then by the shard's number, not by its text."""
    path = _path(name)
    found = _MEMBER.fullmatch(path.name)
    number = found[1] if found else None
    digits = (number or "").lstrip("0")  # as text: a number may be longer than one that Python reads
    return str(path.parent), number is not None, len(digits), digits, path.name


def base_name(name: str) -> str:
    """The last part of a member's name."""
    return _path(name).name


def product_of(names: list[str]) -> str | None:
    """The other product whose export has a member of such a name, if one has."""
    return next((_OTHER_PRODUCTS[base] for name in names if (base := base_name(name)) in _OTHER_PRODUCTS), None)


def shown(name: str) -> str:
    """`name` as it may be printed and stored: what is not printable could steer a terminal, or be no UTF-8."""
    return "".join(character if character.isprintable() else "\ufffd" for character in name)


def _path(name: str) -> PurePosixPath:
    return PurePosixPath(name.replace("\\", "/"))  # some ZIPs are made on Windows


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
