"""Operators on the value of one conversation, which is then written down again: the file stays JSON, or nearly.

What JSON can say and a Python value cannot (NaN, a key that stands there twice, half a surrogate pair) is first
written as a mark of our own.
"""

import copy
import re
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from tests.fuzz.exports import GoodExport, written_down
from tests.fuzz.mutation import Broken
from tests.unit.source.exports import Item

Operator = Callable[[Random, Item], str]
"""Breaks a conversation in place and says where."""

_TOKENS: dict[str, list[bytes]] = {
    "no number": [b"NaN", b"Infinity", b"-Infinity", b"nan", b"undefined", b"0x10", b"01", b"+1", b".5", b"1.", b"-"],
    "huge number": [b"1e999", b"-1e999", b"9" * 400, b"1" * 30, b"9007199254740993", b"1e-999", b"-0", b"1e308"],
    "surrogate": [rb'"\ud83d"', rb'"\ude00 b"', rb'"\ud83d\ud83d\ude00"', rb'"a\ude00\ud83d"', b'"\xed\xa0\xbd"'],
    "control": [rb'"\u0000"', rb'"a\u0000b\u001f"', b'"\x00"', b'"\x1f"', b'"a\nb"', rb'"\x41"', rb'"\u12"'],
}
_MARK = re.compile(rb'"@token:([a-z ]+):(\d+)@"')
_KEY_AGAIN = re.compile(rb'"@again@')
_DEPTHS = (3, 40, 500, 1_100, 20_000)
_DEEP = re.compile(rb'"@deep:(\d+):([\[{])@"')


def written_with_marks(value: object, export: GoodExport) -> bytes:
    """The JSON of `value`, marks replaced by what they stand for."""
    text = _KEY_AGAIN.sub(b'"', written_down(value, export.style))
    text = _MARK.sub(lambda found: _TOKENS[found[1].decode()][int(found[2])], text)
    return _DEEP.sub(lambda found: _nested(int(found[1]), found[2]), text)


def _nested(depth: int, bracket: bytes) -> bytes:
    return b"[" * depth + b"]" * depth if bracket == b"[" else b'{"a":' * depth + b"1" + b"}" * depth


def in_value(operator: Operator) -> Callable[[Random, GoodExport], Broken]:
    """The operator, done to one conversation of an export."""

    def broken(rng: Random, export: GoodExport) -> Broken:
        i = rng.choice(export.conversations)
        value = copy.deepcopy(export.values[i])
        place = operator(rng, value)
        instead = {i: written_with_marks(value, export)}
        return Broken(f"item {i}: {place}", export.written(instead), frozenset([i]), instead)

    return broken


def _places(item: Item) -> list[tuple[Any, Any, str]]:
    """Every place at which a value stands: what holds it, under which key, and the way there."""
    return list(_places_below(item, ""))


def _places_below(holder: Any, path: str) -> Iterator[tuple[Any, Any, str]]:
    for key, value in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
        here = f"{path}.{key}" if path else str(key)
        yield holder, key, here
        if isinstance(value, dict | list):
            yield from _places_below(value, here)


def _put(rng: Random, item: Item, value: Any) -> str:
    """Puts `value` at a place; half of them are near the top, where there are fewest and they matter most."""
    places = _places(item)
    near = [place for place in places if place[2].count(".") < 2]
    holder, key, path = rng.choice(near if near and rng.random() < 0.5 else places)
    holder[key] = value
    return path


def swap_a_value(rng: Random, item: Item) -> str:
    """Any value for one of any other kind."""
    other: Any = rng.choice(
        [None, 0, -1, 1.5, True, False, "", "text", [], [None], ["a", 1], {}, {"a": {}}, {"role": 7, "parts": "x"}]
    )
    return f"{_put(rng, item, other)} becomes {other!r}"


def wrap_a_value(rng: Random, item: Item) -> str:
    """Any value within a list or an object, as when a tool changed its mind about one or many."""
    holder, key, path = rng.choice(_places(item))
    holder[key] = rng.choice([[holder[key]], {"value": holder[key]}, [holder[key]] * 2])
    return f"{path} is wrapped"


def swap_two_values(rng: Random, item: Item) -> str:
    """Two values change their places."""
    places = _places(item)
    (one, key, path), (other, other_key, other_path) = rng.choice(places), rng.choice(places)
    first, second = copy.deepcopy(one[key]), copy.deepcopy(other[other_key])
    one[key], other[other_key] = second, first
    return f"{path} and {other_path} change places"


def drop_a_key(rng: Random, item: Item) -> str:
    """Any key of any object, or an element of a list."""
    holder, key, path = rng.choice(_places(item))
    del holder[key]
    return f"{path} is gone"


def double_a_key(rng: Random, item: Item) -> str:
    """A key that stands there twice, with the same value or another."""
    holder, key, path = rng.choice([place for place in _places(item) if isinstance(place[0], dict)])
    holder[f"@again@{key}"] = rng.choice([holder[key], None, 42, "again", [], {}])
    return f"{path} stands there twice"


def _node(rng: Random, item: Item) -> tuple[str, Item]:
    mapping = item["mapping"]
    key = rng.choice([key for key, node in mapping.items() if isinstance(node, dict)] or [_added(mapping)])
    return key, mapping[key]


def _added(mapping: Item) -> str:
    mapping["added"] = {"id": "added", "message": {"author": {"role": "user"}, "content": {"parts": ["Added."]}}}
    return "added"


def _pointers(rng: Random, item: Item, key: str) -> Any:
    keys = [*item["mapping"], key]
    return rng.choice([key, rng.choice(keys), rng.choice(keys), "missing", "", "client-created-root", None, 7, keys])


def repeat_a_message_id(rng: Random, item: Item) -> str:
    """Two messages, or nodes, of one id."""
    (key, node), (other, source) = _node(rng, item), _node(rng, item)
    message = node.get("message")
    target = message if isinstance(message, dict) and rng.random() < 0.7 else node
    target["id"] = source.get("id", other)
    return f"the id of {other} is {key}'s as well"


def repeat_a_node_key(rng: Random, item: Item) -> str:
    """A node that stands in the mapping twice, or whose key is another's but for a NUL."""
    (key, node), mapping = _node(rng, item), item["mapping"]
    mapping[rng.choice([f"@again@{key}", f"{key}\0"])] = copy.deepcopy(
        rng.choice([node, rng.choice([*mapping.values()])])
    )
    return f"{key} is in the mapping twice"


def point_a_parent_anywhere(rng: Random, item: Item) -> str:
    """Cycles, self-parents, dangling ones, other kinds of value; of one node or of many."""
    keys = [_node(rng, item)[0] for _ in range(rng.choice([1, 1, 2, 20]))]
    for key in keys:
        item["mapping"][key]["parent"] = _pointers(rng, item, key)
    return f"parents of {', '.join(sorted(set(keys)))} point anywhere"


def point_current_node_anywhere(rng: Random, item: Item) -> str:
    """At an inner node, a missing one, none at all."""
    item["current_node"] = _pointers(rng, item, _node(rng, item)[0])
    return f"current_node is {item['current_node']!r:.40}"


def spoil_children(rng: Random, item: Item) -> str:
    """Children that are not, or no list."""
    key, node = _node(rng, item)
    node["children"] = rng.choice(
        [None, "x", 7, {}, [key], ["missing"] * 3, [None, 1, {}], [[key]], [*item["mapping"]]]
    )
    return f"children of {key} are {node['children']!r:.40}"


def nest_deeply(rng: Random, item: Item) -> str:
    """A value that is nested deeper than decoders like."""
    depth, bracket = rng.choice(_DEPTHS), rng.choice(["[", "{"])
    return f"{_put(rng, item, f'@deep:{depth}:{bracket}@')} is nested {depth:,} deep"


def _token(kind: str) -> Operator:
    def operator(rng: Random, item: Item) -> str:
        number = rng.randrange(len(_TOKENS[kind]))
        return f"{_put(rng, item, f'@token:{kind}:{number}@')} becomes {_TOKENS[kind][number]!r:.40}"

    return operator


def take_anothers_id(rng: Random, export: GoodExport) -> Broken:
    """The conversation id of another conversation: the two are then copies, of which the newer one stays."""
    named = [i for i in export.conversations if isinstance(_id_of(export.values[i]), str)]
    i = rng.choice(export.conversations)
    others = [j for j in named if j != i]
    value = copy.deepcopy(export.values[i])
    twin = rng.choice(others) if others else None
    value["conversation_id"] = "lonely" if twin is None else _id_of(export.values[twin])
    instead = {i: written_with_marks(value, export)}
    touched = frozenset([i] if twin is None else [i, twin])
    return Broken(f"item {i} takes the id of item {twin}", export.written(instead), touched, instead, twin=twin)


def _id_of(value: Item) -> str | None:
    found = value.get("conversation_id") or value.get("id")
    return found if isinstance(found, str) else None


def replace_a_conversation(rng: Random, export: GoodExport) -> Broken:
    """Another kind of value where a conversation stood (a file of one object has to begin with a bracket)."""
    others: list[Any] = [{}, {"mapping": []}, {"mapping": None}, {"title": "x"}]
    if export.style.shape != "single":
        others += [None, 42, 1.5, True, "text", "", [], [{}], [[1, "a"]]]
    i = rng.choice(export.conversations)
    other = rng.choice(others)
    instead = {i: written_down(other, export.style)}
    return Broken(f"item {i} becomes {other!r}", export.written(instead), frozenset([i]), instead)


VALUES: dict[str, Callable[[Random, GoodExport], Broken]] = {
    "swap a value": in_value(swap_a_value),
    "wrap a value": in_value(wrap_a_value),
    "swap two values": in_value(swap_two_values),
    "drop a key": in_value(drop_a_key),
    "double a key": in_value(double_a_key),
    "repeat a message id": in_value(repeat_a_message_id),
    "repeat a node key": in_value(repeat_a_node_key),
    "point a parent anywhere": in_value(point_a_parent_anywhere),
    "point current_node anywhere": in_value(point_current_node_anywhere),
    "spoil children": in_value(spoil_children),
    "nest deeply": in_value(nest_deeply),
    **{f"put in a {kind}": in_value(_token(kind)) for kind in _TOKENS},
    "take another's id": take_anothers_id,
    "replace a conversation": replace_a_conversation,
}
