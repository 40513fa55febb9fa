"""What a batch tells of the time and the tries that the destination took."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from ray_import.chunks.rows import ConversationRows, ImportJob
from ray_import.destinations.base import LedgerEntry, WriteResult
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.pipeline.batch import BatchContext, import_batch
from ray_import.pipeline.batching import batches_of
from ray_import.pipeline.sources import open_sources
from ray_import.records import Reject
from ray_import.settings import ImportSettings
from tests.unit.source.exports import conversation, exported, written


class StubbornSink(SqliteSink):
    """Asks once more for each look-up, and twice more for each write."""

    def known(self, user_id: str, settings_hash: str, hashes: Sequence[str]) -> dict[str, LedgerEntry]:
        self.retries += 1
        return super().known(user_id, settings_hash, hashes)

    def write(
        self,
        job: ImportJob,
        settings_hash: str,
        conversations: Sequence[ConversationRows],
        rejects: Sequence[Reject],
        settled: Sequence[str] = (),
    ) -> list[WriteResult]:
        if conversations:
            self.retries += 2
        return super().write(job, settings_hash, conversations, rejects, settled)


def test_look_ups_and_writes_are_told_apart_and_what_writes_nothing_has_no_latency(tmp_path: Path) -> None:
    path = written(tmp_path / "conversations.json", exported([conversation("a"), conversation("b")]))
    work = BatchContext(ImportJob("import-1", "ada", 0.0), ImportSettings())
    [batch] = batches_of(open_sources([path], work.settings.read).conversations(), 1_000_000)
    with closing(StubbornSink(tmp_path / "chunks.db")) as sink:
        first, again = (import_batch(batch.payload, batch.frames, work, sink) for _ in range(2))
    assert (first.counts.imported, first.sink_retries) == (2, 3)
    assert first.write_seconds > 0
    assert 0 < first.look_up_seconds < first.sink_seconds
    assert first.look_up_seconds + first.write_seconds <= first.sink_seconds <= first.seconds
    assert (again.counts.unchanged, again.sink_retries, again.write_seconds) == (2, 1, 0.0)
    assert again.look_up_seconds > 0
