"""Good exports to break: conversations of every shape, written down in every way."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, chain, repeat
from pathlib import Path
from random import Random
from typing import Any

from tests.unit.source.exports import BYTE_ORDER_MARK, Item, Shape, Style, conversation

TESTS = Path(__file__).resolve().parents[1]
GOLDEN = ("cycles", "flat", "forks", "long", "marks", "odd", "slim", "times", "unseen", "voice")
"""By name, so that a new example does not make other mutations of the same seeds."""

FILES = [
    *(TESTS / "golden" / f"{name}.json" for name in GOLDEN),
    TESTS.parent / "examples" / "export" / "conversations.json",
]

EXPORTS = 96
"""How many different exports there are: few enough to import each of them unbroken, once."""

LONG_FROM = EXPORTS * 2 // 3
"""From this number on they hold long conversations as well, so that a packed one is more than a few blocks."""

_SURROGATE = re.compile("[\ud800-\udfff]")

NASTY = [
    '{"title":"x","mapping":{}}', '"}]}', '},{"title":"', "\\", '\\"', "[[[{{{", "]]}", "NaN", "\u2028", "a\nb",
    "日本語、漢字。", "👩\u200d👩\u200d👧 \U0001f680", "é" * 40, "\x7f", "```\n}\n```", '"conversations": [',
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class GoodExport:
    """Conversations (and items that are none), and their bytes as they lie in the file."""

    number: int
    style: Style
    values: tuple[Any, ...]
    items: tuple[bytes, ...]
    opening: bytes
    between: bytes
    closing: bytes

    def written(self, instead: Mapping[int, bytes] | None = None) -> bytes:
        """The file; `instead` stands in the place of the items that it has."""
        items = [(instead or {}).get(i, item) for i, item in enumerate(self.items)]
        return self.opening + self.between.join(items) + self.closing

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Where each item begins and ends."""
        lengths = chain.from_iterable(zip(map(len, self.items), repeat(len(self.between))))
        edges = list(accumulate(lengths, initial=len(self.opening)))
        return list(zip(edges[::2], edges[1::2], strict=False))

    @property
    def conversations(self) -> list[int]:
        """The places of the items that have a mapping."""
        return [i for i, value in enumerate(self.values) if has_mapping(value)]

    def part(self, begin: int, end: int) -> "GoodExport":
        """A shard of it: the items of these places alone."""
        return GoodExport(
            self.number,
            self.style,
            self.values[begin:end],
            self.items[begin:end],
            self.opening,
            self.between,
            self.closing,
        )


def has_mapping(value: object) -> bool:
    """Whether it is a conversation."""
    return isinstance(value, dict) and isinstance(value.get("mapping"), dict)


def written_down(value: object, style: Style) -> bytes:
    """The JSON of one item. Where it holds half a surrogate pair, as examples do, only an escape can say so."""
    separators = None if style.pretty else (",", ":")
    text = json.dumps(value, indent=2 if style.pretty else None, ensure_ascii=style.ascii, separators=separators)
    return text.encode() if style.ascii else _SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", text).encode()


@cache
def good_export(number: int) -> GoodExport:
    """The export of that number, always the same."""
    rng = Random(f"export {number}")
    shapes: list[Shape] = ["array", "array", "wrapper", "single"]
    style = Style(shapes[number % 4], rng.random() < 0.4, rng.random() < 0.4, rng.random() < 0.2)
    if style.shape == "single":
        values = [rng.choice([value for value in _pool() if has_mapping(value)])]
    else:
        values = rng.sample(_pool(), rng.randint(2, 8)) + (_long(rng) if number >= LONG_FROM else [])
        rng.shuffle(values)
    return _laid_out(number, style, values)


def _laid_out(number: int, style: Style, values: Sequence[Any]) -> GoodExport:
    opening, between, closing = b"[", b",", b"]"
    if style.pretty:
        opening, between, closing = b"[\n  ", b",\n  ", b"\n]\n"
    if style.shape == "wrapper":
        opening = b'{"version": 1, "made_by": {"tools": ["a {", []]}, "conversations": ' + opening
        closing = closing.rstrip() + b', "count": 3}'
    elif style.shape == "single":
        opening, between, closing = b"", b"", b""
    opening = (BYTE_ORDER_MARK if style.byte_order_mark else b"") + opening
    items = tuple(written_down(value, style) for value in values)
    return GoodExport(number, style, tuple(values), items, opening, between, closing)


@cache
def _pool() -> list[Any]:
    values: list[Any] = []
    for path in FILES:
        found = json.loads(path.read_bytes())
        values += found.get("conversations", [found]) if isinstance(found, dict) else found
    return [*values, *_by_hand()]


def _by_hand() -> list[Item]:
    nasty = conversation("nasty", *NASTY, title=NASTY[0])
    inner = conversation("inner-of-trap")
    trap = conversation("trap", "Look inside.", default_model_slug={"title": "no item", "mapping": inner["mapping"]})
    return [
        nasty,
        trap,
        _full(conversation("full", "One?", "Two.", "Three?", *NASTY)),
        _full(conversation("forked", *(f"Turn {i}" for i in range(12))), fork_every=3),
        _flat(conversation("flat-by-hand", "First.", "Second.", "Third.")),
        conversation("slim-by-hand", "Slim?", "Slim."),
        conversation("no-times", "When?", update_time=None, create_time=None),
        {"title": "Nobody spoke", "mapping": {"root": {"id": "root", "parent": None, "message": None}}, "id": "silent"},
        {"id": "g-p-1", "title": "A folder", "conversation_count": 3},
    ]


def _full(item: Item, fork_every: int = 0) -> Item:
    """With all that the app itself writes: children, flags, an attachment now and then, a side branch."""
    mapping: Item = item["mapping"]
    keys = list(mapping)
    for i, key in enumerate(keys):
        node = mapping[key]
        if fork_every and i > fork_every and i % fork_every == 0:
            node["parent"] = keys[i - fork_every]
        message = node["message"]
        if message is not None:
            message |= {"status": "finished_successfully", "end_turn": None, "weight": 1.0, "recipient": "all"}
            message["metadata"] = {"attachments": [{"name": f"{key}.pdf", "size": 12}], "model_slug": "m"}
    for key in keys:
        mapping[key]["children"] = [child for child in keys if mapping[child]["parent"] == key]
    return item | {"moderation_results": [], "is_archived": False, "plugin_ids": None}


def _flat(item: Item) -> Item:
    for node in item["mapping"].values():
        del node["parent"]
    del item["current_node"]
    return item


def _long(rng: Random) -> list[Item]:
    """Conversations of some ten thousand bytes that do not pack well."""
    alphabet = "abcdefghijklmnopqrstuvwxyzäöüß漢字 .,"
    return [
        conversation(f"long-{i}", *("".join(rng.choices(alphabet, k=rng.randint(1, 4000))) for _ in range(8)))
        for i in range(3)
    ]
