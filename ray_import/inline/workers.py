"""The Workers port in this process: a batch is imported when it is submitted."""

import gc
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ray_import.destinations.base import Destination, Sink
from ray_import.errors import ImporterError, SinkBusy
from ray_import.inline.crash_marks import Marks, items_of, key_of
from ray_import.inline.isolation import Suspects
from ray_import.pipeline.batch import BatchContext, import_batch
from ray_import.pipeline.bulk_run import BulkRun
from ray_import.pipeline.engine import Run
from ray_import.pipeline.executor import BatchOutcome
from ray_import.pipeline.progress import AllOf, Reporter
from ray_import.pipeline.reading import LocalReaders
from ray_import.pipeline.report import RunReport
from ray_import.records import Batch, BatchResult
from ray_import.settings import FlowLimits

MAX_BUSY_TRIES = 3
HUNG_AFTER_SECONDS = 5.0
"""A batch takes a fraction of a second, and one conversation of 256 MB some 10 s. One that is interrupted after so long
may never end: its mark stays, and the next run imports it with care."""


class InlineWorkers:
    """See `Workers`: one worker, this process. It takes a batch if nothing waits to be collected.

    A batch in which an earlier run died is imported in a child process (see `Suspects`), and `tell` gets a line about
    it; so is a batch of rejects, among which may be some that have ended a process before.
    """

    workers = 1

    def __init__(
        self,
        destination: Destination,
        sink: Sink,
        flow: FlowLimits,
        marks: Marks,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.budget_bytes = flow.bytes_per_worker
        self._url = destination.url
        self._sink = sink
        self._marks = marks
        self._suspects = Suspects(destination, sink, flow.max_batch_seconds)
        self._tell = tell
        self._done: list[BatchOutcome] = []
        self._at_work_since: float | None = None

    @property
    def in_flight(self) -> int:
        """How many batches, or parts of one, wait to be collected."""
        return len(self._done)

    def has_room(self, size_bytes: int) -> bool:  # noqa: ARG002 - the port's
        return not self._done

    def submit(self, batch: Batch, work: BatchContext) -> None:
        """Imports the batch; its payload is bytes. An ImporterError is in what `wait` gives."""
        key, items = key_of(self._url, work.job.user_id, work.source), items_of(batch.frames)
        was_left = self._marks.left_at(key, items)
        if was_left:
            self._tell("an earlier run ended in this batch: importing it in a child process")
        if was_left or work.retries:
            self._done.extend(self._suspects.import_batch(batch, work))
            if all(done.error is None for done in self._done):
                self._marks.settle(key, items)
            return
        self._marks.enter(key, items)
        self._at_work_since = time.monotonic()
        size = (len(batch.frames), batch.size_bytes)
        try:
            with _no_garbage_collection():
                result = self._import_batch(batch, work)
            self._done.append(BatchOutcome(work, *size, result))
        except ImporterError as error:
            self._done.append(BatchOutcome(work, *size, error=error))
        # Not in `finally`: whatever else is raised has interrupted the batch, see `close`.
        self._at_work_since = None
        self._marks.leave()

    def wait(self, timeout_seconds: float, also: Sequence[Any] = ()) -> list[BatchOutcome]:
        """Gives what is done, at once. Waits only if there is neither that nor anything in `also`."""
        if not self._done and not also and timeout_seconds:
            threading.Event().wait(timeout_seconds)
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        """Ends the child process, and removes the mark, unless a batch was interrupted that may never end."""
        since = self._at_work_since
        self._suspects.close()
        self._marks.close(keep=since is not None and time.monotonic() - since >= HUNG_AFTER_SECONDS)

    def _import_batch(self, batch: Batch, work: BatchContext) -> BatchResult:
        for tried in range(MAX_BUSY_TRIES):
            try:
                return import_batch(batch.payload, batch.frames, work, self._sink, replay=tried > 0)
            except SinkBusy:
                continue
        return import_batch(batch.payload, batch.frames, work, self._sink, replay=True)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """What a batch makes has no cycles worth a search in its middle. Other threads are not disturbed: what they have
    disabled stays so."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def import_users(
    opened: BulkRun, marks: Path | None, reporters: tuple[Reporter, ...], tell: Callable[[str], None]
) -> RunReport:
    """Imports all users that have not ended, one after the other. `marks` is the folder of `marks_folder`."""
    settings = opened.settings
    workers = InlineWorkers(opened.destination, opened.sink, settings.flow, Marks(marks), tell)
    with closing(workers):
        began = time.monotonic()
        run = Run(
            opened.users,
            opened.imports(LocalReaders(settings)),
            workers,
            opened.save,
            AllOf(reporters),
            1,
            silent_after_seconds=settings.read.pace.silent_after_seconds,
            known_bytes=opened.known_bytes(),
        )
        run.to_the_end()
        seconds = time.monotonic() - began
    return opened.report(run.users, run.bytes_read, seconds, workers.workers)
