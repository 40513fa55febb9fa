"""A batch that computes for longer than it may ends its worker, and costs the one conversation to blame."""

from pathlib import Path

import orjson
import pytest

from ray_import.cluster.session import Session
from tests.cluster.imports import at, import_file, inline, on_ray, tables
from tests.support.cluster.dials import DialledDestination, Dials
from tests.support.generate import write_export

pytestmark = pytest.mark.ray

LIMIT_SECONDS = 1


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1 MB of JSON."""
    path = tmp_path_factory.mktemp("export") / "conversations.json"
    write_export(path, 1, seed=7)
    return path


def test_pool_rejects_only_the_conversations_to_blame_when_batches_compute_for_too_long(
    session: Session, export: Path, tmp_path: Path
) -> None:
    undisturbed = tmp_path / "undisturbed.db"
    import_file(export, at(undisturbed), inline)
    endless = [row[1] for row in tables(undisturbed)["ledger"] if row[9]][::9][:2]
    assert len(endless) == 2
    database = tmp_path / "chunks.db"
    destination = DialledDestination(f"sqlite:///{database}", database, Dials(endless_conversations=tuple(endless)))
    summary = import_file(
        export, destination, on_ray(session, destination), batch_bytes=256 * 1024, max_batch_seconds=LIMIT_SECONDS
    )
    assert summary.status == "partial"
    left, expected = tables(database), tables(undisturbed)
    rejects = [(orjson.loads(raw)["conversation_id"], reason) for *_, reason, raw in left["rejects"]]
    assert sorted(rejects) == sorted((conversation_id, "too_slow") for conversation_id in endless)
    for table in ("chunks", "ledger"):
        assert left[table] == [row for row in expected[table] if not set(endless) & set(map(str, row))]


def test_pool_ends_no_worker_when_the_destination_makes_it_wait(session: Session, export: Path, tmp_path: Path) -> None:
    database = tmp_path / "chunks.db"
    destination = DialledDestination(f"sqlite:///{database}", database, Dials(seconds_per_write=2 * LIMIT_SECONDS))
    summary = import_file(
        export, destination, on_ray(session, destination), batch_bytes=512 * 1024, max_batch_seconds=LIMIT_SECONDS
    )
    assert (summary.status, summary.counts.rejected) == ("complete", 0)
