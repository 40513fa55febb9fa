import json
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from ray_import.errors import SourceError
from ray_import.pipeline.inspection import Inspection, extracted, inspect_sources, message_lines
from ray_import.pipeline.sources import Sources, open_sources
from ray_import.records import Conversation, Problem, RawConversation
from ray_import.settings import ChunkSettings, ImportSettings
from ray_import.source.export import Export
from tests.unit.pipeline.runs import SETTINGS, Database
from tests.unit.source.exports import conversation, exported, written

FOLDER = {"title": "a folder"}
BAD = b'{"title":"bad","mapping":{},"x":NaN}'


def branching() -> dict[str, Any]:
    """A talk of two turns with an answer that was asked for twice, and a search between."""
    item = conversation("branching", "Where?", "Here.", "When?", "Now.")
    again = json.loads(json.dumps(item["mapping"]["branching-1"]))
    again["id"] = "again"
    again["message"]["content"]["parts"] = ["There."]
    search = json.loads(json.dumps(item["mapping"]["branching-1"]))
    search["id"], search["message"]["content"] = "search", {"content_type": "code", "text": "search()"}
    item["mapping"] |= {"again": again, "search": search}
    return item


def mixed(path: Path) -> Path:
    items = [conversation("a", "Hi.", "Hello. " * 3000), branching(), conversation("empty", " "), FOLDER]
    return written(path / "x.json", exported(items)[:-1] + b"," + BAD + b"]")


def inspected(path: Path, settings: ImportSettings = SETTINGS) -> Inspection:
    return inspect_sources(open_sources([path], settings.read), settings)


@pytest.mark.parametrize(
    "settings",
    [SETTINGS, ImportSettings(branches="active"), ImportSettings(chunks=ChunkSettings(100, 10))],
    ids=["usual", "active branch", "small chunks"],
)
def test_an_inspection_says_what_an_import_then_does(tmp_path: Path, settings: ImportSettings) -> None:
    path = mixed(tmp_path)
    found = inspected(path, settings)
    database = Database(tmp_path / "x.db")
    counts = database.imported(path, settings=settings).counts
    assert (found.seen, found.to_import, found.empty, found.rejected, found.not_a_conversation) == (
        counts.seen, counts.imported, counts.empty, counts.rejected, counts.not_a_conversation,
    )  # fmt: skip
    assert (found.kept, found.left_out, found.notes) == (counts.kept, counts.left_out, counts.notes)
    assert found.chunks == counts.chunks_written == len(database.dump()["conversation_chunks"])
    threads = {(row["conversation_id"], row["thread"]) for row in database.dump()["conversation_chunks"]}
    assert (found.threads, found.side_threads) == (len(threads), len([t for t in threads if t[1] != "main"]))


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_of_copies_it_counts_what_stays_as_an_import_does(tmp_path: Path, order: tuple[int, ...]) -> None:
    newest = conversation("a", "Hi.", "Hello. " * 3000, "Bye.", update_time=1_700_000_300.0)
    copies = [conversation("a", "Hi."), conversation("a", "Ho."), newest, conversation("a", " ")]
    items = [conversation("b"), *(copies[i] for i in order), copies[order[-1]]]
    path = written(tmp_path / "x.json", exported(items))
    found = inspected(path)
    counts = Database(tmp_path / "x.db").imported(path).counts
    assert (found.to_import, found.empty, found.kept, found.chunks) == (
        counts.imported, counts.empty, counts.kept, counts.chunks_written - counts.chunks_deleted,
    )  # fmt: skip
    assert (found.copies, found.left_out, found.notes) == (counts.unchanged, counts.left_out, counts.notes)
    assert found.seen == found.to_import + found.copies


def test_its_numbers_add_up(tmp_path: Path) -> None:
    found = inspected(mixed(tmp_path))
    assert found.seen == found.to_import + found.empty + found.rejected + found.not_a_conversation == 5
    assert found.nodes == found.without_message + found.kept + found.left_out.total()
    assert found.types.total() == found.kept + found.left_out.total()
    assert (found.threads, found.side_threads) == (3, 1)
    assert [(problem.kind, problem.where) for problem in found.problems] == [("reject", "x.json, item 4")]


def test_first_and_last_are_the_times_of_kept_messages_alone(tmp_path: Path) -> None:
    early, late = conversation("early", " ", "Hi."), conversation("late", "Hi.", "Hello.")
    early["mapping"]["early-0"]["message"]["create_time"] = 1_500_000_000.0
    late["mapping"]["late-1"]["message"]["create_time"] = 1_800_000_000.25
    found = inspected(written(tmp_path / "x.json", exported([late, early])))
    assert (found.first, found.last) == ("2023-11-14T22:13:20.000Z", "2027-01-15T08:00:00.250Z")


def test_without_times_there_is_no_first_and_no_last(tmp_path: Path) -> None:
    item = conversation("a") | {"create_time": None}
    for node in item["mapping"].values():
        if node["message"]:
            node["message"]["create_time"] = None
    found = inspected(written(tmp_path / "x.json", exported([item])))
    assert (found.first, found.last, found.kept) == (None, None, 2)


def test_the_sources_problems_are_told_before_the_rejects(tmp_path: Path) -> None:
    path = written(tmp_path / "x.json", b"[" + BAD + b"," + exported([conversation("a")])[1:-20])
    found = inspected(path)
    assert [problem.kind for problem in found.problems] == ["truncated", "reject", "reject"]


def test_nothing_is_written(tmp_path: Path) -> None:
    path = mixed(tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*")}
    inspected(path)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*")} == before


def test_every_item_comes_out_in_order_and_a_bad_one_as_a_problem(tmp_path: Path) -> None:
    sources = open_sources([mixed(tmp_path)], SETTINGS.read)
    outcomes = list(extracted(sources, SETTINGS))
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "Conversation", "Conversation", "Conversation", "NotAConversation", "Problem",
    ]  # fmt: skip
    assert [outcome.id for outcome in outcomes if isinstance(outcome, Conversation)] == ["a", "branching", "empty"]
    assert outcomes[-1] == Problem("reject", "x.json, item 4", "invalid_json")


def texts(outcomes: list[Any]) -> list[tuple[str, str]]:
    return [(one.id, message.text) for one in outcomes if isinstance(one, Conversation) for message in one.messages]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_extracted_gives_the_newest_copy_alone_when_a_conversation_is_met_several_times(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    copies = [
        conversation("a", "Old.", update_time=1_700_000_100.0),
        conversation("a", "New.", "Longer.", update_time=1_700_000_300.0),
        conversation("a", "New.", update_time=1_700_000_300.0),
    ]
    items = [*(copies[i] for i in order), conversation("b", "Other."), copies[order[0]]]
    sources = open_sources([written(tmp_path / "x.json", exported(items))], SETTINGS.read)
    assert sorted(texts(list(extracted(sources, SETTINGS)))) == [("a", "Longer."), ("a", "New."), ("b", "Other.")]


def test_extracted_gives_the_older_copy_when_the_newer_one_cannot_be_read(tmp_path: Path) -> None:
    newer = exported([conversation("a", "New.", update_time=1_700_000_300.0)])[1:-1].replace(b"1700000300.0", b"NaN")
    path = written(tmp_path / "x.json", b"[" + newer + b"," + exported([conversation("a", "Old.")])[1:])
    outcomes = list(extracted(open_sources([path], SETTINGS.read), SETTINGS))
    assert texts(outcomes) == [("a", "Old.")]
    assert outcomes[0] == Problem("reject", "x.json, item 0", "invalid_json")


def test_extracted_tells_each_problem_once_when_an_export_is_cut_off(tmp_path: Path) -> None:
    sources = open_sources(
        [written(tmp_path / "x.json", exported([conversation("a"), conversation("b")])[:-20])], SETTINGS.read
    )
    outcomes = list(extracted(sources, SETTINGS))
    assert [problem.kind for problem in sources.problems] == ["truncated"]
    assert [type(outcome) for outcome in outcomes] == [Conversation, Problem]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_extracted_gives_what_an_import_leaves_when_copies_are_equally_new(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    copies = [conversation("a", "One."), conversation("a", "Two."), conversation("a", "Three.")]
    path = written(tmp_path / "x.json", exported([copies[i] for i in order]))
    database = Database(tmp_path / "x.db")
    database.imported(path)
    ((_, text),) = texts(list(extracted(open_sources([path], SETTINGS.read), SETTINGS)))
    ((content,),) = database.rows("SELECT content FROM conversation_chunks")
    assert content.endswith(f"User: {text}")


def test_extracted_raises_source_error_when_the_source_changes_between_the_passes(tmp_path: Path) -> None:
    path = written(tmp_path / "x.json", exported([conversation("a"), conversation("b")]))

    class Changing(Sources):
        def conversations(self) -> Iterator[RawConversation]:
            path.write_bytes(exported([conversation("a"), conversation("c")]))
            return self._items(Export.reading)

    opened = open_sources([path], SETTINGS.read)
    with pytest.raises(SourceError, match="has changed while it was read"):
        list(extracted(Changing(opened.exports, opened.limits), SETTINGS))


def test_message_lines_give_the_documented_keys_in_their_order(tmp_path: Path) -> None:
    path = written(tmp_path / "x.json", exported([branching()]))
    (found,) = extracted(open_sources([path], SETTINGS.read), SETTINGS)
    assert isinstance(found, Conversation)
    lines = list(message_lines(found))
    assert [line["position"] for line in lines] == list(range(len(found.messages)))
    assert list(lines[0]) == [
        "conversation_id", "title", "node_id", "parent_id", "thread", "on_active_path", "position", "role",
        "create_time", "model", "quoted", "text", "attachments",
    ]  # fmt: skip
