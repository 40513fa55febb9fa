"""extraction.md §2: what a file may make as long as it likes is stored up to a bound, equal where it was equal."""

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ray_import.chatgpt.extract import MOST_KEY_BYTES, MOST_TITLE_CHARACTERS, as_key, as_title, extract, likely_id
from ray_import.errors import RecordError
from ray_import.records import Conversation

LONG = st.text(st.sampled_from("aé語😀 \0"), min_size=30, max_size=60).map(lambda text: text * 10)
KEYS = st.text(max_size=250) | LONG | LONG.map(lambda text: f"sha256:{text}")


def long_key(name: str) -> str:
    return f"{name}-{'k' * 500}"


def said(text: str) -> dict[str, Any]:
    return {"author": {"role": "user"}, "content": {"content_type": "text", "parts": [text]}}


def extracted(mapping: dict[str, Any], **fields: object) -> Conversation:
    found = extract(orjson.dumps({"conversation_id": "c", "mapping": mapping, **fields}))
    assert isinstance(found, Conversation)
    return found


@given(st.text() | LONG)
@example("t" * MOST_TITLE_CHARACTERS)
@example("t" * (MOST_TITLE_CHARACTERS + 1))
@example("😀" * 1000)
def test_a_title_is_at_most_300_characters_and_begins_as_it_did(title: str) -> None:
    whole = " ".join(title.replace("\0", "").split())
    stored = as_title(title)
    assert len(stored) <= MOST_TITLE_CHARACTERS
    if len(whole) <= MOST_TITLE_CHARACTERS:
        assert stored == whole
    else:
        assert stored.endswith("…")
        assert whole.startswith(stored.removesuffix("…"))
        assert len(stored) > MOST_TITLE_CHARACTERS - 3  # but for a space before the cut


@given(KEYS, KEYS)
@example("k" * MOST_KEY_BYTES, "k" * (MOST_KEY_BYTES + 1))
@example("k" * 201 + "a", "k" * 201 + "b")
@example("é" * 100, "é" * 101)
def test_keys_are_stored_within_200_bytes_and_are_equal_only_where_they_were(one: str, other: str) -> None:
    stored = as_key(one)
    assert len(stored.encode()) <= MOST_KEY_BYTES
    without_nul = one.replace("\0", "")
    assert (stored == without_nul) == (len(without_nul.encode()) <= MOST_KEY_BYTES)
    assert (stored == as_key(other)) == (without_nul == other.replace("\0", ""))
    assert as_key(stored) == stored


def test_a_long_key_is_the_first_32_digits_of_its_hash() -> None:
    assert as_key("a" * 201) == "sha256:a92efd82109373e58f9a2056dee01e80"


@pytest.mark.parametrize("value", [None, 42, True, [], {}])
def test_what_is_no_string_is_no_key_and_no_title(value: object) -> None:
    assert (as_key(value), as_title(value)) == ("", "")


def test_extract_hashes_long_node_keys_alike_when_they_are_keys_parents_and_the_current_node() -> None:
    mapping = {
        long_key("root"): {"message": said("first"), "parent": None},
        long_key("shown"): {"message": said("shown"), "parent": long_key("root")},
        long_key("side"): {"message": said("side"), "parent": long_key("root")},
        "short": {"message": said("below"), "parent": long_key("side")},
    }
    found = extracted(mapping, current_node=long_key("shown"))
    root, shown, side = (as_key(long_key(name)) for name in ("root", "shown", "side"))
    assert [(message.node_id, message.parent_id, message.thread) for message in found.messages] == [
        (root, None, "main"),
        (shown, root, "main"),
        (side, root, side),
        ("short", side, side),
    ]


def test_extract_rejects_a_conversation_when_a_key_is_written_like_the_hash_of_another() -> None:
    mapping = {key: {"message": said("hi")} for key in (long_key("a"), as_key(long_key("a")))}
    with pytest.raises(RecordError, match="ambiguous_node_keys"):
        extracted(mapping)


@pytest.mark.parametrize("field", ["conversation_id", "id"])
def test_extract_hashes_the_conversations_id_when_it_is_long(field: str) -> None:
    found = extract(orjson.dumps({field: long_key("c"), "mapping": {}}))
    assert isinstance(found, Conversation)
    assert found.id == as_key(long_key("c"))


def test_a_rejects_likely_id_is_the_one_that_would_be_stored_when_it_is_long() -> None:
    raw = orjson.dumps({"conversation_id": "first", "mapping": {}, "other": {"conversation_id": long_key("c")}})
    assert likely_id(raw) == as_key(long_key("c"))
    assert likely_id(raw[: raw.index(b"other")]) == "first"
