"""extraction.md §5 and format.md §7: what of damaged JSON is mended, and what becomes a reject."""

import json
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.chatgpt.decode import decode
from ray_import.errors import RecordError


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (rb'"\ud83d"', "\ufffd"),
        (rb'"\ude00"', "\ufffd"),
        (rb'"a\ud83db"', "a\ufffdb"),
        (rb'"\uD83D\uDE00"', "😀"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd😀"),
        (rb'"\ude00\ud83d"', "\ufffd\ufffd"),
        (rb'"\ud83d\u0041"', "\ufffdA"),
        (rb'"\ud83d\n\""', '\ufffd\n"'),
        (rb'"\\ud83d \ud83d"', "\\ud83d \ufffd"),
        (rb'"\\\ud83d"', "\\\ufffd"),
        (rb'{"\ud83d": ["\udc00"]}', {"\ufffd": ["\ufffd"]}),
    ],
)
def test_an_escaped_lone_surrogate_becomes_a_replacement_character_and_pairs_stay(raw: bytes, value: object) -> None:
    assert decode(raw) == value


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'"\xed\xa0\xbd\xed\xb8\x82"', "😂"),
        (b'"a\xed\xa0\xbd\xed\xb8\x82\xc3\xa9"', "a😂é"),
        (b'"\xed\xa0\xbd"', "\ufffd"),
        (b'"\xed\xb8\x82\xed\xa0\xbd"', "\ufffd\ufffd"),
        (b'"\xed\xa0\xbdx\xf0\x9f\x98\x82"', "\ufffdx😂"),
        (b'"\xed\xa0\xbd\\ude02"', "\ufffd\ufffd"),
    ],
)
def test_a_surrogate_pair_written_as_cesu8_is_joined_and_a_lone_one_replaced(raw: bytes, value: str) -> None:
    assert decode(raw) == value


@given(st.text(st.characters() | st.sampled_from('\ud83d\ude00\\"ud8'), max_size=12))
def test_mending_touches_surrogates_alone(text: str) -> None:
    mended: list[str] = []
    for unit in text:
        if mended and "\ud800" <= mended[-1] <= "\udbff" and "\udc00" <= unit <= "\udfff":
            mended[-1] = chr(0x10000 + ((ord(mended[-1]) - 0xD800) << 10) + (ord(unit) - 0xDC00))
        else:
            mended.append(unit)
    expected = "".join("\ufffd" if "\ud800" <= unit <= "\udfff" else unit for unit in mended)
    assert decode(json.dumps(text).encode()) == expected
    assert decode(json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")) == expected


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"{]", b"NaN", b'{"create_time": NaN}', b"[Infinity]", b"-Infinity", b'"a\nb"', b'"\x00"', b'"\xff"',
        b'"\xc3"', b'"\xf5\x80\x80\x80"', b"{'a': 1}", b"[1,]", b"{} x", b'"\\x"', b'"\\u12"', b"[" * 5000, b"<html>",
    ],
)  # fmt: skip
def test_what_is_no_json_is_a_reject_with_one_reason(raw: bytes) -> None:
    with pytest.raises(RecordError) as caught:
        decode(raw)
    assert caught.value.message == "invalid_json"


def test_values_that_nest_deeper_than_1024_are_a_reject() -> None:
    """The messages of a conversation lie side by side, however long it is."""
    assert decode(b"[" * 1024 + b"]" * 1024) is not None
    with pytest.raises(RecordError) as caught:
        decode(b"[" * 1025 + b"]" * 1025)
    assert caught.value.message == "invalid_json"


@pytest.mark.parametrize("raw", [b'{"secret words"', b'{"a": "secret words \xff"}', rb'{"secret words": "\ud83d}'])
def test_an_error_tells_nothing_of_what_was_written(raw: bytes) -> None:
    with pytest.raises(RecordError) as caught:
        decode(raw)
    assert "secret words" not in "".join(traceback.format_exception(caught.value))


def test_of_a_key_written_twice_the_last_wins() -> None:
    assert decode(b'{"a": 1, "a": 2}') == {"a": 2}


def test_a_part_of_a_larger_payload_is_decoded_in_place() -> None:
    assert decode(memoryview(rb'xx"\ud83d"xx')[2:10]) == "\ufffd"
