"""Workers and readers that die in the middle of a run over many users, and workers that are replaced."""

import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import ray

from ray_import.chunks.rows import ImportJob
from ray_import.cluster.pool import WorkerPool
from ray_import.cluster.readers import WORKER_CPUS, RayReaders
from ray_import.cluster.session import Session
from ray_import.cluster.worker_slot import Recycling
from ray_import.destinations.base import Destination, RunUser
from ray_import.errors import ConfigError, SinkBusy
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.engine import Run
from ray_import.pipeline.progress import Progress
from ray_import.pipeline.user_import import UserImport
from ray_import.settings import FlowLimits, ImportSettings
from tests.cluster.imports import at
from tests.support.cluster.dials import DialledDestination, Dials
from tests.support.cluster.reimports import processes
from tests.support.user_exports import Users, import_one_by_one, query_in, rows_in, write_users

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Users:
    """Eight users of 100 KB: some batches each."""
    return write_users(tmp_path_factory.mktemp("users"), [100.0] * 8, seed=5)


@pytest.fixture(scope="module")
def undisturbed(users: Users, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of plain imports, one after the other."""
    path = tmp_path_factory.mktemp("undisturbed") / "chunks.db"
    import_one_by_one(users.sources, at(path))
    return path


class Watching:
    """Does something once, when the run has come so far."""

    def __init__(self, when: Callable[[Progress], bool], does: Callable[[], bool]) -> None:
        self.done = False
        self._when = when
        self._does = does

    def show(self, progress: Progress) -> None:
        if not self.done and self._when(progress):
            self.done = self._does()


def nothing_happens() -> Watching:
    return Watching(lambda _: False, lambda: True)


def run(
    session: Session,
    users: Users,
    destination: Destination,
    watching: Watching,
    after_batches: int = 1_000_000,
    batch_bytes: int = 16 * 1024,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, tuple[str, int]]:
    """State and attempts of each user after a run in small batches."""
    settings = ImportSettings(flow=FlowLimits(batch_bytes=batch_bytes))
    with closing(destination.open()) as sink:
        readers = RayReaders(session.node_id, settings)

        def make_import(user: RunUser, *, gives_up: bool) -> UserImport:
            work = BatchContext(ImportJob(str(uuid.uuid4()), user.user_id, time.time()), settings)
            return UserImport(user, work, readers.read(users.sources[user.user_id], "", gives_up=gives_up), "", sink)

        named = [RunUser(user_id, source) for user_id, source in users.sources.items()]
        recycling = Recycling(after_batches)
        with closing(
            WorkerPool(session, 2, settings.flow, destination, sink, recycling, WORKER_CPUS, tell=tell)
        ) as pool:
            one = Run(named, make_import, pool, lambda _: None, watching, 4)
            one.to_the_end()
            assert pool.in_flight == 0
        return {user.user_id: (user.state, user.attempts) for user in one.users}


def kill_one(*names: str) -> bool:
    """Kills the first process of this test's Ray that is called so, if there is one."""
    for process in processes(psutil.Process().pid, *names):
        process.kill()
        return True
    return False


@pytest.mark.parametrize("moment", ["die_before_commit_once", "die_after_commit_once", "at some moment"])
def test_a_killed_worker_loses_and_doubles_nothing(
    session: Session, users: Users, undisturbed: Path, tmp_path: Path, moment: str
) -> None:
    mark = tmp_path / "died"
    dials = Dials(seconds_per_write=0.02)
    if moment == "die_before_commit_once":
        dials = Dials(die_before_commit_once=mark)
    elif moment == "die_after_commit_once":
        dials = Dials(die_after_commit_once=mark)
    database = tmp_path / "chunks.db"
    watching = Watching(lambda progress: progress.chunks_written > 10, lambda: kill_one("ImportWorker"))
    states = run(session, users, DialledDestination(f"sqlite:///{database}", database, dials), watching)
    assert mark.exists() or watching.done
    assert set(states.values()) == {("complete", 1)}
    assert rows_in(database) == rows_in(undisturbed)


def test_a_killed_reader_has_its_user_read_again(
    session: Session, users: Users, undisturbed: Path, tmp_path: Path
) -> None:
    database = tmp_path / "chunks.db"
    destination = DialledDestination(f"sqlite:///{database}", database, Dials(seconds_per_write=0.05))
    watching = Watching(lambda progress: progress.chunks_written > 5, lambda: kill_one("read_export"))
    states = run(session, users, destination, watching)
    assert watching.done
    assert {state for state, _ in states.values()} == {"complete"}
    assert max(attempts for _, attempts in states.values()) == 2
    assert rows_in(database) == rows_in(undisturbed)


def test_a_conversation_that_kills_its_worker_costs_itself_alone_whatever_is_in_its_batch(
    session: Session, users: Users, undisturbed: Path, tmp_path: Path
) -> None:
    """The batch, all of the user's export, is halved again and again: its user is done with when all halves are."""
    [(user_id, poison), *_] = query_in(
        undisturbed, "SELECT user_id, conversation_id FROM imported_conversations WHERE chunk_count > 0 ORDER BY 2"
    )
    database = tmp_path / "chunks.db"
    destination = DialledDestination(f"sqlite:///{database}", database, Dials(poison_conversation=poison))
    states = run(session, users, destination, nothing_happens(), batch_bytes=4 * 1024 * 1024)
    assert states == dict.fromkeys(users.sources, ("complete", 1)) | {user_id: ("partial", 1)}
    kept = query_in(database, "SELECT user_id, conversation_id, reason FROM import_rejects")
    assert kept == [(user_id, poison, "kills_worker")]
    left, expected = rows_in(database), rows_in(undisturbed)
    for table in ("conversation_chunks", "imported_conversations"):
        assert left[table] == [row for row in expected[table] if poison not in row]


def test_workers_that_are_replaced_lose_no_batch(
    session: Session, users: Users, undisturbed: Path, tmp_path: Path
) -> None:
    database = tmp_path / "chunks.db"
    seen: set[int] = set()

    def look() -> bool:
        seen.update(process.pid for process in processes(psutil.Process().pid, "ImportWorker"))
        return False

    destination = DialledDestination(f"sqlite:///{database}", database, Dials(seconds_per_write=0.05))
    states = run(session, users, destination, Watching(lambda _: True, look), after_batches=3)
    assert len(seen) > 4
    assert set(states.values()) == {("complete", 1)}
    assert rows_in(database) == rows_in(undisturbed)


def test_a_destination_that_is_away_when_a_worker_begins_is_waited_for(
    session: Session, users: Users, undisturbed: Path, tmp_path: Path
) -> None:
    database = tmp_path / "chunks.db"
    dials = Dials(busy_at_opening=(3, 4, 5))
    destination = DialledDestination(f"sqlite:///{database}", database, dials)
    states = run(session, users, destination, nothing_happens(), after_batches=3)
    assert len(list(database.with_suffix(".opened").iterdir())) > 6
    assert set(states.values()) == {("complete", 1)}
    assert rows_in(database) == rows_in(undisturbed)


def test_a_destination_that_no_worker_reaches_ends_the_run_at_once(
    session: Session, users: Users, tmp_path: Path
) -> None:
    database = tmp_path / "chunks.db"
    destination = DialledDestination(f"sqlite:///{database}", database, Dials(busy_at_opening=(0, 1)))
    with pytest.raises(SinkBusy):
        run(session, users, destination, nothing_happens())


def test_workers_that_cannot_begin_any_more_are_told_of_once_and_the_run_ends_with_the_last(
    session: Session, users: Users, tmp_path: Path
) -> None:
    """Two begin; each that takes the place of one has a wrong setting: the first is left out, the second is the last.

    Until then it goes on: it takes the last one a few batches to be replaced.
    """
    database = tmp_path / "chunks.db"
    told: list[str] = []
    dials = Dials(misconfigured_at_opening=range(2, 1000))
    destination = DialledDestination(f"sqlite:///{database}", database, dials)
    with pytest.raises(ConfigError, match="A setting is wrong"):
        run(session, users, destination, nothing_happens(), after_batches=3, tell=told.append)
    assert told == ["a worker could not start and is not used: A setting is wrong."]


def test_an_object_store_that_others_have_filled_costs_time_alone(
    session: Session, users: Users, undisturbed: Path, tmp_path: Path
) -> None:
    """What is put there goes to the disk meanwhile, as far as it has to."""
    piece = bytes(4 * 1024 * 1024)
    held = [ray.put(piece) for _ in range(int(ray.cluster_resources()["object_store_memory"] / len(piece)))]
    database = tmp_path / "chunks.db"
    states = run(session, users, DialledDestination(f"sqlite:///{database}", database), nothing_happens())
    assert set(states.values()) == {("complete", 1)}
    assert rows_in(database) == rows_in(undisturbed)
    assert all(len(ray.get(ref)) == len(piece) for ref in held)
