"""One conversation a line (JSONL) is a way to write an array, and no damage (extraction.md §1)."""

import gzip
import json
from pathlib import Path

import pytest

from ray_import.pipeline.sources import open_sources
from ray_import.settings import Reader, ReadLimits
from tests.unit.reader.streams import Reading, read
from tests.unit.source.exports import BYTE_ORDER_MARK, Item, conversation, written, zipped

ITEMS = [conversation(name, "Wie geht's dem Bären? 🐻", "Gut. 很好") for name in ("a", "b", "c")]
FOLDER = {"title": "a folder", "kind": "project"}


def line(item: object) -> bytes:
    return json.dumps(item, ensure_ascii=False).encode()


def values(reading: Reading) -> list[object]:
    return [None if item.damage else json.loads(item.data) for item in reading.items]


def lines_of(items: list[Item], ending: bytes = b"\n") -> bytes:
    return b"".join(line(item) + ending for item in items)


WRITTEN = {
    "lines": lines_of(ITEMS),
    "no last line end": lines_of(ITEMS)[:-1],
    "CRLF": lines_of(ITEMS, b"\r\n"),
    "blank lines": b"\n\n" + lines_of(ITEMS, b"\n \n\t\r\n"),
    "byte order mark": BYTE_ORDER_MARK + lines_of(ITEMS),
    "two on a line": line(ITEMS[0]) + line(ITEMS[1]) + b"\n" + line(ITEMS[2]),
    "two on a line, a blank": line(ITEMS[0]) + b" " + line(ITEMS[1]) + b"\n" + line(ITEMS[2]),
    "pretty": b"\n".join(json.dumps(item, indent=2).encode() for item in ITEMS),
}


@pytest.mark.parametrize("window_bytes", [1, 97, 1 << 20])
@pytest.mark.parametrize("reader", ["auto", "framing", "ijson"])
@pytest.mark.parametrize("name", WRITTEN)
def test_read_conversations_gives_each_object_and_no_problem_when_they_are_lines(
    name: str, reader: Reader, window_bytes: int
) -> None:
    reading = read(WRITTEN[name], window_bytes, reader=reader)
    assert (values(reading), reading.problems) == (ITEMS, [])
    assert [item.position for item in reading.items] == [0, 1, 2]


@pytest.mark.parametrize("reader", ["auto", "framing", "ijson"])
@pytest.mark.parametrize("data", [line(ITEMS[0]), json.dumps(ITEMS[0], indent=2).encode() + b"\n\n"])
def test_read_conversations_gives_a_single_object_as_before_when_nothing_follows(data: bytes, reader: Reader) -> None:
    reading = read(data, reader=reader)
    assert (values(reading), reading.problems) == (ITEMS[:1], [])


@pytest.mark.parametrize("reader", ["auto", "framing", "ijson"])
@pytest.mark.parametrize("first", [FOLDER, {}, {"title": "mapping", "id": "x"}])
def test_read_conversations_gives_all_lines_when_the_first_is_no_conversation(first: Item, reader: Reader) -> None:
    reading = read(lines_of([first, *ITEMS]), 64, reader=reader)
    assert (values(reading), reading.problems) == ([first, *ITEMS], [])


@pytest.mark.parametrize("reader", ["auto", "framing", "ijson"])
def test_read_conversations_tells_the_cut_and_gives_the_rest_when_the_last_line_is_cut_off(reader: Reader) -> None:
    whole = lines_of(ITEMS)
    begin = whole.rindex(line(ITEMS[2]))
    for end in range(begin + 1, len(whole) - 1, 7):
        reading = read(whole[:end], reader=reader)
        assert values(reading) == [*ITEMS[:2], None], end
        assert reading.kinds == ["truncated"], end
        assert reading.items[2].damage == "truncated", end


@pytest.mark.parametrize("reader", ["auto", "framing", "ijson"])
@pytest.mark.parametrize(
    "bad", [b'{"title":NaN,"mapping":{}}', b'{"title":"x,"mapping":{}}', b'{"title":"x","mapping":{}', b'{"title":"x"']
)
@pytest.mark.parametrize("place", [0, 1])
def test_read_conversations_loses_one_line_alone_when_a_line_is_damaged(bad: bytes, place: int, reader: Reader) -> None:
    lines = [line(item) for item in ITEMS]
    lines.insert(place, bad)
    reading = read(b"\n".join(lines) + b"\n", reader=reader)
    assert [json.loads(item.data) for item in reading.items if item.data != bad] == ITEMS
    assert len(reading.items) == 4
    assert reading.problems == []


@pytest.mark.parametrize("between", [b",", b",\n", b"\n,\n", b"\n]\n", b"\ngarbage\n", b"\n[\n"])
def test_read_conversations_still_tells_damage_when_more_than_white_space_is_between(between: bytes) -> None:
    reading = read(between.join(line(item) for item in ITEMS))
    assert [value for value in values(reading) if value in ITEMS] == ITEMS
    assert "damaged" in reading.kinds


@pytest.mark.parametrize(
    "array", [b"[]", b"[1, 2]", line([ITEMS[1]]), line(ITEMS[1:])], ids=["empty", "numbers", "1", "2"]
)
def test_read_conversations_loses_none_when_a_line_is_an_array(array: bytes) -> None:
    reading = read(line(ITEMS[0]) + b"\n" + array + b"\n" + line(ITEMS[2]) + b"\n")
    found = [value for value in values(reading) if value in ITEMS]
    expected = [ITEMS[0], *(item for item in ITEMS[1:] if line(item) in array), ITEMS[2]]
    assert found == expected


@pytest.mark.parametrize("packed", ["bare", "gzip", "ZIP", "gzip in ZIP", "another name"])
def test_open_sources_finds_no_problem_when_lines_are_packed(tmp_path: Path, packed: str) -> None:
    data = WRITTEN["CRLF"]
    file = {
        "bare": data,
        "gzip": gzip.compress(data),
        "ZIP": zipped({"conversations.json": data}),
        "gzip in ZIP": zipped({"conversations-000.json.gz": gzip.compress(data)}),
        "another name": zipped({"my chats/Gespräche.jsonl": data}),
    }[packed]
    sources = open_sources([written(tmp_path / "x", file)], ReadLimits())
    assert [json.loads(raw.data) for raw in sources.conversations()] == ITEMS
    assert sources.problems == []
