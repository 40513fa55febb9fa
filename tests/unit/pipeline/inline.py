"""Runs over many users as the tests run them: in this process, out of real exports, into a real SQLite file."""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray_import.destinations.base import RunKey, RunUser
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.errors import ClusterError, ImporterError, PayloadLost, SourceSlow
from ray_import.pipeline.batch import BatchContext, import_batch
from ray_import.pipeline.batching import split_batch
from ray_import.pipeline.bulk_run import UserImportFactory
from ray_import.pipeline.engine import Run
from ray_import.pipeline.executor import BatchOutcome, ReadEvent
from ray_import.pipeline.lease import begin_run, lost, this_process
from ray_import.pipeline.progress import Progress
from ray_import.pipeline.reading import LocalReaders, LocalReading
from ray_import.pipeline.users import UserSource
from ray_import.records import Batch
from ray_import.settings import ImportOptions, ImportSettings
from ray_import.source.address import label_of

WHAT = "users.jsonl"


@dataclass(slots=True)
class Clock:
    """Seconds that pass only when somebody waits."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Dials:
    """What goes wrong, and how often: by user id."""

    read_errors: dict[str, list[ImporterError]] = field(default_factory=dict)
    """What readings end with after their first batch, one a reading."""
    lost_batches: Counter[str] = field(default_factory=Counter)
    refused_batches: Counter[str] = field(default_factory=Counter)
    slow_sources: set[str] = field(default_factory=set)
    """Users from whose server nothing comes: a reading that is to give up ends after their first batch, 30 s later, and
    another one goes on 300 s later."""
    halves: bool = False
    """Whether every batch of several conversations is worked on in halves, as after the death of a worker."""
    slow: bool = False
    """Whether workers take as long as others have something to do."""
    after_batch: Callable[[BatchContext], None] = lambda _: None


class InlineReading:
    """A reading in this process, with what the dials make of it."""

    def __init__(
        self,
        reading: LocalReading,
        error: ImporterError | None,
        ended: Callable[[], None],
        clock: Clock,
        silent_seconds: float = 0.0,
    ) -> None:
        self.waits_on = self
        self.of_server = bool(silent_seconds)
        self.problems = reading.problems
        self._clock = clock
        self._silent_until = clock() + silent_seconds
        self.closed = False
        self._reading = reading
        self._error = error
        self._ended = ended
        self._parts = 0

    def poll(self) -> ReadEvent | None:
        """See `Reading.poll`."""
        assert not self.closed
        if self._parts and self._clock() < self._silent_until:
            return None
        if self._error is not None and self._parts:
            raise self._error
        event = self._reading.poll()
        self._parts += isinstance(event, Batch)
        return event

    def close(self) -> None:
        """See `Reading.close`."""
        if not self.closed:
            self.closed = True
            self._reading.close()
            self._ended()


@dataclass(slots=True)
class InlineReaders:
    """See `Readers`."""

    settings: ImportSettings
    dials: Dials
    user_of: Mapping[str, str]
    clock: Clock
    begun: Counter[str] = field(default_factory=Counter)
    open: int = 0
    most_open: int = 0
    order: list[str] = field(default_factory=list)

    def read(self, source: str, known_version: str, *, gives_up: bool = False) -> InlineReading:
        """See `Readers.read`."""
        reading = LocalReaders(self.settings).read(source, known_version, gives_up=gives_up)
        user_id = self.user_of[source]
        self.begun[user_id] += 1
        self.order.append(user_id)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        errors = self.dials.read_errors.get(user_id)
        if user_id in self.dials.slow_sources:
            slow = SourceSlow("It is slow.") if gives_up else None
            return InlineReading(reading, slow, self._ended, self.clock, 30.0 if gives_up else 300.0)
        return InlineReading(reading, errors.pop(0) if errors else None, self._ended, self.clock)

    def _ended(self) -> None:
        self.open -= 1


@dataclass(slots=True)
class InlineWorkers:
    """See `Workers`: one that takes `room` batches and works on one of them, or on half of it, whenever somebody waits.

    Each wait takes `tick_seconds`, and all the time that is allowed where there is nothing to wait for.
    """

    sink: SqliteSink
    clock: Clock
    dials: Dials
    room: int
    tick_seconds: float
    budget_bytes: int
    workers: int = 1
    most_held: int = 0
    worked_for: list[str] = field(default_factory=list)
    shares: list[Counter[str]] = field(default_factory=list)
    """Bytes by user, whenever a batch was taken."""
    _held: deque[tuple[Batch, BatchContext]] = field(default_factory=deque)

    def has_room(self, size_bytes: int) -> bool:  # noqa: ARG002 - the port's
        """See `Workers.has_room`."""
        return len(self._held) < self.room

    def submit(self, batch: Batch, work: BatchContext) -> None:
        """See `Workers.submit`."""
        assert self.has_room(batch.size_bytes)
        if self.dials.refused_batches[work.job.user_id]:
            self.dials.refused_batches[work.job.user_id] -= 1
            raise ClusterError("There is nowhere to put it.")
        self._held.append((batch, work))
        self.most_held = max(self.most_held, len(self._held))
        self.shares.append(Counter())
        for held, whose in self._held:
            self.shares[-1][whose.job.user_id] += len(held.payload)

    def wait(self, timeout_seconds: float, also: Sequence[Any] = ()) -> list[BatchOutcome]:
        """See `Workers.wait`."""
        self.clock.now += self.tick_seconds if self._held or also else max(timeout_seconds, self.tick_seconds)
        if not self._held or (self.dials.slow and not timeout_seconds):
            return []
        batch, work = self._held.popleft()
        if self.dials.halves and len(batch.frames) > 1:
            batch, rest = split_batch(batch)
            self._held.appendleft((rest, work))
        return [self._done(batch, work)]

    def _done(self, batch: Batch, work: BatchContext) -> BatchOutcome:
        self.worked_for.append(work.job.user_id)
        if self.dials.lost_batches[work.job.user_id]:
            self.dials.lost_batches[work.job.user_id] -= 1
            return BatchOutcome(work, len(batch.frames), len(batch.payload), error=PayloadLost("A machine was lost."))
        try:
            result = import_batch(batch.payload, batch.frames, work, self.sink)
        except ImporterError as error:
            return BatchOutcome(work, len(batch.frames), len(batch.payload), error=error)
        self.dials.after_batch(work)
        return BatchOutcome(work, len(batch.frames), len(batch.payload), result)


class LedgerSink(SqliteSink):
    """Also keeps in which order users were saved."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.saved: list[RunUser] = []

    def save_users(self, run_id: str, holder: str, users: Sequence[RunUser]) -> bool:
        """See `RunLedger.save_users`."""
        self.saved.extend(users)
        return super().save_users(run_id, holder, users)

    @property
    def ended(self) -> list[str]:
        """The users in the order in which they ended."""
        return [user.user_id for user in self.saved if user.state not in ("pending", "running")]


@dataclass(slots=True)
class Shown:
    """A reporter that keeps what it is told, and does something then."""

    at: Callable[[int], None] = lambda _: None
    shown: list[Progress] = field(default_factory=list)

    def show(self, progress: Progress) -> None:
        """See `Reporter.show`."""
        self.shown.append(progress)
        self.at(len(self.shown))


@dataclass(slots=True)
class Outcome:
    """A run that has ended, or was interrupted."""

    users: dict[str, RunUser]
    """As the loop has them."""
    saved: dict[str, RunUser]
    """As the destination has them."""
    ended: list[str]
    bytes_read: int
    readers: InlineReaders
    workers: InlineWorkers
    shown: list[Progress]
    error: BaseException | None

    @property
    def states(self) -> dict[str, str]:
        """By user, as the destination has them."""
        return {user_id: user.state for user_id, user in self.saved.items()}


@dataclass(slots=True)
class Users:
    """Users with their sources, and a database that they are imported into."""

    database: Path
    settings: ImportSettings
    sources: dict[str, str]

    def run(
        self,
        run_id: str = "run-1",
        dials: Dials | None = None,
        *,
        room: int = 2,
        budget_bytes: int = 1024 * 1024,
        most_active: int = 2,
        tick_seconds: float = 0.01,
        at: Callable[[int], None] = lambda _: None,
        options: ImportOptions = ImportOptions(),  # noqa: B008 - it is frozen
        interrupted: bool = False,
        make_sink: Callable[[Path], LedgerSink] = LedgerSink,
        clock: Clock | None = None,
        known_bytes: Mapping[str, int] | None = None,
    ) -> Outcome:
        """Opens the run, or goes on with it, and goes through it to the end, or to the KeyboardInterrupt that `at`
        is to raise when progress is shown for the so many-th time."""
        dials, clock, error = dials or Dials(), clock or Clock(), None
        with closing(make_sink(self.database)) as sink:
            settings_hash = self.settings.rows_hash
            in_run = [RunUser(user_id, label_of(source)) for user_id, source in self.sources.items()]
            order = list(self.sources)
            begin_run(sink, run_id, RunKey(WHAT, settings_hash, options.force))
            opened = sorted(sink.add_users(run_id, in_run), key=lambda user: order.index(user.user_id))
            readers = InlineReaders(
                self.settings, dials, {source: user for user, source in self.sources.items()}, clock
            )
            workers, reporter = InlineWorkers(sink, clock, dials, room, tick_seconds, budget_bytes), Shown(at)
            named = {user_id: UserSource(user_id, source) for user_id, source in self.sources.items()}
            imports = UserImportFactory(readers, sink, self.settings, named, sink.versions(settings_hash), options)

            def save(some: Sequence[RunUser]) -> None:
                if not sink.save_users(run_id, this_process(), some):
                    raise lost()

            run = Run(opened, imports, workers, save, reporter, most_active, clock=clock, known_bytes=known_bytes)
            try:
                run.to_the_end()
                sink.complete_run(run_id, this_process())
            except KeyboardInterrupt as interrupt:
                error = interrupt
                sink.let_go(this_process())
            saved = {user.user_id: user for user in sink.run_users(run_id)}
            users = {user.user_id: user for user in run.users}
            assert readers.open == 0, "somebody still reads"
            assert (error is not None) == interrupted
            return Outcome(users, saved, sink.ended, run.bytes_read, readers, workers, reporter.shown, error)
