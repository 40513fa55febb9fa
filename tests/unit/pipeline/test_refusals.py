"""What an import leaves of refusals when it fails: no rejects if everything was refused, whatever error ends it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ray_import.chunks.rows import ImportJob
from ray_import.destinations.base import JobStatus
from ray_import.destinations.refusals import Refusals
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.errors import EverythingRefused, SourceRefused
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.one_user import import_user
from ray_import.pipeline.progress import NoReporter
from ray_import.pipeline.refusals import withdraw
from ray_import.pipeline.report import Summary
from ray_import.pipeline.sources import ConversationSource, open_sources
from ray_import.records import Counts, RawConversation, Reject
from tests.contract.destinations import import_of
from tests.support.in_process import InProcessWorkers
from tests.unit.pipeline.runs import STARTED_AT, batches_of_bytes
from tests.unit.source.exports import conversation, exported, written

CODE = "SQLITE_CONSTRAINT_TRIGGER"
REASON = f"refused:{CODE}"
OF = ImportJob("import-1", "ana", STARTED_AT)
SETTINGS = batches_of_bytes(1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database that refuses all chunks."""
    path = tmp_path / "chunks.db"
    SqliteSink(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TRIGGER refuse BEFORE INSERT ON conversation_chunks BEGIN SELECT RAISE(ABORT, 'no'); END")
    return path


@pytest.fixture
def source(tmp_path: Path) -> ConversationSource:
    """An export of three conversations."""
    talks = [conversation(f"c{i}") for i in range(3)]
    return open_sources([written(tmp_path / "conversations.json", exported(talks))], SETTINGS.read)


class BreakingOff:
    """A source that ends with an error after all its conversations."""

    def __init__(self, source: ConversationSource, error: BaseException) -> None:
        self._source = source
        self._error = error

    def conversations(self) -> Iterator[RawConversation]:
        yield from self._source.conversations()
        raise self._error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


def imported(source: Any, sink: SqliteSink) -> Summary:
    work = BatchContext(OF, SETTINGS)
    return import_user(source, work, sink, "x", lambda: InProcessWorkers(sink), NoReporter())


@pytest.mark.parametrize("error", [SourceRefused("It broke off."), KeyboardInterrupt()], ids=["refused", "interrupted"])
def test_run_import_keeps_no_rejects_when_everything_is_refused_and_another_error_ends_it(
    path: Path, source: ConversationSource, error: BaseException
) -> None:
    with closing(SqliteSink(path)) as sink:
        summary = imported(BreakingOff(source, error), sink)
        assert summary.status == "failed"
        assert not isinstance(summary.error, EverythingRefused)
        assert (summary.counts.seen, summary.counts.rejected, summary.problems) == (0, 0, ())
        assert sink.rejects() == []


class LateWorker(SqliteSink):
    """A worker commits its last rejects when those of the others are deleted already, but the job still runs."""

    def update_job(
        self, import_id: str, counts: dict[str, Any], status: JobStatus = "running", error: str | None = None
    ) -> bool:
        if status == "failed":
            self.keep_rejects(OF, [Reject("conversations.json", 99, None, REASON, b"late")])
        return super().update_job(import_id, counts, status, error)


def test_run_import_keeps_no_rejects_when_a_worker_keeps_one_while_the_job_ends(
    path: Path, source: ConversationSource
) -> None:
    with closing(LateWorker(path)) as sink:
        assert isinstance(imported(source, sink).error, EverythingRefused)
        assert [job.status for job in sink.jobs()] == ["failed"]
        assert sink.rejects() == []


def test_run_import_leaves_rejects_to_the_next_import_when_its_lease_is_lost(
    path: Path, source: ConversationSource
) -> None:
    class Displaced(SqliteSink):
        def update_job(
            self, import_id: str, counts: dict[str, Any], status: JobStatus = "running", error: str | None = None
        ) -> bool:
            if status == "failed":  # another import of the user has begun, which does not keep what is kept
                with closing(sqlite3.connect(path)) as db, db:
                    db.execute("UPDATE import_jobs SET status = 'failed' WHERE id = ?", (import_id,))
                self.keep_rejects(OF, [Reject("conversations.json", 99, None, REASON, b"late")])
            return super().update_job(import_id, counts, status, error)

    with closing(Displaced(path)) as sink:
        imported(source, sink)
        assert [reject.position for reject in sink.rejects()] == [99]


def test_withdraw_tells_of_no_rejects_that_are_not_kept_when_they_count_no_more(path: Path) -> None:
    refusals, counts = Refusals(), Counts(seen=150, rejected=150)
    refusals.refused[CODE] = 150
    counts.notes.update(rejects_not_kept=50, cycle=1)
    with closing(SqliteSink(path)) as sink:
        withdraw(CODE, refusals, counts, import_of(1), sink)
    assert (counts.seen, counts.rejected, dict(counts.notes)) == (0, 0, {"cycle": 1})
