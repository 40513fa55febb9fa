"""Counts by name, where a file chooses the names: known ones always, of the others so many (extraction.md §2)."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ray_import.chatgpt.visibility import CHAT, NOT_CHAT, RECIPIENTS, ROLES
from ray_import.records import Counts

MOST_UNKNOWN_NAMES: Final = 100
"""Of each kind (`role`, `type`, `to`, `unknown_type` …)."""
OTHER: Final = "other"

MOST_HELD_NAMES = 10_000
"""Of all kinds, while batches are added up. Up to there a total does not depend on the order of the batches."""
HELD_ON_UNKNOWN_NAMES = 1_000
"""Of each kind, when there are more."""

_KNOWN = {
    "role": frozenset({*ROLES, "unknown"}),
    "type": NOT_CHAT,
    "to": RECIPIENTS,
    "channel": frozenset({"analysis"}),
}
_KNOWN_TYPES = frozenset(
    f"{role} {content_type or '(none)'}" for role in _KNOWN["role"] for content_type in CHAT | NOT_CHAT
)

KindOf = Callable[[str], str | None]
"""The prefix that an unknown name shares with those of its kind; None of a name that is always counted."""


def kind_of_reason(name: str) -> str | None:
    """See `KindOf`, of what is left out and noted: `role:<role>`, `unknown_type:<name>` …"""
    kind, colon, label = name.partition(":")
    return None if not colon or label == OTHER or label in _KNOWN.get(kind, ()) else f"{kind}:"


def kind_of_type(name: str) -> str | None:
    """See `KindOf`, of messages by role and content type (`Conversation.seen_types`)."""
    return None if name == OTHER or name in _KNOWN_TYPES else ""


def bounded(
    counts: Counter[str], kind_of: KindOf = kind_of_reason, most_unknown: int = MOST_UNKNOWN_NAMES
) -> Counter[str]:
    """The same counts with at most `most_unknown` unknown names of each kind; the sum stays.

    Those stay that come first by (count descending, name); the rest of a kind is added up under `other`.
    """
    unknown: dict[str, list[str]] = {}
    for name in counts:
        kind = kind_of(name)
        if kind is not None:
            unknown.setdefault(kind, []).append(name)
    found = Counter(counts)
    for kind, names in unknown.items():
        names.sort(key=lambda name: (-counts[name], name))
        for name in names[most_unknown:]:
            found[kind + OTHER] += found.pop(name)
    return found


def bounded_counts(counts: Counts) -> Counts:
    """A copy with bounded names, as a batch or an import reports it."""
    return replace(counts, left_out=bounded(counts.left_out), notes=bounded(counts.notes))


def add_counts(total: Counts, more: Counts) -> None:
    """Adds the counts of a batch to those of an import."""
    total.add(more)
    total.left_out, total.notes = held(total.left_out), held(total.notes)


def held(total: Counter[str], kind_of: KindOf = kind_of_reason) -> Counter[str]:
    """A running total, with fewer names where they have become too many to keep."""
    return total if len(total) <= MOST_HELD_NAMES else bounded(total, kind_of, HELD_ON_UNKNOWN_NAMES)
