"""One import of a user at a time, and who notices what when."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ray_import.chunks.rows import ImportJob
from ray_import.destinations.base import Sink
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.errors import ImportRunning, LeaseLost, SinkBusy
from ray_import.pipeline import lease
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.executor import BatchOutcome
from ray_import.pipeline.lease import Heartbeat, begin, is_dead, this_process
from ray_import.pipeline.one_user import import_user
from ray_import.pipeline.report import Summary
from ray_import.pipeline.sources import open_sources
from tests.support.in_process import InProcessWorkers
from tests.unit.pipeline.runs import SETTINGS, Recorded
from tests.unit.source.exports import conversation, exported, written

HERE = this_process().rsplit("/", 2)[0]
FIRST, SECOND = ImportJob("import-1", "u1", 1_790_000_000.0), ImportJob("import-2", "u1", 1_790_000_060.0)


def dead_process() -> str:
    """A process that was here."""
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    return f"{HERE}/{process.pid}/1"


def test_a_process_that_lives_or_cannot_be_seen_is_not_dead() -> None:
    for holder in (this_process(), "another-host/boot/pids/1/1", "", "x", "/", "//", HERE, f"{HERE}/x/1"):
        assert not is_dead(holder)
    assert is_dead(dead_process())


@pytest.mark.skipif(not Path("/proc").exists(), reason="without /proc nobody knows when a process began")
def test_another_process_that_has_the_same_number_now_is_another() -> None:
    here, number, began = this_process().rsplit("/", 2)
    assert is_dead(f"{here}/{number}/{int(began) - 1}")


def test_a_process_of_which_it_is_hidden_when_it_began_is_not_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    me = this_process()
    assert not is_dead(me.rpartition("/")[0] + "/")
    monkeypatch.setattr(lease, "_state_and_begin", lambda _: ("", ""))  # /proc with hidepid, or no file more to open
    assert not is_dead(me)
    assert this_process() == me


@pytest.mark.skipif(not Path("/proc").exists(), reason="without /proc its parent has to have heard of its end")
def test_a_process_whose_parent_has_not_heard_of_its_end_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        began = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()[19]
        assert is_dead(f"{HERE}/{process.pid}/{began}")


def test_a_second_import_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    with closing(SqliteSink(tmp_path / "chunks.db")) as sink:
        begin(sink, FIRST, "x")
        with pytest.raises(ImportRunning) as caught:
            begin(sink, SECOND, "x")
        assert "import-1" in caught.value.message
        assert caught.value.exit_code == 2
        assert [job.status for job in sink.jobs()] == ["running"]


def test_one_whose_process_is_dead_is_taken_over_at_once(tmp_path: Path) -> None:
    with closing(SqliteSink(tmp_path / "chunks.db")) as sink:
        sink.start_job(FIRST, "x", dead_process())
        sink.update_job(FIRST.id, {"seen": 3})
        begin(sink, SECOND, "x")
        second, first = sink.jobs()
        assert (second.id, second.status) == ("import-2", "running")
        assert (first.status, first.error, first.counts) == ("failed", "interrupted", {"seen": 3})


def imported(path: Path, database: Path, meanwhile: Callable[[], None]) -> Summary:
    """Imports `path`; `meanwhile` is done when all of it has been worked on, before that is told."""
    work = BatchContext(FIRST, SETTINGS)

    class Interrupted(InProcessWorkers):
        def wait(self, timeout_seconds: float, also: Sequence[Any] = ()) -> list[BatchOutcome]:
            done = super().wait(timeout_seconds, also)
            if done:
                meanwhile()
            return done

    with closing(SqliteSink(database)) as sink:
        return import_user(open_sources([path], SETTINGS.read), work, sink, "x", lambda: Interrupted(sink), Recorded())


def test_an_import_whose_place_was_taken_fails_and_leaves_the_others_job_alone(tmp_path: Path) -> None:
    path = written(tmp_path / "x.json", exported([conversation("a", "hello")]))

    def takes_over() -> None:
        with closing(SqliteSink(tmp_path / "chunks.db")) as other:
            other.update_job(FIRST.id, {}, "failed", "interrupted")
            begin(other, SECOND, "y")

    summary = imported(path, tmp_path / "chunks.db", takes_over)
    assert (summary.status, type(summary.error), summary.exit_code) == ("failed", LeaseLost, 3)
    with closing(SqliteSink(tmp_path / "chunks.db")) as sink:
        assert [(job.id, job.status, job.error) for job in sink.jobs()] == [
            ("import-2", "running", None),
            ("import-1", "failed", "interrupted"),
        ]


class Beaten:
    """A sink that only takes signs of life: the first two fail."""

    def __init__(self) -> None:
        self.beats: list[str] = []
        self.closed = 0
        self.done = threading.Event()

    def beat(self, holder: str) -> None:
        self.beats.append(holder)
        if len(self.beats) <= 2:
            raise SinkBusy("away")
        if len(self.beats) == 4:
            self.done.set()

    def close(self) -> None:
        self.closed += 1


def test_signs_of_life_are_given_again_after_a_failure_and_each_connection_is_closed() -> None:
    sink = Beaten()
    opened: list[Any] = []

    def open_sink() -> Sink:
        opened.append(sink)
        return sink  # type: ignore[return-value]

    with Heartbeat(open_sink, every_seconds=0.001):
        assert sink.done.wait(30)
    assert sink.beats[:4] == [this_process()] * 4
    assert sink.closed == len(opened) >= 3


def test_an_import_that_ends_before_the_first_sign_of_life_opens_nothing() -> None:
    def open_sink() -> Sink:
        raise AssertionError

    with Heartbeat(open_sink, every_seconds=3600):
        pass
