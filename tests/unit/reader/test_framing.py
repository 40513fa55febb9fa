import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ray_import.reader.framing import (
    CannotFrame,
    Undecided,
    begins_conversation,
    begins_conversation_by_ijson,
    end_of_value,
    end_of_value_by_ijson,
)
from tests.unit.source.exports import conversation

Way = Callable[[memoryview], int | None]
BOTH_WAYS = pytest.mark.parametrize("way", [end_of_value, end_of_value_by_ijson])

TEXTS = st.text(st.sampled_from('{}[]",:\\ é日\U0001f600\x7f\n') | st.characters(codec="utf-8"), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
OBJECTS_AND_ARRAYS = st.lists(VALUES, max_size=5) | st.dictionaries(TEXTS, VALUES, max_size=5)

CONVERSATION = json.dumps(conversation("c1", "Ça va?", "3.5e-2 or \\ or \n"), ensure_ascii=False).encode()
NUMBERS_EVERYWHERE = b'{"a":-1.5e-10,"mapping":{"b":[0.25,-3,1E+2]},"c":12}'


def test_msgspec_says_in_these_words_where_a_value_ends() -> None:
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(b'{"a":1} \n,{', type=msgspec.Raw)
    assert str(caught.value) == "JSON is malformed: trailing characters (byte 10)"  # the comma's index is 9


@pytest.mark.parametrize("cut", [b"", b"[", b'{"a', b'{"a":"\\', b'{"a":tr', b"[[1,2], "])
def test_msgspec_says_in_these_words_that_a_value_goes_on(cut: bytes) -> None:
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(cut, type=msgspec.Raw)
    assert str(caught.value) == "Input data was truncated"


def test_msgspec_names_a_missing_field_and_a_wrong_type_by_another_error_than_damage() -> None:
    """`begins_conversation` tells JSON that is no conversation from JSON that goes on."""
    assert issubclass(msgspec.ValidationError, msgspec.DecodeError)
    kind = msgspec.defstruct("C", [("mapping", dict[str, msgspec.Raw])])
    for wrong in (b"{}", b'{"mapping":[]}', b"[]"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(wrong, type=kind)


@BOTH_WAYS
@given(value=OBJECTS_AND_ARRAYS, escaped=st.booleans(), indent=st.sampled_from([None, 1]), tail=st.binary(max_size=8))
@example(value={"a": "}"}, escaped=False, indent=None, tail=b"}]")
def test_a_value_ends_with_its_last_bracket_whatever_follows(
    way: Way, value: Any, escaped: bool, indent: int | None, tail: bytes
) -> None:
    raw = json.dumps(value, ensure_ascii=escaped, indent=indent).encode()
    assert way(memoryview(raw)) == len(raw)
    assert way(memoryview(raw + b"," + tail)) == len(raw)


@BOTH_WAYS
@given(value=OBJECTS_AND_ARRAYS, data=st.data())
def test_a_value_that_is_cut_outside_of_a_number_goes_on(way: Way, value: Any, data: st.DataObject) -> None:
    raw = json.dumps(value, ensure_ascii=False).encode()
    cut = raw[: data.draw(st.integers(0, len(raw) - 1))]
    if cut[-1:] not in b"-+.eE0123456789":
        assert way(memoryview(cut)) is None


def test_a_value_that_is_cut_within_a_number_goes_on_by_ijson() -> None:
    """msgspec takes a cut `-` or `1e` for damage: that is why ijson is asked before anything is given up."""
    cuts = [NUMBERS_EVERYWHERE[:length] for length in range(len(NUMBERS_EVERYWHERE))]
    assert [cut for cut in cuts if end_of_value_by_ijson(memoryview(cut)) is not None] == []


@BOTH_WAYS
@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(b'{"a":NaN}', id="NaN"),
        pytest.param(b'{"a":Infinity}', id="Infinity"),
        pytest.param(b'{"a":-Infinity}', id="-Infinity"),
        pytest.param(b'{"a":nul}', id="half a word"),
        pytest.param(b'{"a":"\n"}', id="line break in a string"),
        pytest.param(b'{"a":"\0"}', id="NUL in a string"),
        pytest.param(b'{"a":"\\x41"}', id="unknown escape"),
        pytest.param(b'{"a" 1}', id="no colon"),
        pytest.param(b'{"a":1 "b":2}', id="no comma"),
        pytest.param(b"{'a':1}", id="single quotes"),
        pytest.param(b'{"a":1]', id="the other bracket"),
        pytest.param(b"}", id="a closing bracket"),
        pytest.param(b"<html>", id="a web page"),
        pytest.param(b"\xff\xfe{", id="bad UTF-8 outside of a string"),
    ],
)
def test_damage_cannot_be_framed(way: Way, damaged: bytes) -> None:
    with pytest.raises(CannotFrame):
        way(memoryview(damaged))


def test_depth_has_no_limit_by_ijson() -> None:
    raw = b'{"a":' * 10_000 + b"1" + b"}" * 10_000
    assert end_of_value_by_ijson(memoryview(raw + b",{")) == len(raw)


def test_depth_costs_memory_in_proportion_and_not_squared() -> None:
    """Otherwise 200 kB of brackets, which every program that writes JSON can make, take 25 GB."""
    raw = b"[" * 10_000 + b"]" * 10_000
    tracemalloc.start()
    try:
        end_of_value_by_ijson(memoryview(raw))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 20_000_000


def test_too_deep_for_msgspec_is_for_another_to_frame() -> None:
    raw = b"[" * 100_000 + b"]" * 100_000
    with pytest.raises(CannotFrame):
        end_of_value(memoryview(raw))


LONE = [rb"\ud83d", rb"\ud83d\n", rb"\ude00", rb"\ud83d\ud83d\ude00", rb"\ude00\ud83d", rb"\uD83D\\ude00"]


@pytest.mark.parametrize("escape", LONE)
def test_a_lone_surrogate_is_framed_by_ijson(escape: bytes) -> None:
    raw = b'{"a":"' + escape + b' and so on"}'
    assert end_of_value_by_ijson(memoryview(raw + b',{"b":1}')) == len(raw)


@pytest.mark.parametrize("escape", LONE)
@pytest.mark.parametrize("behind", [b"", b"]", b',{"title":1}', b"x"])
@pytest.mark.parametrize(
    ("shape", "begins"),
    [
        pytest.param(b'{"title":"%s","mapping":{}}', True, id="in a value"),
        pytest.param(b'{"mapping":{},"title":"%s"}', True, id="in the last value"),
        pytest.param(b'{"mapping":{"%s":1}}', True, id="in a key"),
        pytest.param(b'{"title":"%s","mapping":[]}', False, id="and no mapping"),
        pytest.param(b'{"a":{"mapping":{}},"title":"%s"}', False, id="and the mapping of another"),
    ],
)
def test_of_lone_surrogates_ijson_says_whether_a_conversation_begins(
    shape: bytes, begins: bool, behind: bytes, escape: bytes
) -> None:
    raw = shape % escape
    with pytest.raises(Undecided):
        begins_conversation(memoryview(raw + behind))
    assert begins_conversation_by_ijson(memoryview(raw + behind)) == (begins, len(raw))
    assert begins_conversation_by_ijson(memoryview(raw[:-1])) == (None, len(raw) - 1)


def test_of_depth_ijson_says_whether_a_conversation_begins() -> None:
    raw = b'{"mapping":{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}}"
    with pytest.raises(Undecided):
        begins_conversation(memoryview(raw))
    assert begins_conversation_by_ijson(memoryview(raw)) == (True, len(raw))
    assert begins_conversation_by_ijson(memoryview(raw[:-1] + b"]")) == (False, len(raw))


@pytest.mark.parametrize("text", [b"}" * 300_000, b"[" * 300_000, b'\\"' * 150_000])
def test_a_text_is_not_read_again_for_every_bracket_in_it_by_ijson(text: bytes) -> None:
    """Half a megabyte of brackets took half a minute."""
    raw = b'{"a":"' + text + b'"}'
    began = time.process_time()
    assert end_of_value_by_ijson(memoryview(raw)) == len(raw)
    assert time.process_time() - began < 1


@pytest.mark.parametrize("raw", [CONVERSATION, NUMBERS_EVERYWHERE])
def test_a_conversation_may_begin_wherever_it_is_cut(raw: bytes) -> None:
    cuts = [raw[:length] for length in range(1, len(raw))]
    assert [cut for cut in cuts if begins_conversation(memoryview(cut)) is not None] == []


@pytest.mark.parametrize(
    ("raw", "begins"),
    [
        pytest.param(CONVERSATION, True, id="a whole one"),
        pytest.param(CONVERSATION + b",{}", True, id="a whole one and more"),
        pytest.param(b'{"mapping":{}}', True, id="the least one"),
        pytest.param(b'{"title":"x"}', False, id="no mapping"),
        pytest.param(b'{"mapping":null}', False, id="mapping is null"),
        pytest.param(b'{"mapping":[]}', False, id="mapping is an array"),
        pytest.param(b'{"mapping":{}', None, id="not closed"),
        pytest.param(b'{"mapping":{"a":NaN}}', False, id="damaged"),
        pytest.param(b'{"mapping":{"\xff":{}}}', False, id="bad UTF-8 in a key"),
        pytest.param(b'{"\xff":1,"mapping":{}}', True, id="bad UTF-8 in another key"),
        pytest.param(b"[]", False, id="an array"),
    ],
)
def test_a_conversation_is_a_whole_object_with_a_mapping(raw: bytes, begins: bool | None) -> None:
    assert begins_conversation(memoryview(raw)) is begins
