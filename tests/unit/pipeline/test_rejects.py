"""What could not be imported, tried again: what passes is in and let go of, the rest stays as it was."""

from contextlib import closing
from pathlib import Path

import pytest

import ray_import.pipeline.batch as module
from ray_import.chatgpt.extract import NotAConversation, extract
from ray_import.chunks.rows import ImportJob
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.errors import RecordError
from ray_import.pipeline.report import Summary
from ray_import.pipeline.sources import KeptRejects
from ray_import.records import Conversation, Reject
from ray_import.settings import Branches
from tests.unit.pipeline.runs import Database, add_up, conversation_counts
from tests.unit.source.exports import conversation, exported, written

BAD = b'{"mapping":{},"x":NaN,"conversation_id":"bad"}'


def extract_but_not_b(raw: bytes | memoryview, branches: Branches = "all") -> Conversation | NotAConversation:
    """A fault of ours, mended by the next version."""
    if b'"b"' in bytes(raw):
        raise RecordError("not_yet")
    return extract(raw, branches)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """`a` is in; `b` was rejected by a rule that is mended now; BAD is no JSON."""
    database = Database(tmp_path / "chunks.db")
    data = exported([conversation("a"), conversation("b")])[:-1] + b"," + BAD + b"]"
    with monkeypatch.context() as before:
        before.setattr(module, "extract", extract_but_not_b)
        database.imported(written(tmp_path / "x.json", data))
    return database


def retried(database: Database) -> Summary:
    with closing(SqliteSink(database.path)) as sink:
        return database.imported_from(KeptRejects(sink.rejects("u1"), sink), retries=True)


def reasons(database: Database) -> dict[str | None, str]:
    with closing(SqliteSink(database.path)) as sink:
        return {reject.conversation_id: reject.reason for reject in sink.rejects()}


def test_what_passes_now_is_in_and_let_go_of_and_the_rest_stays(database: Database) -> None:
    assert reasons(database) == {"b": "not_yet", "bad": "invalid_json"}
    summary = retried(database)
    assert conversation_counts(summary.counts) == {"seen": 2, "imported": 1, "rejected": 1}
    assert add_up(summary.counts)
    assert (summary.status, summary.source) == ("partial", "rejects of earlier imports")
    assert [(problem.where, problem.detail) for problem in summary.problems] == [("x.json, item 2", "invalid_json")]
    assert reasons(database) == {"bad": "invalid_json"}
    assert {row["conversation_id"] for row in database.dump()["imported_conversations"]} == {"a", "b"}


def test_the_tables_are_those_of_an_import_that_had_no_fault(tmp_path: Path, database: Database) -> None:
    retried(database)
    whole = Database(tmp_path / "whole.db")
    whole.imported(tmp_path / "x.json")
    assert database.content() == whole.content()


def test_an_import_of_the_same_export_lets_go_of_them_too(tmp_path: Path, database: Database) -> None:
    database.imported(tmp_path / "x.json")
    assert reasons(database) == {"bad": "invalid_json"}


def test_trying_again_what_still_fails_changes_nothing(database: Database) -> None:
    retried(database)
    database.watch()
    summary = retried(database)
    assert conversation_counts(summary.counts) == {"seen": 1, "rejected": 1}
    assert database.changes() == []


def test_progress_is_told_in_bytes(database: Database) -> None:
    with closing(SqliteSink(database.path)) as sink:
        kept = KeptRejects(sink.rejects("u1"), sink)
        total = kept.bytes_total
        assert database.imported_from(kept).bytes_read == total > len(BAD)


def test_one_that_has_gone_meanwhile_is_passed_over(database: Database) -> None:
    with closing(SqliteSink(database.path)) as sink:
        kept = KeptRejects(sink.rejects("u1"), sink)
        retried(database)
        assert conversation_counts(database.imported_from(kept).counts) == {"seen": 1, "rejected": 1}


def test_what_is_in_already_or_no_conversation_is_let_go_too(database: Database) -> None:
    """Kept when a worker died of it, and imported with other settings since; or never was a conversation."""
    known, folder = exported([conversation("a")])[1:-1], b'{"title":"a folder"}'
    with closing(SqliteSink(database.path)) as sink:
        rejects = [Reject("x.json", i, None, "kills_worker", raw) for i, raw in enumerate((known, folder))]
        sink.write(ImportJob("import-9", "u1", 0.0), "other settings", [], rejects)
    summary = retried(database)
    assert conversation_counts(summary.counts) == {
        "seen": 4, "imported": 1, "unchanged": 1, "rejected": 1, "not_a_conversation": 1,
    }  # fmt: skip
    assert reasons(database) == {"bad": "invalid_json"}
