import io
import itertools
import json
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ijson
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ray_import.reader.window import Window
from ray_import.records import RawConversation
from ray_import.settings import Reader
from tests.unit.reader.streams import Reading, items_of, read
from tests.unit.source.exports import BYTE_ORDER_MARK, Shape, Style, conversation, exported

WINDOWS = [1, 2, 5, 64, 1000, 1 << 20]

# --- generated exports ---------------------------------------------------------------------------

NASTY = [
    '{"title":"x","mapping":{}}', '"}]}', '},{"title":"', "\\", '\\"', "[[[{{{", "]]}", "NaN", "\u2028", "a\nb", "日本",
]  # fmt: skip
TEXTS = st.sampled_from(NASTY) | st.text(st.sampled_from('{}[]",:\\ ') | st.characters(codec="utf-8"), max_size=10)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=3)
CONVERSATIONS = st.builds(lambda *parts: parts[0] | {"mapping": parts[1]} | parts[2], OBJECTS, OBJECTS, OBJECTS)
ITEMS = CONVERSATIONS | CONVERSATIONS | OBJECTS | NUMBERS | TEXTS | st.none()


@st.composite
def exports(draw: st.DrawFn) -> tuple[list[Any], Style]:
    """Items, and the way in which they are written down."""
    shapes: list[Shape] = ["array", "array", "wrapper", "single"]
    shape = draw(st.sampled_from(shapes))
    style = Style(shape, *(draw(st.booleans()) for _ in range(3)))
    if shape == "single":
        return [draw(OBJECTS)], style
    return draw(st.lists(ITEMS, max_size=6)), style


@given(
    export=exports(), window_bytes=st.sampled_from(WINDOWS), most=st.lists(st.integers(1, 50), min_size=1, max_size=5)
)
def test_the_items_of_an_export_are_cut_out_as_they_lie_there(
    export: tuple[list[Any], Style], window_bytes: int, most: list[int]
) -> None:
    items, style = export
    data = exported(items, style)
    reading = read(data, window_bytes, most)
    assert [json.loads(item.data) for item in reading.items] == items
    assert [data[item.offset : item.offset + len(item.data)] for item in reading.items] == [
        item.data for item in reading.items
    ]
    assert [item.position for item in reading.items] == list(range(len(items)))
    assert [item.damage for item in reading.items] == [""] * len(items)
    assert reading.problems == []


@given(export=exports(), window_bytes=st.sampled_from(WINDOWS))
def test_the_items_are_those_that_ijson_finds(export: tuple[list[Any], Style], window_bytes: int) -> None:
    items, style = export
    data = exported(items, style)
    prefix = {"array": "item", "wrapper": "conversations.item", "single": ""}[style.shape]
    found = list(ijson.items(data.removeprefix(BYTE_ORDER_MARK), prefix, use_float=True))
    assert [json.loads(item.data) for item in read(data, window_bytes).items] == found


@given(
    export=exports(), window_bytes=st.sampled_from(WINDOWS), most=st.lists(st.integers(1, 50), min_size=1, max_size=5)
)
def test_every_reader_gives_the_same_bytes(export: tuple[list[Any], Style], window_bytes: int, most: list[int]) -> None:
    data = exported(*export)
    by_both = read(data, window_bytes, most)
    assert read(data, window_bytes, most, reader="ijson") == by_both
    assert read(data, window_bytes, most, reader="framing") == by_both


@pytest.mark.parametrize("window_bytes", [1, 64, 1 << 20])
@pytest.mark.parametrize("reader", ["framing", "ijson"])
def test_every_reader_goes_on_behind_damage(reader: Reader, window_bytes: int) -> None:
    data = b"[" + b",".join([raw(ALPHA), b'{"title":NaN,"mapping":{}}', LONE, raw(BETA), raw(GAMMA)[:-9]])
    reading = read(data, window_bytes, reader=reader)
    assert reading == read(data, window_bytes)
    assert values(reading.items) == [ALPHA, None, values(reading.items)[2], BETA, None]


def test_an_export_may_be_empty() -> None:
    for data in (b"[]", b" [ ] \n", b'{"conversations":[]}'):
        assert read(data) == Reading()


def test_keys_may_follow_the_conversations_in_a_wrapper() -> None:
    reading = read(b'{"conversations":[{"mapping":{}}],"version":1,"by":{"a":[1]}}')
    assert [item.data for item in reading.items] == [b'{"mapping":{}}']
    assert reading.problems == []


def test_the_same_member_may_be_read_again_and_its_name_is_in_every_item() -> None:
    reading = read(exported([conversation("a"), conversation("b")]))
    assert {item.member for item in reading.items} == {"conversations.json"}


@pytest.mark.parametrize("window_bytes", [1, 7, 1 << 20])
@pytest.mark.parametrize("depth", [1, 900, 3_000])
def test_depth_is_no_damage(depth: int, window_bytes: int) -> None:
    deep = b'{"mapping":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
    reading = read(b'[{"mapping":{}},' + deep + b',{"mapping":{}}]', window_bytes)
    assert [(item.data, item.damage) for item in reading.items][1:] == [(deep, ""), (b'{"mapping":{}}', "")]
    assert reading.problems == []


@pytest.mark.parametrize("window_bytes", [1, 1 << 20])
@pytest.mark.parametrize("closing", [b"]", b"]\n", b""])
@pytest.mark.parametrize("escape", [rb"\ud83d", rb"\ude00", rb"\ud83d\ud83d\ude00", rb"\ud83d\n"])
def test_a_lone_surrogate_costs_nothing_wherever_it_stands(escape: bytes, closing: bytes, window_bytes: int) -> None:
    items = [b'{"mapping":{},"title":"' + escape + b'"}', b'{"mapping":{"a":"' + escape + b'b"}}']
    items.append(items[0])
    data = b"[" + b",".join(items) + closing
    reading = read(data, window_bytes)
    assert [item.data for item in reading.items] == items
    assert reading.kinds == ([] if closing else ["truncated"])


@pytest.mark.parametrize("escape", [rb"\ud83d", rb"\ude00"])
def test_a_lone_surrogate_costs_nothing_in_a_file_of_one_conversation(escape: bytes) -> None:
    data = b'{"mapping":{},"title":"' + escape + b'"}'
    assert [item.data for item in read(data).items] == [data]
    assert read(data).problems == []


# --- damage --------------------------------------------------------------------------------------

ALPHA, BETA, GAMMA = conversation("alpha", "one {", "two"), conversation("beta", "Ça va?"), conversation("gamma")


def raw(item: object, pretty: bool = False) -> bytes:
    return exported([item], Style("single", pretty))


def is_json(data: bytes) -> bool:
    try:
        orjson.loads(data)  # unlike `json`, it takes no NaN
    except orjson.JSONDecodeError:
        return False
    return True


def values(items: Sequence[RawConversation]) -> list[Any]:
    """The items' values, None where they are not JSON."""
    return [json.loads(item.data) if is_json(item.data) else None for item in items]


def is_told(reading: Reading) -> bool:
    """Whether anything says that not all is well: a damaged item, one that is not JSON, or a problem."""
    return bool(reading.problems) or None in values(reading.items) or any(item.damage for item in reading.items)


def damaged_in_one_place(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """`whole` with one byte gone, changed or put in, at every place, as far as that is no JSON."""
    for i in range(len(whole)):
        yield f"without byte {i}", whole[:i] + whole[i + 1 :]
        for byte in (b"\xff", b"\0"):
            yield f"{byte!r} at byte {i}", whole[:i] + byte + whole[i + 1 :]
        for more in (b"{", b"}", b'"', b"\\") + ((b"[", b"]") if i else ()):
            yield f"{more!r} before byte {i}", whole[:i] + more + whole[i:]
        if i:
            yield f"cut off before byte {i}", whole[:i]


@pytest.mark.parametrize("last", [True, False], ids=["the last but one", "followed by two"])
@pytest.mark.parametrize("pretty", [False, True])
def test_a_conversation_that_is_damaged_anywhere_costs_no_other(pretty: bool, last: bool) -> None:
    before, after = raw(ALPHA, pretty), raw(GAMMA, pretty) + (b"" if last else b"," + raw(GAMMA, pretty))
    expected = [ALPHA, GAMMA] if last else [ALPHA, GAMMA, GAMMA]
    lost = []
    for what, damaged in damaged_in_one_place(raw(BETA, pretty)):
        reading = read(b"[" + before + b"," + damaged + b"," + after + b"]")
        if [value for value in values(reading.items) if value in (ALPHA, GAMMA)] != expected:
            lost.append(what)
    assert lost == []


@pytest.mark.parametrize("pretty", [False, True])
def test_a_conversation_that_is_damaged_anywhere_is_told(pretty: bool) -> None:
    """Also where its first bracket is gone, so that what is left looks like many items that are none."""
    between = raw(ALPHA, pretty) + b",%s," + raw(GAMMA, pretty)
    untold = [
        what
        for what, damaged in damaged_in_one_place(raw(BETA, pretty))
        if not is_json(damaged) and not is_told(read(b"[" + between.replace(b"%s", damaged) + b"]"))
    ]
    assert untold == []


@pytest.mark.parametrize("window_bytes", [1, 100, 1 << 20])
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param((b"1700000000.0", b"NaN"), id="NaN"),
        pytest.param((b"1700000000.0", b"-Infinity"), id="Infinity"),
        pytest.param((b"va?", b"va\x01"), id="control character"),
        pytest.param((b"va?", b"va\n"), id="line break"),
        pytest.param(("Ç".encode(), "Ç".encode("latin-1")), id="bad UTF-8"),
        pytest.param(("Ç".encode(), b"\xed\xa0\xbd\xed\xb8\x82"), id="CESU-8"),
        pytest.param((b"va?", rb"va\x"), id="unknown escape"),
        pytest.param(('"Ça va?"'.encode(), b"[redacted]"), id="placeholder"),
        pytest.param((b'"role":"user"', b'"role":"user'), id="missing quote"),
        pytest.param((b"]}}}}", b"]}}}"), id="missing closing bracket"),
        pytest.param((b'"parts":[', b'"parts":'), id="missing opening bracket"),
    ],
)
def test_a_damaged_conversation_is_one_item_between_the_others(damage: tuple[bytes, bytes], window_bytes: int) -> None:
    damaged = raw(BETA).replace(*damage, 1)
    assert damaged != raw(BETA)
    reading = read(b"[" + b",".join([raw(ALPHA), damaged, raw(GAMMA)]) + b"]", window_bytes)
    assert values(reading.items)[0] == ALPHA
    assert values(reading.items)[-1] == GAMMA
    assert [item.data for item in reading.items][1:-1] == [damaged]
    assert reading.problems == []


@pytest.mark.parametrize("window_bytes", [1, 1 << 20])
@pytest.mark.parametrize("before", [b",", b" ", b""], ids=["comma", "blank", "nothing"])
@pytest.mark.parametrize(
    "junk", [b"garbage", b"<br>", b"\xff\xfe", b"'", b"...", b"NaN", b"...,...,", b"[redacted]", b"{", b"[", b'"']
)
def test_junk_between_conversations_costs_none_and_is_told(junk: bytes, before: bytes, window_bytes: int) -> None:
    reading = read(b"[" + raw(ALPHA) + before + junk + b"," + raw(GAMMA) + b"]", window_bytes)
    found = values(reading.items)
    assert [value for value in found if value is not None] == [ALPHA, GAMMA]
    assert is_told(reading)


@pytest.mark.parametrize("window_bytes", [1, 1 << 20])
@pytest.mark.parametrize("junk", [b"}", b":", b"]", b"}]}", b'"x"]}},', b'x":{"y":[1]}}'])
def test_what_is_left_of_a_conversation_without_its_beginning_costs_no_other_and_is_told(
    junk: bytes, window_bytes: int
) -> None:
    """As where a block of a disk was lost: the end of an item stands where one should begin."""
    reading = read(b"[" + raw(ALPHA) + b"," + junk + b"," + raw(GAMMA) + b"]", window_bytes)
    assert [value for value in values(reading.items) if value in (ALPHA, GAMMA)] == [ALPHA, GAMMA]
    assert is_told(reading)


@pytest.mark.parametrize("between", [b"", b" ", b",,", b"\n"])
def test_a_comma_more_or_less_is_no_damage(between: bytes) -> None:
    reading = read(b"[" + raw(ALPHA) + between + raw(GAMMA) + b",]")
    assert values(reading.items) == [ALPHA, GAMMA]
    assert reading.problems == []


@st.composite
def exports_with_bad_blocks(draw: st.DrawFn) -> tuple[list[Any], list[bytes], set[int]]:
    """Conversations, how they lie there, and the places of those in which a block was lost, overwritten or doubled."""
    texts = st.sampled_from(["short", "a {b} [c]", '"quoted" \\ x', "é日本", '{"title":"x","mapping":{}}'])
    items = [conversation(f"c{i}", *draw(st.lists(texts, min_size=1, max_size=4))) for i in range(5)]
    raws = [raw(item, draw(st.booleans())) for item in items]
    bad = draw(st.sets(st.integers(0, 4), min_size=1, max_size=2))
    for i in bad:
        start = draw(st.integers(0, len(raws[i]) - 1))
        block = raws[i][start : start + draw(st.sampled_from([1, 2, 8, 40, 200, 1000]))]
        junk = bytes(draw(st.lists(st.sampled_from(b'{}[]",:x1\\'), max_size=8)))
        other = draw(st.sampled_from([b"", bytes(len(block)), b"\xff" * len(block), block * 2, junk]))
        raws[i] = raws[i][:start] + other + raws[i][start + len(block) :]
    return items, raws, bad


@settings(max_examples=500)
@given(export=exports_with_bad_blocks(), window_bytes=st.sampled_from([64, 1000, 1 << 19]))
def test_bad_blocks_cost_the_conversations_that_they_lie_in_and_no_other(
    export: tuple[list[Any], list[bytes], set[int]], window_bytes: int
) -> None:
    items, raws, bad = export
    reading = read(b"[" + b",".join(raws) + b"]", window_bytes)
    found = values(reading.items)
    assert [i for i, item in enumerate(items) if i not in bad and item not in found] == []
    assert is_told(reading) or all(is_json(raws[i]) or not raws[i].strip(b",") for i in bad)


@pytest.mark.parametrize("junk", [b"garbage", b'{"title":"a,"mapping":{}}', b'{"title":"a","mapping":{}'])
def test_bad_utf_8_in_a_key_behind_other_damage_costs_no_more(junk: bytes) -> None:
    bad = b'{"title":"b","mapping":{"\xff":{}}}'
    reading = read(b"[" + b",".join([raw(ALPHA), junk, bad, raw(GAMMA)]) + b"]")
    assert [value for value in values(reading.items) if value is not None] == [ALPHA, GAMMA]
    assert is_told(reading)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_damaged_conversations_in_a_row_are_each_an_item(count: int) -> None:
    damaged = [raw(BETA).replace(b"1700000000.0", b"NaN", 1)] * count
    reading = read(b"[" + b",".join([raw(ALPHA), *damaged, raw(GAMMA)]) + b"]")
    assert [item.data for item in reading.items] == [raw(ALPHA), *damaged, raw(GAMMA)]


@pytest.mark.parametrize(
    "last",
    [
        b'{"title":NaN,"mapping":{}}',
        b'{"title":"a,"mapping":{}}',
        b'{"title":"a","mapping":{}',
        b"garbage",
    ],
)
def test_damage_in_the_last_conversation_is_no_cut(last: bytes) -> None:
    reading = read(b"[" + raw(ALPHA) + b"," + last + b"]")
    assert values(reading.items) == [ALPHA, None]
    assert reading.kinds == []


def test_a_damaged_conversation_that_is_all_of_a_file_is_an_item_and_no_cut() -> None:
    reading = read(b'{"title":NaN,"mapping":{}}')
    assert [item.data for item in reading.items] == [b'{"title":NaN,"mapping":{}}']
    assert reading.kinds == []


def test_damage_before_the_conversations_of_a_wrapper_costs_none_of_them() -> None:
    reading = read(b'{"exported":NaN,"conversations":[' + raw(ALPHA) + b"," + raw(GAMMA) + b"]}")
    assert [value for value in values(reading.items) if value is not None] == [ALPHA, GAMMA]
    assert is_told(reading)


@pytest.mark.parametrize("window_bytes", [16, 300, 1 << 19])
@pytest.mark.parametrize(
    "between", [b"\n", b"", b"]\n[", b"][", b"]", b"],["], ids=["lines", "nothing", "arrays", "arrays too", "]", "],["]
)
@pytest.mark.parametrize("opening", [b"", b"["], ids=["single", "array"])
def test_conversations_behind_an_end_are_read_and_that_is_told_once(
    opening: bytes, between: bytes, window_bytes: int
) -> None:
    items = [conversation(f"c{i}", "x" * 400) for i in range(6)]
    reading = read(opening + between.join(map(raw, items)) + (b"]" if opening else b""), window_bytes)
    assert [value for value in values(reading.items) if value] == items
    assert len(reading.problems) <= 2


@pytest.mark.parametrize("behind", [b"[]", b"{}"])
def test_an_array_or_object_behind_the_conversations_is_told(behind: bytes) -> None:
    reading = read(b"[" + raw(ALPHA) + b"]\n" + behind)
    assert values(reading.items)[0] == ALPHA
    assert reading.kinds == ["damaged"]


@pytest.mark.parametrize("behind", [b"Exported by X", b"<!-- -->"])
def test_what_follows_the_conversations_is_told(behind: bytes) -> None:
    reading = read(b"[" + raw(ALPHA) + b"]\n" + behind)
    assert values(reading.items) == [ALPHA]
    assert reading.kinds == ["trailing_data"]


ALL_WINDOWS = [*range(1, 130), 512, 1 << 20]
LONE = rb'{"title":"c \ud83d","mapping":{}}'
LONE_AT_THE_END = rb'{"mapping":{},"title":"\ud83d"}'
WITH_ANOTHER_IN_IT = rb'{"id":"c","x":"\ud83d\ud83d\ude00 \ude00\ud83d","mapping":{"n":{"id":"d","mapping":{}}}}'
YAJL_REFUSES = rb'{"id":"c","x":"\ud83d\ud83d\ude00 \ude00\ud83d","mapping":{"n":{"id":"d"}}}'
DEEP = b'{"mapping":{"a":' + b"[" * 1100 + b"]" * 1100 + b"}}"
PLAIN = b'{"title":"p","mapping":{}}'


def in_shape(shape: str, items: bytes) -> bytes:
    """`items` in an array, or in one under `conversations`, or as they are."""
    return {"array": b"[%s]", "wrapper": b'{"conversations":[%s],"v":1}', "single": b"%s"}[shape] % items


@pytest.mark.parametrize("shape", ["array", "wrapper", "single"])
@pytest.mark.parametrize(
    ("good", "windows"),
    [
        pytest.param(LONE, ALL_WINDOWS, id="a lone surrogate"),
        pytest.param(LONE_AT_THE_END, ALL_WINDOWS, id="one right before its end"),
        pytest.param(YAJL_REFUSES, ALL_WINDOWS, id="those that yajl refuses"),
        pytest.param(DEEP, [1, 7, 64, 1000, 1 << 20], id="depth"),
    ],
)
@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(b'{"title":"b","mapping":{},', id="no bracket at the end"),
        pytest.param(
            rb'{"title":"b","mapping":{"n":{"id":"\ud83d","m":[1,', id="a lone surrogate, and an array that goes on"
        ),
        pytest.param(b'{"title":"b,"mapping":{}},', id="no quote"),
    ],
)
def test_what_msgspec_cannot_decide_is_found_behind_damage(
    damaged: bytes, good: bytes, windows: list[int], shape: str
) -> None:
    lost = []
    for window_bytes in windows:
        reading = read(in_shape(shape, damaged + good + b"," + PLAIN), window_bytes)
        if [item.data for item in reading.items[-2:]] != [good, PLAIN] or not is_told(reading):
            lost.append(window_bytes)
    assert lost == []


@pytest.mark.parametrize("junk", [b"...,", b"garbage", b"'"])
@pytest.mark.parametrize("good", [LONE, LONE_AT_THE_END, YAJL_REFUSES])
@pytest.mark.parametrize("shape", ["array", "wrapper"])
def test_junk_costs_no_conversation_with_a_lone_surrogate(shape: str, good: bytes, junk: bytes) -> None:
    for window_bytes in ALL_WINDOWS:
        reading = read(in_shape(shape, PLAIN + b"," + junk + good), window_bytes)
        assert [item.data for item in reading.items if not item.damage] == [PLAIN, good], window_bytes
        assert is_told(reading)


@pytest.mark.parametrize("shape", ["array", "wrapper", "single"])
def test_surrogates_that_yajl_refuses_do_not_split_a_conversation(shape: str) -> None:
    for window_bytes in ALL_WINDOWS:
        reading = read(in_shape(shape, WITH_ANOTHER_IN_IT), window_bytes)
        assert [(item.data, item.damage) for item in reading.items] == [(WITH_ANOTHER_IN_IT, "")], window_bytes
        assert reading.problems == []


@pytest.mark.parametrize("shape", ["array", "wrapper"])
@pytest.mark.parametrize("brackets", [b"[", b"[[", b"[ \n", b"[,", b'["x",', b"[1,[],"])
@pytest.mark.parametrize("before", [b"", PLAIN + b","], ids=["first", "second"])
def test_a_bracket_too_many_costs_no_conversation_and_is_told(before: bytes, brackets: bytes, shape: str) -> None:
    good = [LONE, PLAIN]
    for window_bytes in ALL_WINDOWS:
        reading = read(in_shape(shape, before + brackets + b",".join(good)), window_bytes)
        assert [item.data for item in reading.items if not item.damage] == [PLAIN] * bool(before) + good, window_bytes
        assert [item.data for item in reading.items if item.damage] == [brackets.rstrip(b", \n")]


def test_conversations_in_arrays_of_their_own_all_arrive() -> None:
    reading = read(b"[[" + raw(ALPHA) + b"],[" + raw(BETA) + b"],[" + raw(GAMMA) + b"]]")
    assert [value for value in values(reading.items) if value is not None] == [ALPHA, BETA, GAMMA]
    assert is_told(reading)


def test_an_array_without_a_conversation_is_an_item() -> None:
    for window_bytes in ALL_WINDOWS:
        items = [b'[{"id":1}]', b"[[],[1]]", b'["{\\"mapping\\":{}}"]']
        reading = read(b"[" + b",".join(items) + b"]", window_bytes)
        assert [(item.data, item.damage) for item in reading.items] == [(item, "") for item in items]
        assert reading.problems == []


@pytest.mark.parametrize(
    ("rest", "kinds"),
    [
        pytest.param(b"]}", [], id="the end"),
        pytest.param(b'] ,\n "v":1,"by":{"a":["]}"]}}\n', [], id="other keys"),
        pytest.param(rb'],"v":"\ud83d\ud83d\ude00"}', [], id="lone surrogates"),
        pytest.param(b'],"v":"' + b"x" * 200_000 + b'"}', [], id="more than a sample"),
        pytest.param(b',"x"]}}}]}', ["damaged"], id="an early end"),
        pytest.param(b"]]}", ["damaged"], id="a bracket too many"),
        pytest.param(b'],"v":NaN}', ["damaged"], id="no JSON"),
        pytest.param(b"]}}", ["damaged"], id="a brace too many"),
        pytest.param(b"]", ["truncated"], id="no brace"),
        pytest.param(b'],"by":{"a":1}', ["truncated"], id="cut off behind a brace"),
        pytest.param(b'],"v":"' + b"x" * 200_000, ["truncated"], id="more than a sample, cut off"),
    ],
)
def test_what_follows_the_array_of_a_wrapper_has_to_end_it(rest: bytes, kinds: list[str]) -> None:
    for window_bytes in ALL_WINDOWS if len(rest) < 1000 else [64, 1 << 20]:
        reading = read(b'{"conversations":[' + PLAIN + rest, window_bytes)
        assert reading.items[0].data == PLAIN
        assert reading.kinds == kinds, window_bytes


def test_brackets_do_not_balance_with_those_of_a_neighbour_that_is_not_all_there() -> None:
    cut = b'{"x":{"y":"cut,'
    neighbour = rb'{"id":"b","mapping":{"n":{"t":"\"q"}},"m":"' + b"m" * 100 + b'"}'
    for window_bytes in ALL_WINDOWS:
        reading = read(b"[" + cut + neighbour + b"," + PLAIN + b"]", window_bytes)
        assert [item.data for item in reading.items] == [cut.rstrip(b","), neighbour, PLAIN], window_bytes
        assert [item.damage for item in reading.items] == ["damaged", "", ""]


ADVERSARIAL: dict[str, Callable[[int], bytes]] = {
    "beginnings": lambda size: b'[{"x":NaN,"y":"' + b'{"title":' * (size // 9),
    "beginnings in each other": lambda size: b"[" + b'{"title":' * (size // 9),
    "the same with a lone surrogate each": lambda size: b"[" + rb'{"title":"\ud83d","a":[' * (size // 24),
    "lone surrogates": lambda size: b"[" + rb"\ud83d" * (size // 6),
    "lone surrogates in a text": lambda size: b'["' + rb"\ud83d" * (size // 6) + b'"]',
    "lone surrogates behind damage": lambda size: b'[NaN,{"title":"' + rb"\ud83d" * (size // 6) + b'","mapping":{}}]',
    "brackets and a lone surrogate in a text": lambda size: rb'["\ud83d' + b"}" * size + b'"]',
    "opening brackets": lambda size: b"[" * size,
    "short arrays": lambda size: b"[" + b'[{"id":1}],' * (size // 11) + b"1]",
    "conversations behind a bracket each": lambda size: b"[" + b'[{"title":"d","mapping":{}},' * (size // 28),
    "conversations without an end": lambda size: b"[" + b'{"title":"d","mapping":{},' * (size // 26),
    "conversations with a quote lost": lambda size: b"[" + b'{"title":"d,"mapping":{}},' * (size // 26),
    "conversations with no JSON in them": lambda size: b"[" + b'{"title":NaN,"mapping":{}},' * (size // 27),
    "conversations with a lone surrogate each, and junk": lambda size: b"[" + (b"x," + LONE + b",") * (size // 36),
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_time_is_linear_in_what_is_read(name: str) -> None:
    """Four times as much takes four times as long; squared it would be sixteen times. Both are many windows, for what
    fits one window is quicker."""

    def seconds(size: int) -> float:
        data = ADVERSARIAL[name](size)
        began = time.process_time()
        for _ in items_of(io.BytesIO(data), 64 * 1024):
            pass
        return time.process_time() - began

    # The best of several: what else the machine does only adds.
    large, small = (min(seconds(size) for _ in range(3)) for size in (600_000, 150_000))
    assert large < 9 * small + 0.2


@pytest.mark.parametrize("data", [b"", b"  ", b"<html></html>", b"not json", BYTE_ORDER_MARK])
def test_what_is_no_json_is_told(data: bytes) -> None:
    assert read(data).kinds == ["not_json"]
    assert read(data).items == []


# --- truncation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("window_bytes", [1, 97, 1 << 20])
@pytest.mark.parametrize("style", [Style(), Style(pretty=True), Style("wrapper"), Style(byte_order_mark=True)])
def test_wherever_an_export_is_cut_off_all_before_is_in_and_what_was_begun_is_kept(
    style: Style, window_bytes: int
) -> None:
    items = [ALPHA, BETA, {"title": "a folder", "parts": ["x"]}]
    data = exported(items, style)
    ends = [item.offset + len(item.data) for item in read(data).items]
    begins = [item.offset for item in read(data).items]
    is_wrapper = style.shape == "wrapper"
    first = data.index(b'{"version"' if is_wrapper else b"[")
    array = data.index(b"[", data.index(b'"conversations"')) if is_wrapper else first
    wrong = []
    for length in range(first + 1, ends[-1] + 1):
        reading = read(data[:length], window_bytes)
        whole = [item for item, end in zip(items, ends, strict=True) if end <= length]
        # Of a wrapper that is cut off before its array nobody can tell what it is.
        begun_at = first if is_wrapper and length <= array else [*begins, length][len(whole)]
        begun = data[begun_at:length]
        kept = [item.data for item in reading.items if item.damage == "truncated"]
        if values(reading.items[: len(whole)]) != whole or reading.kinds != ["truncated"] or b"".join(kept) != begun:
            wrong.append((length, reading.kinds, len(reading.items), len(whole)))
    assert wrong == []


def test_a_single_conversation_that_is_cut_off_is_told_at_every_byte() -> None:
    data = raw(ALPHA)
    for length in range(1, len(data)):
        reading = read(data[:length])
        assert reading.kinds == ["truncated"]
        assert [(item.data, item.damage) for item in reading.items] == [(data[:length], "truncated")]


def test_a_cut_after_damage_is_told_and_the_damage_is_an_item() -> None:
    damaged = raw(BETA).replace(b"1700000000.0", b"NaN", 1)
    whole = b"[" + raw(ALPHA) + b"," + damaged + b"," + raw(GAMMA) + b"]"
    for length in range(len(raw(ALPHA)) + len(damaged) + 3, len(whole) - 1):
        reading = read(whole[:length])
        assert values(reading.items)[:2] == [ALPHA, None], length
        assert "truncated" in reading.kinds, length


class FailingStream(io.BytesIO):
    """Fails as a damaged archive does, once its bytes are read."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data:
            raise zlib.error("invalid distance")
        return data


def test_where_reading_fails_all_before_is_in_and_the_failure_is_told_without_its_words() -> None:
    reading = read(FailingStream(b"[" + raw(ALPHA) + b"," + raw(BETA)[:50]), 64)
    assert [(item.data, item.damage) for item in reading.items] == [
        (raw(ALPHA), ""), (raw(BETA)[:50], "truncated"),
    ]  # fmt: skip
    assert reading.kinds == ["truncated", "damaged"]
    assert "invalid distance" not in str(reading.problems)


def test_a_failure_after_the_last_conversation_is_told() -> None:
    """A ZIP compares its checksum when its member ends: so the member is read to its end."""
    reading = read(FailingStream(b"[" + raw(ALPHA) + b"]" + b" " * 1000), 64)
    assert values(reading.items) == [ALPHA]
    assert reading.kinds == ["damaged"]


# --- too large -----------------------------------------------------------------------------------

LARGE = 300_000
MAX_BYTES = 100_000


def large(name: str) -> bytes:
    return raw(conversation(name, "x" * LARGE))


def large_of_small_pieces(name: str) -> bytes:
    return raw(conversation(name, *(f'{{"title":"{i}"}}, [1] and so on' for i in range(2500))))


@pytest.mark.parametrize(("window_bytes", "most"), [(512, [512]), (4096, [1000, 1]), (1 << 16, [1 << 16])])
@pytest.mark.parametrize(
    "too_large",
    [
        pytest.param(large("large"), id="one long text"),
        pytest.param(large_of_small_pieces("large"), id="many short texts"),
        pytest.param(b"garbage " * (LARGE // 8), id="only damage"),
        pytest.param(b'{"title":"' + b"x" * LARGE, id="a string without an end"),
        pytest.param(b'{"title":NaN,"mapping":{}' + b" " * LARGE, id="a bracket without an end"),
    ],
)
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_an_item_that_is_too_large_costs_no_other(
    place: str, too_large: bytes, window_bytes: int, most: list[int]
) -> None:
    others = [raw(ALPHA), raw(BETA)]
    others.insert({"first": 0, "middle": 1, "last": 2}[place], too_large)
    reading = read(b"[" + b",".join(others) + b"]", window_bytes, most, MAX_BYTES)
    assert [value for value in values(reading.items) if value in (ALPHA, BETA)] == [ALPHA, BETA]
    reasons = [item.damage for item in reading.items]
    assert reasons.count("too_large") == 1
    assert set(reasons) == {"", "too_large"}
    assert reading.kinds == []


@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("window_bytes", [512, 1 << 20])
def test_an_item_is_too_large_when_it_is_one_byte_over_whatever_the_window_holds(over: int, window_bytes: int) -> None:
    item = raw(conversation("c", "x" * 200_000))
    reading = read(b"[" + item + b"," + raw(GAMMA) + b"]", window_bytes, max_bytes=len(item) - over)
    assert [found.damage for found in reading.items] == ["too_large" if over else "", ""]
    assert reading.items[0].data == (item[: 64 * 1024] + item[-64 * 1024 :] if over else item)
    assert (reading.items[0].offset, values(reading.items)[-1]) == (1, GAMMA)


@pytest.mark.parametrize("damaged", ["not_closed", "nan"])
def test_a_damaged_item_is_too_large_when_it_is_over(damaged: str) -> None:
    item = b'{"title":NaN,"mapping":{},"x":"' + b"x" * 5000 + (b'"' if damaged == "not_closed" else b'"}')
    reading = read(b"[" + item + b"," + raw(GAMMA) + b"]", 1 << 20, max_bytes=4000)
    assert [found.damage for found in reading.items] == ["too_large", ""]
    assert reading.items[0].data == item


def test_a_members_long_name_is_shortened_to_its_end_in_every_place() -> None:
    name = f"{'folder/' * 9000}conversations.json"
    reading = read(b"[" + raw(ALPHA) + b",garbage," + raw(GAMMA), name=name)
    (shortened,) = {item.member for item in reading.items} | {problem.where for problem in reading.problems}
    assert (len(shortened), shortened) == (200, f"…{name[-199:]}")
    assert reading.kinds == ["truncated"]
    assert read(raw(ALPHA), name="a/conversations.json").items[0].member == "a/conversations.json"


@pytest.mark.parametrize("count", [2, 3])
def test_each_of_several_that_are_too_large_in_a_row_is_an_item(count: int) -> None:
    row = [large(f"large-{i}") for i in range(count)]
    reading = read(b"[" + b",".join([raw(ALPHA), *row, raw(GAMMA)]) + b"]", 4096, max_bytes=MAX_BYTES)
    assert [item.damage for item in reading.items] == ["", *["too_large"] * count, ""]
    assert values(reading.items)[-1] == GAMMA


def test_of_an_item_that_is_too_large_the_first_and_the_last_bytes_are_kept() -> None:
    too_large = large("large")
    reading = read(b"[" + raw(ALPHA) + b"," + too_large + b"," + raw(GAMMA) + b"]", 4096, max_bytes=MAX_BYTES)
    kept = reading.items[1].data
    assert too_large.startswith(kept[:1000])
    assert kept.rstrip(b",").endswith(too_large[-1000:])
    assert len(kept) <= MAX_BYTES * 2
    assert reading.items[1].offset == len(raw(ALPHA)) + 2


def test_the_next_conversation_arrives_wherever_what_is_held_ends() -> None:
    """What is known of its beginning depends on that: it may end within a key, a number, an escape."""
    following = conversation("next", "\U0001f600" * 2000, "short", "short")
    lost = []
    for padding in range(64):
        items = [raw(conversation("large", "x" * (30_000 + padding))), raw(following), raw(ALPHA)]
        reading = read(b"[" + b",".join(items) + b"]", 64, [64], max_bytes=20_000)
        if values(reading.items)[1:] != [following, ALPHA]:
            lost.append(padding)
    assert lost == []


def test_an_item_that_is_too_large_and_cut_off_is_told_as_both() -> None:
    reading = read(b"[" + raw(ALPHA) + b"," + large("large")[:-100], 4096, max_bytes=MAX_BYTES)
    assert [item.damage for item in reading.items] == ["", "too_large"]
    assert reading.kinds == ["truncated"]


def test_a_single_conversation_that_is_too_large_is_told() -> None:
    reading = read(large("large"), 4096, max_bytes=MAX_BYTES)
    assert [item.damage for item in reading.items] == ["too_large"]


@pytest.mark.parametrize(
    "too_large",
    [
        pytest.param(lambda size: raw(conversation("large", "x" * size)), id="one long text"),
        pytest.param(lambda size: b"garbage " * (size // 8), id="only damage"),
        pytest.param(lambda size: b"[" * 50 + b"1, " * (size // 3), id="an array without an end"),
    ],
)
def test_no_more_is_held_than_the_largest_conversation_and_a_window(
    too_large: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    max_bytes, window_bytes = 1_000_000, 100_000
    held = [0]

    class Watched(Window):
        def grow(self) -> bool:
            grown = super().grow()
            held.append(len(self.data))
            return grown

    monkeypatch.setattr("ray_import.reader.conversations.Window", Watched)
    reading = read(b"[" + too_large(5_000_000) + b"," + raw(GAMMA) + b"]", window_bytes, max_bytes=max_bytes)
    assert values(reading.items)[-1] == GAMMA
    assert max(held) <= max_bytes + 2 * window_bytes


class Repeating(io.BytesIO):
    """`first`, and then `more` so many times, without ever being all there."""

    def __init__(self, first: bytes, more: bytes, times: int) -> None:
        super().__init__()
        self._pieces = itertools.chain([first], itertools.repeat(more, times), [b"]"])
        self._left = b""

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        while len(self._left) < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._left += piece
        data, self._left = self._left[:size], self._left[size:]
        return data


def test_a_long_export_is_read_in_the_memory_of_a_few_windows() -> None:
    one = raw(conversation("c", "x" * 10_000)) + b","
    tracemalloc.start()
    try:
        count = sum(1 for _ in items_of(Repeating(b"[" + one, one, 2_000), 64 * 1024))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 2_001
    assert peak_bytes < 1_000_000
