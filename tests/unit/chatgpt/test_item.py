"""Two ways to an item's fields: msgspec's, and for what that does not take, all built by orjson. They agree."""

import copy
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.chatgpt import item as module
from ray_import.chatgpt.decode import decode
from ray_import.chatgpt.item import Item, item_of, read_item
from ray_import.errors import RecordError
from ray_import.pipeline.sources import open_sources
from ray_import.settings import ReadLimits
from tests.golden.record import EXAMPLES, HERE
from tests.support.strategies import conversations

ODD: list[Any] = [None, 0, 1.5, True, "text", [], [None], {}, {"role": 7}]


@pytest.fixture
def fast_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise AssertionError("everything was built")

    monkeypatch.setattr(module, "decode", refuse)


def raws_of(name: str) -> list[bytes]:
    sources = open_sources([HERE / f"{name}.json"], ReadLimits())
    return [raw.data for raw in sources.conversations() if not raw.damage]


@given(conversations(), st.booleans())
def test_for_any_conversation_both_ways_agree(item: dict[str, Any], escaped: bool) -> None:
    assert read_item(json.dumps(item, ensure_ascii=escaped).encode()) == item_of(item)


@pytest.mark.parametrize("name", EXAMPLES)
def test_for_every_golden_conversation_both_ways_agree(name: str) -> None:
    for raw in raws_of(name):
        try:
            whole = item_of(decode(raw))
        except RecordError:
            with pytest.raises(RecordError):
                read_item(raw)
        else:
            assert read_item(raw) == whole


@pytest.mark.parametrize("odd", ODD, ids=json.dumps)
def test_whatever_stands_in_a_place_both_ways_agree(odd: Any) -> None:
    """At every place of a conversation in turn."""
    whole = orjson.loads(raws_of("slim")[0])
    places = 0
    for path in paths_of(whole):
        item = copy.deepcopy(whole)
        put(item, path, odd)
        assert read_item(orjson.dumps(item)) == item_of(item), path
        places += 1
    assert places > 30


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here for key, inner in below for here in [(*path, key), *paths_of(inner, (*path, key))]]


def put(value: Any, path: tuple[Any, ...], new: object) -> None:
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


@pytest.mark.usefixtures("fast_only")
@pytest.mark.parametrize("name", ["forks", "slim", "flat", "voice", "times"])
def test_a_usual_conversation_is_never_built_as_a_whole(name: str) -> None:
    for raw in raws_of(name):
        assert isinstance(read_item(raw), Item)


@pytest.mark.parametrize("where", ["title", "moderation_results"])
@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xed\xa0\xbd"])
def test_bad_utf8_is_not_passed_over_where_nobody_looks(where: str, bad: bytes) -> None:
    raw = b'{"mapping":{},"' + where.encode() + b'":"' + bad + b'"}'
    if bad == b"\xed\xa0\xbd":  # half a pair as three bytes, which is mended
        assert read_item(raw) == read_item(raw.replace(bad, "\ufffd".encode()))
    else:
        with pytest.raises(RecordError):
            read_item(raw)


@pytest.mark.parametrize("value", [None, 5, "text", [], {}, {"mapping": None}, {"mapping": []}, {"title": "a folder"}])
def test_what_has_no_mapping_object_is_no_conversation(value: object) -> None:
    assert read_item(orjson.dumps(value)) is None
