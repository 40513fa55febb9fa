"""Workers of a pool that are too many, too few, or left out; what they work on is done all the same."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from ray_import.chunks.rows import ImportJob
from ray_import.cluster import worker_slot, worker_slots
from ray_import.cluster.deaths import WorkerProcess
from ray_import.cluster.failures import LOST
from ray_import.cluster.pool import WorkerPool
from ray_import.cluster.session import Session
from ray_import.cluster.worker_slot import SELDOM_RECYCLED
from ray_import.cluster.worker_slots import FOR_WHAT_IS_THERE, LOOK_SECONDS, REST_SECONDS, StartupTimeouts, WorkerSlots
from ray_import.errors import ClusterError, ConfigError
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.batching import batches_of
from ray_import.pipeline.executor import BatchOutcome
from ray_import.pipeline.scheduler import Scheduler
from ray_import.pipeline.sources import open_sources
from ray_import.records import Batch
from ray_import.settings import FlowLimits, ImportSettings
from tests.cluster.imports import STARTED_AT
from tests.support.cluster.dials import DialledDestination, Dials
from tests.support.cluster.reimports import processes
from tests.support.generate import write_export

pytestmark = pytest.mark.ray

SETTINGS = ImportSettings(flow=FlowLimits(batch_bytes=16 * 1024))
WORK = BatchContext(ImportJob("import", "ada", STARTED_AT), SETTINGS)
SLOW = Dials(seconds_per_write=0.2)
CPUS = 0.8
TURNS = 600
"""Of a tenth of a second, or less."""


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> list[Batch]:
    """Some 30."""
    export = tmp_path_factory.mktemp("export") / "conversations.json"
    write_export(export, 0.5, seed=7)
    return list(batches_of(open_sources([export], SETTINGS.read).conversations(), SETTINGS.flow.batch_bytes))


@dataclass(slots=True)
class Pooled:
    """A pool, and what has become of what was handed to it."""

    pool: WorkerPool
    done: list[BatchOutcome] = field(default_factory=list)

    def submit(self, batch: Batch) -> None:
        """Hands it in, room or no room."""
        self.pool.submit(batch, WORK)

    def wait_until(self, holds: Callable[[], Any]) -> None:
        """As the loop over many users waits."""
        for _ in range(TURNS):
            if holds():
                return
            self.done.extend(self.pool.wait(0.1))
        raise AssertionError("it did not come to that")


@contextmanager
def pooled(
    session: Session,
    path: Path,
    workers: int,
    patience: StartupTimeouts = FOR_WHAT_IS_THERE,
    cpus: float = CPUS,
    dials: Dials = SLOW,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Pooled]:
    destination = DialledDestination(f"sqlite:///{path}", path, dials)
    with (
        closing(destination.open()) as sink,
        closing(
            WorkerPool(
                session, workers, SETTINGS.flow, destination, sink, cpus_per_worker=cpus, patience=patience, tell=tell
            )
        ) as pool,
    ):
        yield Pooled(pool)


def workers_up() -> list[psutil.Process]:
    return processes(psutil.Process().pid, "ImportWorker", "import_batch")


@ray.remote
def idle() -> None:
    """Needs a CPU, and nothing else."""


@ray.remote
def takes_cpus(until: str) -> Iterator[None]:
    """Tells that it has them, and keeps them until there is that file."""
    yield
    while not os.path.exists(until):  # noqa: PTH110 - pickled by value
        time.sleep(0.05)


def death_of(actor: Any) -> ray.exceptions.ActorDiedError:
    """What calls fail with, as soon as Ray has ended the actor: `ray.kill` returns before that."""
    for _ in range(TURNS):
        try:
            ray.get(actor.ready.remote(), timeout=60)
        except ray.exceptions.ActorDiedError as death:
            return death
    raise AssertionError("it still answers")


def ray_has_started(actor: Any) -> bool:
    """Whether calls reach a process of the actor."""
    try:
        ray.get(actor.__ray_ready__.remote(), timeout=60)
    except LOST:
        return False
    return True


class Begins:
    def ready(self) -> WorkerProcess:
        return WorkerProcess.of_this()


class CannotBegin:
    def ready(self) -> WorkerProcess:
        raise ConfigError("A setting is wrong.")


def test_workers_beyond_the_cpus_are_ended_so_that_readers_find_room(
    session: Session, batches: list[Batch], tmp_path: Path
) -> None:
    with pooled(session, tmp_path / "chunks.db", workers=2) as one:
        one.wait_until(lambda: len(workers_up()) == 2)
        one.pool.resize(3)  # the third waits for a CPU
        assert (one.pool.workers, one.pool.budget_bytes) == (3, 3 * SETTINGS.flow.bytes_per_worker)
        for batch in batches:
            one.submit(batch)
        reader = idle.options(num_cpus=1).remote()
        one.wait_until(lambda: one.done)
        one.pool.resize(1)
        assert (one.pool.workers, one.pool.budget_bytes) == (1, SETTINGS.flow.bytes_per_worker)
        one.wait_until(lambda: ray.wait([reader], timeout=0)[0])
        assert one.pool.in_flight, "it only found room when all was done"
        one.pool.resize(2)
        one.wait_until(lambda: len(workers_up()) == 2)
        one.wait_until(lambda: not one.pool.in_flight)
    assert sum(done.conversations for done in one.done) == sum(len(batch.frames) for batch in batches)
    assert sum(done.size_bytes for done in one.done) == sum(len(batch.payload) for batch in batches)
    assert {done.error for done in one.done} == {None}


def test_a_machine_that_lets_no_worker_begin_is_left_alone_for_a_while_and_then_tried_again(
    session: Session, batches: list[Batch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    dials = Dials(misconfigured_at_opening=(1, 2))
    opened = tmp_path / "chunks.opened"
    with pooled(session, tmp_path / "chunks.db", workers=1, dials=dials, tell=told.append) as one:
        one.pool.resize(2)
        one.wait_until(lambda: one.pool.workers == 1)
        one.pool.resize(2)
        one.submit(batches[0])
        one.wait_until(lambda: one.done)
        assert (one.pool.workers, len(list(opened.iterdir()))) == (1, 2)
        monkeypatch.setattr(worker_slots, "REST_SECONDS", 0.0)
        later = time.monotonic() + REST_SECONDS
        with monkeypatch.context() as clock:
            clock.setattr(time, "monotonic", lambda: later)
            one.pool.resize(2)
        one.wait_until(lambda: one.pool.workers == 1)  # in vain once more
        one.pool.resize(2)
        one.wait_until(lambda: len(list(opened.iterdir())) == 4)
        assert one.pool.workers == 2
    assert told == ["a worker could not start and is not used: A setting is wrong."]


def test_an_idle_worker_that_has_died_is_asked_whether_it_can_begin_before_it_is_sent_anything(
    session: Session, batches: list[Batch], tmp_path: Path
) -> None:
    told: list[str] = []
    dials = Dials(seconds_per_write=0.05, busy_at_opening=(2,), misconfigured_at_opening=(3,))
    with pooled(session, tmp_path / "chunks.db", workers=2, dials=dials, tell=told.append) as one:
        one.wait_until(lambda: not one.pool._lanes.asked)  # both have answered
        before = {worker.pid for worker in workers_up()}
        workers_up()[0].kill()
        one.wait_until(lambda: len({worker.pid for worker in workers_up()} | before) == 3)
        one.wait_until(lambda: all(ray_has_started(one.pool._lanes.actor(lane)) for lane in (0, 1)))
        for batch in batches:
            one.submit(batch)
        one.wait_until(lambda: told and not one.pool.in_flight)
    assert {done.error for done in one.done} == {None}
    assert sum(done.conversations for done in one.done) == sum(len(batch.frames) for batch in batches)
    assert one.pool.totals.tried_again == 0, "nobody had begun with what came back"
    assert told == ["a worker could not start and is not used: A setting is wrong."]


def test_there_are_never_more_workers_than_asked_for_also_while_one_leaves(
    session: Session, batches: list[Batch], tmp_path: Path
) -> None:
    opened = tmp_path / "chunks.opened"
    with pooled(session, tmp_path / "chunks.db", workers=2) as one:
        one.wait_until(lambda: not one.pool._lanes.asked)  # both have answered
        for batch in batches[:4]:
            one.submit(batch)
        one.wait_until(lambda: one.done)
        for workers in (1, 2):
            one.pool.resize(workers)
        assert one.pool.in_flight
        assert one.pool.workers == 1, "there are two, of which one leaves"
        one.wait_until(lambda: not one.pool.in_flight)
        assert len(list(opened.iterdir())) == 2
        one.pool.resize(2)
        one.wait_until(lambda: len(list(opened.iterdir())) == 3)


@contextmanager
def last_worker_lost(
    session: Session, batch: Batch, folder: Path, none_left_seconds: float
) -> Iterator[tuple[Pooled, Path]]:
    """It works on `batch`, and its CPUs are another's until there is a file, as if its machine was lost."""
    go_on = folder / "go on"
    with pooled(session, folder / "chunks.db", 1, StartupTimeouts(none_left=none_left_seconds), session.cpus) as one:
        one.wait_until(workers_up)
        other = takes_cpus.options(num_cpus=session.cpus, num_returns="streaming").remote(str(go_on))
        try:
            workers_up()[0].kill()
            ray.get(next(other), timeout=60)
            one.submit(batch)
            yield one, go_on
        finally:
            go_on.touch()
        assert list(other) == []


@pytest.mark.parametrize("wanted", [1, 3])
def test_where_no_worker_is_left_none_is_waited_for_without_end(
    session: Session, batches: list[Batch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: int
) -> None:
    monkeypatch.setattr(worker_slot, "MAX_SILENT", 2)  # those that wait are given up, and started anew, all the time

    def is_over() -> bool:
        one.pool.resize(wanted)
        return bool(one.done)

    with (
        last_worker_lost(session, batches[0], tmp_path, none_left_seconds=4) as (one, _),
        pytest.raises(ClusterError, match="No worker restarted"),
    ):
        one.wait_until(is_over)


def test_the_last_worker_is_waited_for_as_long_as_a_machine_may_take_to_come(
    session: Session, batches: list[Batch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_slot, "MAX_SILENT", 2)
    with last_worker_lost(session, batches[0], tmp_path, none_left_seconds=600) as (one, go_on):
        one.wait_until(lambda: one.pool._lanes._lanes[0].silent > 4)
        go_on.touch()
        one.wait_until(lambda: one.done)
    assert [(done.conversations, done.error) for done in one.done] == [(len(batches[0].frames), None)]


def test_time_in_which_nobody_looked_is_not_taken_for_time_without_workers(
    session: Session, batches: list[Batch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_slot, "MAX_SILENT", 2)
    now = time.monotonic
    with last_worker_lost(session, batches[0], tmp_path, none_left_seconds=60) as (one, go_on):
        one.wait_until(lambda: one.pool._lanes._lanes[0].silent > 1)
        monkeypatch.setattr(time, "monotonic", lambda: now() + 240)  # a driver that its destination held up
        one.done.extend(one.pool.wait(0.1))
        go_on.touch()
        one.wait_until(lambda: one.done)
    assert [(done.conversations, done.error) for done in one.done] == [(len(batches[0].frames), None)]


def test_workers_that_cannot_begin_do_not_put_off_the_end_of_a_pool_in_which_none_is_up(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that was up has lost its machine, and the machine that is left lets none begin."""
    monkeypatch.setattr(worker_slots, "REST_SECONDS", 0.0)
    made: list[int] = []
    later = 0.0

    def make(lane: int) -> Any:
        made.append(lane)
        kind, cpus = (CannotBegin, 0) if lane == 1 else (Begins, 0 if made == [0] else 10 * session.cpus)
        return ray.remote(kind).options(num_cpus=cpus).remote()

    def look_again_and_again() -> None:
        nonlocal later
        while later < 600:
            later += LOOK_SECONDS
            workers.resize(2)
            [answered], _ = ray.wait([call for call, lane in workers.asked.items() if lane == 1], timeout=60)
            workers.settle(answered)
            workers.refuse_to_wait_for_ever()

    with closing(
        WorkerSlots(Scheduler(0, 1, 0), make, SELDOM_RECYCLED, StartupTimeouts(none_left=60), lambda _: None)
    ) as workers:
        workers.resize(1)
        workers.wait_for_first()
        ray.kill(workers.actor(0))
        workers.lost(0, death_of(workers.actor(0)))
        now = time.monotonic
        with monkeypatch.context() as clock:
            clock.setattr(time, "monotonic", lambda: now() + later)
            with pytest.raises(ClusterError, match="No worker restarted within 6"):
                look_again_and_again()
    assert made == [0, 0, *[1] * 13]
