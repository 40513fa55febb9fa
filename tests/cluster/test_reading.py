"""An export that is read by a task: what is told of it, when its process dies, when nobody wants it any more."""

import time
from pathlib import Path

import psutil
import pytest
import ray

from ray_import.cluster.readers import AHEAD_OBJECTS, RayReaders
from ray_import.cluster.session import Session
from ray_import.errors import ConfigError, PayloadLost
from ray_import.pipeline.executor import ReadEvent, ReadFinished, Reading, ReadStarted
from ray_import.settings import FlowLimits, ImportSettings
from tests.support.cluster.reimports import processes
from tests.support.user_exports import write_users

pytestmark = pytest.mark.ray

DEADLINE_SECONDS = 60


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of some fifty batches."""
    users = write_users(tmp_path_factory.mktemp("export"), [400.0])
    return Path(next(iter(users.sources.values())))


@pytest.fixture
def readers(session: Session) -> RayReaders:
    return RayReaders(session.node_id, ImportSettings(flow=FlowLimits(batch_bytes=8 * 1024)))


def next_of(reading: Reading) -> ReadEvent:
    until = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < until:
        if (told := reading.poll()) is not None:
            return told
    raise AssertionError("nothing came")


def all_of(reading: Reading) -> list[ReadEvent]:
    told = [next_of(reading)]
    while not isinstance(told[-1], ReadFinished):
        told.append(next_of(reading))
    return told


def test_the_version_comes_first_then_every_batch_then_the_end(readers: RayReaders, export: Path) -> None:
    opened, *parts, end = all_of(readers.read(str(export), ""))
    assert isinstance(opened, ReadStarted)
    assert isinstance(end, ReadFinished)
    assert len(parts) > 10
    assert opened.bytes_total == end.bytes_read == export.stat().st_size


def test_nothing_follows_the_version_that_is_known(readers: RayReaders, export: Path) -> None:
    opened = next_of(readers.read(str(export), ""))
    assert isinstance(opened, ReadStarted)
    known = readers.read(str(export), opened.version)
    told = next_of(known)
    assert isinstance(told, ReadStarted)
    assert (told.version, told.bytes_total) == (opened.version, None)
    with pytest.raises(StopIteration):
        next_of(known)


@pytest.mark.parametrize("ready", [1, AHEAD_OBJECTS])
def test_a_reader_that_dies_is_told_whatever_was_to_come_next(readers: RayReaders, export: Path, ready: int) -> None:
    """With so many things ready what comes next is what a batch is, or its payload: that is the error, too."""
    reading = readers.read(str(export), "")
    assert isinstance(reading.waits_on, ray.ObjectRefGenerator)
    ray.wait(reading.waits_on._get_next_ref_n(ready), num_returns=ready, timeout=DEADLINE_SECONDS)
    for process in processes(psutil.Process().pid, "read_export"):
        process.kill()
    with pytest.raises(PayloadLost):
        all_of(reading)


def test_what_is_wrong_with_an_export_is_told_to_the_run_alone(readers: RayReaders, tmp_path: Path) -> None:
    """Ray shows the text of an error that a task raises to all who see its dashboard."""
    reading = readers.read(str(tmp_path / "ada.zip"), "")
    with pytest.raises(ConfigError, match=r"There is no file or folder .*ada\.zip"):
        all_of(reading)
    with pytest.raises(StopIteration):
        next_of(reading)  # the task has ended well


def test_readings_that_nobody_wants_any_more_hold_up_nobody(readers: RayReaders, export: Path) -> None:
    """However far they are."""
    for told in range(8):
        reading = readers.read(str(export), "")
        for _ in range(told % 4):
            next_of(reading)
        reading.close()
    assert isinstance(all_of(readers.read(str(export), ""))[-1], ReadFinished)
