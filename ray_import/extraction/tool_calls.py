"""Calls of tools in files that do not name the recipient of any message (extraction.md §4, the SLIM shape).

There a call looks like an answer that is one JSON object. In doubt it is an answer: people ask for JSON, too.
"""

from collections.abc import Iterator

from ray_import.extraction.decode import decode_text

_KEYS = tuple(map(frozenset, (
    ("prompt", "size"), ("prompt", "n"), ("name", "type", "content"), ("path", "args"), ("updates",), ("search_query",),
)))  # fmt: skip
"""What the arguments of a known tool hold: pictures (two ways), a new document, an app, changes, a search."""


def may_be_call(text: str) -> bool:
    """Whether the whole of `text` is one JSON object with the keys of a known tool."""
    if not text.lstrip().startswith("{") or not text.rstrip().endswith("}"):
        return False
    value = decode_text(text)
    return isinstance(value, dict) and any(keys <= value.keys() for keys in _KEYS)


def followed_calls(calls: set[int], order: list[int], threads: list[str], roles: list[str]) -> Iterator[int]:
    """Those of `calls` that the assistant or a tool goes on from: nobody was meant to read them.

    The next message of the same thread decides that, kept or not, of those that have one of the three `roles`.
    """
    next_role: dict[str, str] = {}
    for i in reversed(order):
        if roles[i] in ("user", "assistant", "tool"):
            if i in calls and next_role.get(threads[i], "user") != "user":
                yield i
            next_role[threads[i]] = roles[i]
