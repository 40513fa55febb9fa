"""The pool of actors: the same result as without Ray, whatever becomes of the actors."""

from pathlib import Path

import orjson
import pytest

from ray_import.cluster.pool import WorkerPool
from ray_import.cluster.session import Session
from ray_import.destinations.base import Sink
from ray_import.errors import ConfigError
from ray_import.pipeline.one_user import OwnWorkers
from ray_import.pipeline.progress import Progress
from ray_import.settings import FlowLimits
from tests.cluster.imports import at, import_file, inline, on_ray, tables
from tests.support.cluster.dials import DialledDestination, Dials
from tests.support.generate import write_export
from tests.support.object_store import read_disk_bytes

pytestmark = pytest.mark.ray


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 MB of JSON: some 60 batches."""
    path = tmp_path_factory.mktemp("export") / "conversations.json"
    write_export(path, 4, seed=7)
    return path


@pytest.fixture(scope="session")
def undisturbed(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of an import without Ray."""
    path = tmp_path_factory.mktemp("undisturbed") / "chunks.db"
    assert import_file(export, at(path), inline).status == "complete"
    return path


def dialled(path: Path, dials: Dials) -> DialledDestination:
    return DialledDestination(f"sqlite:///{path}", path, dials)


def test_actors_leave_the_same_tables_as_this_process_alone(
    session: Session, export: Path, undisturbed: Path, tmp_path: Path
) -> None:
    destination = at(tmp_path / "chunks.db")
    summary = import_file(export, destination, on_ray(session, destination))
    assert summary.status == "complete"
    assert summary.counts.imported > 50
    assert tables(destination.path) == tables(undisturbed)


def test_importing_again_writes_nothing(session: Session, export: Path, tmp_path: Path) -> None:
    destination = at(tmp_path / "chunks.db")
    first = import_file(export, destination, on_ray(session, destination))
    before = tables(destination.path)
    second = import_file(export, destination, on_ray(session, destination))
    assert (second.counts.unchanged, second.counts.imported) == (first.counts.imported, 0)
    assert (second.counts.chunks_written, second.counts.chunks_deleted) == (0, 0)
    assert tables(destination.path) == before


@pytest.mark.parametrize("moment", ["die_before_commit_once", "die_after_commit_once"])
def test_a_killed_actor_loses_and_doubles_nothing(
    session: Session, export: Path, undisturbed: Path, tmp_path: Path, moment: str
) -> None:
    mark = tmp_path / "died"
    dials = (
        Dials(die_before_commit_once=mark) if moment == "die_before_commit_once" else Dials(die_after_commit_once=mark)
    )
    destination = dialled(tmp_path / "chunks.db", dials)
    summary = import_file(export, destination, on_ray(session, destination))
    undisturbed_again = import_file(export, at(tmp_path / "other.db"), inline)
    assert mark.exists()
    assert summary.status == "complete"
    assert summary.counts == undisturbed_again.counts
    assert tables(destination.path) == tables(undisturbed)


def test_a_conversation_that_kills_its_actor_is_found_and_the_rest_is_in(
    session: Session, export: Path, undisturbed: Path, tmp_path: Path
) -> None:
    items = orjson.loads(export.read_bytes())
    poison = items[len(items) // 2]
    destination = dialled(tmp_path / "chunks.db", Dials(poison_conversation=poison["conversation_id"]))
    summary = import_file(export, destination, on_ray(session, destination), batch_bytes=256 * 1024)

    assert summary.status == "partial"
    assert (summary.counts.rejected, summary.counts.imported + summary.counts.empty) == (1, len(items) - 1)
    left = tables(destination.path)
    [(_, _, position, reason, raw)] = left["rejects"]
    assert (position, reason) == (len(items) // 2, "kills_worker")
    assert orjson.loads(raw) == poison
    for table in ("chunks", "ledger"):
        expected = [row for row in tables(undisturbed)[table] if poison["conversation_id"] not in row]
        assert left[table] == expected


class InFlight:
    """Looks at what is in flight at every turn of the loop."""

    def __init__(self) -> None:
        self.pool: WorkerPool | None = None
        self.most_bytes = 0

    def show(self, _progress: Progress) -> None:
        assert self.pool is not None
        self.most_bytes = max(self.most_bytes, self.pool.bytes_in_flight)


def test_a_slow_destination_stalls_the_reading_within_the_budget(
    session: Session, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray_import.pipeline.engine.TURN_SECONDS", 0.01)
    destination = dialled(tmp_path / "chunks.db", Dials(seconds_per_write=0.05))
    seen = InFlight()

    def make(flow: FlowLimits, sink: Sink) -> OwnWorkers:
        seen.pool = WorkerPool(session, 2, flow, destination, sink)
        return seen.pool

    before = read_disk_bytes()
    summary = import_file(export, destination, make, reporter=seen)
    largest = max(len(orjson.dumps(item)) for item in orjson.loads(export.read_bytes()))
    assert summary.status == "complete"
    assert 0 < seen.most_bytes <= 2 * 2 * 2 * 64 * 1024 + largest
    assert read_disk_bytes() == before


def test_what_a_worker_cannot_write_ends_the_import_with_its_own_error(
    session: Session, export: Path, tmp_path: Path
) -> None:
    destination = at(tmp_path / "chunks.db")
    gone = at(tmp_path / "nowhere" / "chunks.db")
    summary = import_file(export, destination, lambda flow, sink: WorkerPool(session, 2, flow, gone, sink))
    assert summary.status == "failed"
    assert isinstance(summary.error, ConfigError)
    assert "nowhere" in summary.error.message
