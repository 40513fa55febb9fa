"""Which members of an export hold conversations (extraction.md §1, format.md §1.1)."""

import re
from pathlib import PurePosixPath

_MEMBER = re.compile(r"conversations(?:-(\d+))?\.json(?:\.gz)?")

_OTHER_PRODUCTS = {"prod-grok-backend.json": "Grok", "MyActivity.json": "Gemini"}


def is_conversations(name: str) -> bool:
    """True for `conversations.json` and `conversations-<digits>.json` at any depth.

    The whole base name is matched: `shared_conversations.json` and `._conversations.json` are others.
    """
    path = PurePosixPath(name)
    return "__MACOSX" not in path.parts and _MEMBER.fullmatch(path.name) is not None


def shard_order(name: str) -> tuple[str, int, str]:
    """Sorts by folder, then by the shard's number, not by its text."""
    path = PurePosixPath(name)
    found = _MEMBER.fullmatch(path.name)
    return str(path.parent), int(found[1] or -1) if found else -1, path.name


def product_of(names: list[str]) -> str | None:
    """The other product whose export has a member of such a name, if one has."""
    return next((_OTHER_PRODUCTS[base] for n in names if (base := PurePosixPath(n).name) in _OTHER_PRODUCTS), None)
