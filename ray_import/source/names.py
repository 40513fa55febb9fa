"""Which members of an export hold conversations (extraction.md §1, format.md §1.1)."""

import re
from pathlib import PurePosixPath

_MEMBER = re.compile(r"conversations(?:-([0-9]+))?\.json(?:\.gz)?")

MANIFEST = "export_manifest.json"
_ENDINGS = (".zip", ".json", ".json.gz", ".tar", ".tar.gz", ".tgz")
_PARTS = {
    "ads.json", "conversation_asset_file_names.json", "export_manifest.json", "group_chats.json", "library_files.json",
    "memories.json", "message_feedback.json", "model_comparisons.json", "projects.json",
    "sectioned_conversations.json", "shared_conversations.json", "shopping.json", "sora.json", "user.json",
    "user_settings.json", "users.json",
}  # fmt: skip

_OTHER_PRODUCTS = {"prod-grok-backend.json": "Grok", "MyActivity.json": "Gemini"}
_LOOKED_AT = {MANIFEST, *_OTHER_PRODUCTS}


def is_conversations(name: str) -> bool:
    """True for `conversations.json` and `conversations-<digits>.json` at any depth.

    The whole base name is matched: `shared_conversations.json` and `._conversations.json` are others.
    """
    path = _path(name)
    return "__MACOSX" not in path.parts and _MEMBER.fullmatch(path.name) is not None


def is_archive(name: str) -> bool:
    """True for what may be a whole export in another archive, as in the privacy portal's download."""
    return name.lower().endswith((".zip", ".tar", ".tar.gz", ".tgz")) and "__MACOSX" not in name


def matters(name: str) -> bool:
    """True for what is looked at: conversations, archives, the manifest, and what tells another product's export."""
    if not name.lower().endswith(_ENDINGS):
        return False  # of nearly all files, and quickly
    return is_conversations(name) or is_archive(name) or base_name(name) in _LOOKED_AT


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
