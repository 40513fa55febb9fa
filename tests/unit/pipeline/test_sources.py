import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ray_import.errors import ConfigError, NotAnExport, SourceError
from ray_import.pipeline.sources import LARGE_ITEM_BYTES, LOOK_AT_ITEMS, open_sources
from ray_import.reader.conversations import read_conversations
from ray_import.records import Problem, RawConversation
from ray_import.settings import ReadLimits
from ray_import.source.export import Member
from tests.unit.source.exports import PLAIN, Style, conversation, exported, written, zipped
from tests.unit.source.test_products import CLAUDE, DEEPSEEK, GEMINI, GROK

READ = ReadLimits()
FOLDER = {"title": "a folder", "kind": "project"}


def ids_of(raws: Iterable[RawConversation]) -> list[str]:
    return [json.loads(raw.data)["conversation_id"] for raw in raws]


def ids(*paths: Path) -> list[str]:
    return ids_of(open_sources(paths, READ).conversations())


def test_several_exports_are_one_stream_in_the_order_in_which_they_were_named(tmp_path: Path) -> None:
    first = written(tmp_path / "1.zip", zipped({"conversations-001.json": exported([conversation("b")]),
                                                "conversations-000.json": exported([conversation("a")])}))  # fmt: skip
    second = written(tmp_path / "2.json", exported([conversation("c"), conversation("d")]))
    assert ids(second, first) == ["c", "d", "a", "b"]
    assert open_sources([first, second], READ).label == f"{first}, {second}"


@pytest.mark.parametrize("packed", [True, False], ids=["ZIP", "bare"])
def test_the_bytes_that_were_read_grow_up_to_the_total(tmp_path: Path, packed: bool) -> None:
    data = exported([conversation(f"c{i}") for i in range(5)])
    path = written(tmp_path / "x", zipped({"conversations.json": data}) if packed else data)
    sources = open_sources([path, path], READ)
    assert (sources.bytes_read, sources.bytes_total) == (0, 2 * len(data))
    read = [sources.bytes_read for _ in sources.conversations()]
    assert read == sorted(set(read))
    assert read[-1] <= 2 * len(data)
    assert sources.bytes_read == 2 * len(data)


def test_where_a_gzip_hides_its_size_the_total_is_unknown(tmp_path: Path) -> None:
    path = written(tmp_path / "x.gz", gzip.compress(exported([conversation("a")])))
    sources = open_sources([path], READ)
    assert sources.bytes_total is None
    assert len(list(sources.conversations())) == 1
    assert sources.bytes_read > 0


def test_problems_are_put_aside_and_the_rest_goes_on(tmp_path: Path) -> None:
    cut = written(tmp_path / "cut.json", exported([conversation("a"), conversation("b")])[:-20])
    good = written(tmp_path / "good.json", exported([conversation("c")]))
    sources = open_sources([cut, good], READ)
    whole = [raw for raw in sources.conversations() if not raw.damage]
    assert [json.loads(raw.data)["conversation_id"] for raw in whole] == ["a", "c"]
    assert [problem.kind for problem in sources.problems] == ["truncated"]


def test_of_several_exports_a_bad_one_is_a_problem_and_the_rest_go_on(tmp_path: Path) -> None:
    good = written(tmp_path / "good.json", exported([conversation("a")]))
    bad = written(tmp_path / "bad.json", b"<html>")
    claude = written(tmp_path / "claude.json", exported([CLAUDE]))
    sources = open_sources([tmp_path / "nothing", bad, good, claude], READ)
    assert len(list(sources.conversations())) == 1
    assert [(problem.kind, problem.where) for problem in sources.problems] == [
        ("source_failed", str(tmp_path / "nothing")),
        ("source_failed", str(bad)),
        ("source_failed", str(claude)),
    ]
    assert "Claude" in sources.problems[2].detail


@pytest.mark.parametrize(
    ("names", "error"), [(["nothing", "bad.json"], ConfigError), (["bad.json", "nothing"], NotAnExport)]
)
def test_if_no_export_is_good_it_is_the_first_ones_error(
    tmp_path: Path, names: list[str], error: type[Exception]
) -> None:
    written(tmp_path / "bad.json", b"<html>")
    with pytest.raises(error):
        open_sources([tmp_path / name for name in names], READ)


# --- other products ------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [True, False], ids=["ZIP", "bare"])
@pytest.mark.parametrize("before", [[], [FOLDER, "x", 7]], ids=["at once", "after other items"])
@pytest.mark.parametrize("style", [PLAIN, Style(pretty=True), Style("wrapper")], ids=["array", "pretty", "wrapper"])
@pytest.mark.parametrize(
    ("item", "product"), [(CLAUDE, "Claude"), (DEEPSEEK, "DeepSeek"), (GROK, "Grok"), (GEMINI, "Gemini")]
)
def test_another_products_export_is_named(
    tmp_path: Path, item: Any, product: str, style: Style, before: list[Any], packed: bool
) -> None:
    data = exported([*before, item, item], style)
    path = written(tmp_path / "x", zipped({"conversations.json": data}) if packed else data)
    with pytest.raises(NotAnExport, match=f"looks like a {product} export; only ChatGPT exports are supported"):
        open_sources([path], READ)


@pytest.mark.parametrize("other", [CLAUDE, DEEPSEEK, GROK, GEMINI])
def test_one_conversation_among_the_first_items_makes_it_chatgpts(tmp_path: Path, other: Any) -> None:
    path = written(tmp_path / "x.json", exported([FOLDER, other, conversation("a")]))
    assert len(list(open_sources([path], READ).conversations())) == 3


def test_items_that_are_nobodys_do_not_decide(tmp_path: Path) -> None:
    path = written(tmp_path / "x.json", exported([*[FOLDER] * LOOK_AT_ITEMS, FOLDER, CLAUDE, conversation("a")]))
    assert len(list(open_sources([path], READ).conversations())) == LOOK_AT_ITEMS + 3


def test_another_products_file_beside_chatgpts_costs_itself_and_is_told(tmp_path: Path) -> None:
    exports = {
        "claude.zip": zipped({"conversations.json": exported([CLAUDE])}),
        "x.zip": zipped({"conversations.json": exported([conversation("a")])}),
    }
    for first in ("a", "z"):
        folder = tmp_path / first
        for name, data in exports.items():
            written(folder / (first + name if "claude" in name else name), data)
        sources = open_sources([folder], READ)
        assert len(list(sources.conversations())) == 1
        assert [problem.kind for problem in sources.problems] == ["other_product"]


def test_of_several_exports_a_members_name_says_whose_it_is(tmp_path: Path) -> None:
    paths = [written(tmp_path / name / "conversations.json", exported([conversation(name)])) for name in "ab"]
    members = [raw.member for raw in open_sources(paths, READ).conversations()]
    assert members == [f"{path}/conversations.json" for path in paths]


def test_conversations_without_messages_do_not_decide(tmp_path: Path) -> None:
    empty = {"id": "d0", "mapping": {"root": {"message": None}}}
    with pytest.raises(NotAnExport, match="DeepSeek"):
        open_sources([written(tmp_path / "x.json", exported([empty, DEEPSEEK]))], READ)
    path = written(tmp_path / "y.json", exported([empty, conversation("a"), DEEPSEEK]))
    assert len(list(open_sources([path], READ).conversations())) == 3


@pytest.mark.parametrize(
    ("name", "data", "is_one"),
    [
        ("conversations.json", b"[]", True),
        ("conversations.json", b' {"conversations": []} ', True),
        ("conversations.json", b"[", False),
        ("conversations.json", b"[]]", False),
        ("anything.json", b"[]", False),
    ],
)
@pytest.mark.parametrize("packed", [True, False], ids=["ZIP", "bare"])
def test_the_export_of_somebody_who_has_not_chatted_yet_is_one(
    tmp_path: Path, name: str, data: bytes, packed: bool, is_one: bool
) -> None:
    members = {name: data, "conversations-001.json": b"[]"} if packed else {}
    sources = open_sources(
        [written(tmp_path / ("x.zip" if packed else name), zipped(members) if packed else data)], READ
    )
    assert list(sources.conversations()) == []
    if is_one or (packed and name == "anything.json"):
        sources.refuse_nothing_found(0, 0)
    else:
        with pytest.raises(NotAnExport, match="it is empty"):
            sources.refuse_nothing_found(0, 0)


def test_another_product_is_named_behind_an_item_that_cannot_be_read(tmp_path: Path) -> None:
    path = written(tmp_path / "x.json", b'[{"uuid":NaN},' + exported([CLAUDE])[1:])
    with pytest.raises(NotAnExport, match="Claude"):
        open_sources([path], READ)


def test_a_chatgpt_shard_behind_an_empty_one_is_read(tmp_path: Path) -> None:
    shards = {"conversations-000.json": b"[]", "conversations-001.json": exported([conversation("a")])}
    assert ids(written(tmp_path / "x.zip", zipped(shards))) == ["a"]


@pytest.mark.parametrize("gone", ["file", "archive"])
def test_a_source_that_is_gone_when_it_is_read_is_told(tmp_path: Path, gone: str) -> None:
    """A disk that was pulled out is no fault of the program's. What is open already may still be read, to its end."""
    data = exported([conversation("a")])
    path = written(tmp_path / "x", data if gone == "file" else zipped({"conversations.json": data}))
    sources = open_sources([path], READ)
    path.unlink()
    try:
        found = list(sources.conversations())
    except SourceError:
        return
    assert (ids_of(found), bool(sources.problems)) in (([], True), (["a"], False))


@pytest.mark.parametrize("first", [FOLDER, CLAUDE, conversation("first")], ids=["folder", "claude", "conversation"])
def test_open_sources_reads_a_file_once_when_it_looks_whose_it_is_and_gives_every_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: Any
) -> None:
    begun = []

    def counted(member: Member, limits: ReadLimits) -> Iterator[RawConversation | Problem]:
        begun.append(member.name)
        return read_conversations(member, limits)

    monkeypatch.setattr("ray_import.pipeline.sources.read_conversations", counted)
    items = [first, *(conversation(f"c{i}") for i in range(LOOK_AT_ITEMS + 5))]
    path = written(tmp_path / "conversations.json", exported(items))
    sources = open_sources([path], READ)
    found = list(sources.conversations())
    assert begun == ["conversations.json"]
    assert [raw.position for raw in found] == list(range(len(items)))
    assert b"[" + b",".join(raw.data for raw in found) + b"]" == path.read_bytes()
    assert sources.bytes_read == path.stat().st_size
    assert [raw.data for raw in sources.conversations()] == [raw.data for raw in found]


def test_open_sources_holds_no_item_when_the_first_is_large(tmp_path: Path) -> None:
    large = conversation("a", "x" * (LARGE_ITEM_BYTES + 1))
    sources = open_sources([written(tmp_path / "conversations.json", exported([large, conversation("b")]))], READ)
    assert sources.begun is None
    assert len(list(sources.conversations())) == 2


def test_first_pass_gives_all_items_and_leaves_them_for_the_second_when_a_command_reads_twice(tmp_path: Path) -> None:
    sources = open_sources([written(tmp_path / "x.json", exported([conversation("a"), conversation("b")]))], READ)
    assert ids_of(sources.first_pass()) == ids_of(sources.conversations()) == ["a", "b"]
