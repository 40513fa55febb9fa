"""Users of a run whose conversations are all refused, and whose export breaks off at the same time."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.errors import SourceUnavailable
from ray_import.pipeline.engine import MAX_ATTEMPTS
from tests.unit.pipeline.inline import Dials, Users
from tests.unit.pipeline.runs import batches_of_bytes
from tests.unit.source.exports import conversation, exported, written

ONE_BATCH = batches_of_bytes(32 * 1024 * 1024)


@pytest.mark.parametrize(
    ("errors", "attempts", "told"), [(1, 2, "SQLITE_CONSTRAINT_TRIGGER"), (MAX_ATTEMPTS, MAX_ATTEMPTS, "away")]
)
def test_run_keeps_no_rejects_when_everything_is_refused_and_attempts_break_off(
    tmp_path: Path, errors: int, attempts: int, told: str
) -> None:
    path = tmp_path / "chunks.db"
    SqliteSink(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TRIGGER refuse BEFORE INSERT ON conversation_chunks BEGIN SELECT RAISE(ABORT, 'no'); END")
    export = written(tmp_path / "conversations.json", exported([conversation(f"c{i}") for i in range(5)]))
    dials = Dials(read_errors={"ana": [SourceUnavailable("It is away.")] * errors})
    saved = Users(path, ONE_BATCH, {"ana": str(export)}).run(dials=dials).saved["ana"]
    assert (saved.state, saved.attempts, told in str(saved.error)) == ("failed", attempts, True)
    assert saved.counts["conversations"]["rejected"] == 0
    with closing(SqliteSink(path)) as sink:
        assert sink.rejects() == []
