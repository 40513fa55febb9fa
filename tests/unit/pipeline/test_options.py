"""Options of an import that hold for each user of a run."""

from pathlib import Path
from typing import Any

import pytest

from ray_import.errors import ConfigError
from ray_import.settings import ImportOptions
from tests.unit.pipeline.inline import Users
from tests.unit.pipeline.runs import Database, batches_of_bytes
from tests.unit.source.exports import conversation, exported, written

PRUNE = ImportOptions(prune=True)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "chunks.db")


@pytest.fixture
def users(tmp_path: Path, database: Database) -> Users:
    """Two users, of whose conversations `gone` is not in their next exports."""
    users = Users(database.path, batches_of_bytes(1), {})
    for name in ("ana", "ben"):
        users.sources[name] = export(tmp_path / name, "stays", "gone")
    return users


def export(folder: Path, *names: str, end: bytes = b"") -> str:
    items: list[Any] = [conversation(name) for name in names]
    return str(written(folder / "conversations.json", exported(items)[:-1] + end + b"]"))


def conversations(database: Database) -> set[tuple[str, str]]:
    return {(row["user_id"], row["conversation_id"]) for row in database.dump()["imported_conversations"]}


def test_a_run_prunes_each_user_whose_import_is_complete_when_asked_to(
    tmp_path: Path, users: Users, database: Database
) -> None:
    users.run()
    export(tmp_path / "ana", "stays")
    export(tmp_path / "ben", "stays", end=b',{"mapping":{},"x":NaN}')
    outcome = users.run("run-2", options=PRUNE)
    assert outcome.states == {"ana": "complete", "ben": "partial"}
    assert outcome.saved["ana"].counts["chunks"] == {"written": 0, "deleted": 1}
    assert conversations(database) == {("ana", "stays"), ("ben", "stays"), ("ben", "gone")}


def test_a_run_prunes_nothing_when_it_is_not_asked_to(tmp_path: Path, users: Users, database: Database) -> None:
    users.run()
    export(tmp_path / "ana", "stays")
    assert users.run("run-2").states == {"ana": "complete", "ben": "skipped"}
    assert ("ana", "gone") in conversations(database)


def test_a_run_prunes_by_an_unchanged_export_when_it_is_forced_to_read_it(
    tmp_path: Path, users: Users, database: Database
) -> None:
    users.run()
    export(tmp_path / "ana", "stays")
    users.run("run-2")
    assert users.run("run-3", options=PRUNE).states == dict.fromkeys(users.sources, "skipped")
    assert ("ana", "gone") in conversations(database)
    assert users.run("run-4", options=ImportOptions(prune=True, force=True)).states["ana"] == "complete"
    assert conversations(database) == {("ana", "stays"), ("ben", "stays"), ("ben", "gone")}


def test_import_options_are_refused_when_later_steps_have_no_table() -> None:
    with pytest.raises(ConfigError, match="--profile-pending needs --profile-table"):
        ImportOptions(profile_pending=True)
