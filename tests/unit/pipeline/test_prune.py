"""What a newer export no longer has: `--prune`."""

from pathlib import Path
from typing import Any

import pytest

from ray_import.destinations.base import Pruned
from ray_import.pipeline.report import Summary
from ray_import.pipeline.sources import open_sources
from tests.unit.pipeline.runs import SETTINGS, Database, batches_of_bytes
from tests.unit.source.exports import Item, conversation, exported, written

OLD, NEW = 1_700_000_000.0, 1_700_086_400.0


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "chunks.db")


def talk(name: str, update_time: float = OLD, text: str = "hello") -> Item:
    return conversation(name, text, update_time=update_time)


def pruned(database: Database, path: Path, *items: Any) -> Summary:
    sources = open_sources([written(path, exported(items))], SETTINGS.read)
    return database.imported_from(sources, batches_of_bytes(1), prune=True)


def conversations(database: Database) -> set[str]:
    return {row["conversation_id"] for row in database.dump()["imported_conversations"]}


def test_what_is_gone_goes_with_its_chunks_and_all_else_stays(tmp_path: Path, database: Database) -> None:
    path = tmp_path / "x.json"
    pruned(database, path, talk("unchanged"), talk("changed"), talk("gone"), talk("newer here", NEW))
    summary = pruned(
        database,
        path,
        talk("unchanged"),
        talk("changed", NEW, "hello again"),
        talk("newer here", OLD),
        talk("new", NEW),
    )
    assert summary.pruned == Pruned(1, 1)
    assert summary.as_dict()["pruned"] == {"conversations": 1, "chunks": 1}
    assert summary.counts.chunks_deleted == 2  # one of the changed, too
    assert conversations(database) == {"unchanged", "changed", "newer here", "new"}
    left = {row["conversation_id"] for row in database.dump()["conversation_chunks"]}
    assert left == conversations(database)


def test_without_the_option_everything_stays(tmp_path: Path, database: Database) -> None:
    path = tmp_path / "x.json"
    database.imported(written(path, exported([talk("gone"), talk("stays")])))
    summary = database.imported(written(path, exported([talk("stays")])))
    assert summary.pruned is None
    assert conversations(database) == {"gone", "stays"}


def test_another_users_conversations_stay(tmp_path: Path, database: Database) -> None:
    path = tmp_path / "x.json"
    database.imported(written(path, exported([talk("theirs")])), user_id="u2")
    pruned(database, path, talk("mine"))
    assert conversations(database) == {"theirs", "mine"}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(exported([talk("a"), talk("b")])[:-40], id="cut off"),
        pytest.param(exported([talk("a")])[:-1] + b',{"id":"b","mapping":{"x":\x01}}]', id="a reject"),
    ],
)
def test_an_export_that_is_not_complete_prunes_nothing(tmp_path: Path, database: Database, data: bytes) -> None:
    path = tmp_path / "x.json"
    pruned(database, path, talk("a"), talk("b"), talk("gone"))
    summary = database.imported_from(open_sources([written(path, data)], SETTINGS.read), prune=True)
    assert (summary.status, summary.pruned) == ("partial", None)
    assert conversations(database) == {"a", "b", "gone"}


def test_an_older_export_does_not_take_away_what_came_after_it(tmp_path: Path, database: Database) -> None:
    path = tmp_path / "x.json"
    pruned(database, path, talk("old"), talk("new", NEW))
    assert pruned(database, path, talk("old")).pruned == Pruned(0, 0)
    assert conversations(database) == {"old", "new"}
