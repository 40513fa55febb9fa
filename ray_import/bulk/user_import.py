"""The import of one user in a run over many: from the first look at the export to how it ended."""

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

from ray_import.bulk.ports import Done, Ended, Opened, Part, Readers, Reading, Workers
from ray_import.bulk.users import UserSource, seen_version
from ray_import.chunks.rows import Import
from ray_import.errors import ImporterError, ImportRunning, NotAnExport, SinkError
from ray_import.importing.lease import begin, lost
from ray_import.importing.refusals import code_to_withdraw, refused_by_all, withdraw
from ray_import.importing.sources import found_nothing
from ray_import.importing.summary import counts_as_dict
from ray_import.importing.tally import add_counts
from ray_import.importing.work import Work
from ray_import.records import Counts, lacks
from ray_import.settings import ImportSettings
from ray_import.sink.port import RejectLimits, RunUser, Sink, UserState
from ray_import.sink.refusals import Refusals
from ray_import.source.names import base_name, shown

MOST_TOLD_CHARACTERS = 500
MOST_NAME_CHARACTERS = 60
"""Of a file's name in a note."""
REJECTS_KEPT = RejectLimits(100, 10_000_000)
"""Of one export: without these limits, the damaged exports of a night could fill the destination."""


class UserImport:
    """Reads on while there is room, counts what comes back, and ends once, whatever happens."""

    def __init__(self, user: RunUser, work: Work, reading: Reading, known_version: str, sink: Sink) -> None:
        self.user = replace(user, attempts=user.attempts + 1, state="running", error=None)
        self.work = work
        self.in_flight = 0  # conversations: what was handed out as one batch may come back in parts
        self.bytes_in_flight = 0
        self.last_turn = 0  # in which something was handed out
        self.told_at = 0.0  # when the job's row was brought up to date
        self.moved_at = 0.0  # when something was read or handed out
        self.bytes_read = 0
        self.bytes_total: int | None = None  # JSON, as far as the reader knows when it has opened the export
        self.has_begun = False  # has a job, which nobody else's may be
        self.counts = Counts()
        self._refusals = Refusals()
        self.error: ImporterError | None = None
        self._reading = reading
        self._known_version = known_version
        self._sink = sink
        self._part: Part | None = None
        self._skipped = False
        self._end: Ended | None = None
        self._may_have_begun = False

    @property
    def waits_on(self) -> Any | None:
        """What there has to be more of before this import goes on; None where it waits for workers."""
        return None if self._part is not None or self._is_read else self._reading.waits_on

    @property
    def waits_for_server(self) -> bool:
        """Whether its reader has still to read from a server what comes next."""
        return self._reading.of_server and self.waits_on is not None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self._is_read and self.in_flight == 0

    @property
    def _is_read(self) -> bool:
        return self._end is not None or self._skipped or self.error is not None

    @property
    def takes_room(self) -> bool:
        """Whether it has something with the workers, or for them."""
        return self.in_flight > 0 or self._part is not None

    def go_on(self, workers: Workers, most_bytes: int, turn: int) -> bool:
        """Hands out one batch, if one was read and there is room for it: so that no more than `most_bytes` are in
        flight, or that batch alone. Whether anything moved."""
        if self.error is not None:
            return False
        try:
            return self._hand_out(workers, most_bytes, turn) if self._part is not None else self._read_on()
        except ImporterError as error:
            self.error = error
            return True

    def _read_on(self) -> bool:
        if self._is_read:
            return False
        match self._reading.poll():
            case None:
                return False
            case Opened() as opened:
                self._begin(opened)
            case Part() as part:
                self._part = part
                self.bytes_read = part.bytes_read
            case Ended() as end:
                self._end = end
                self.bytes_read = end.bytes_read
        return True

    def _begin(self, opened: Opened) -> None:
        """Takes the user's lease, unless this version of the export is in already. Raises ImportRunning."""
        self.bytes_total = opened.bytes_total
        self.user = replace(self.user, version=opened.version)
        if opened.version and opened.version == self._known_version:
            self._skipped = True
            return
        self._may_have_begun = True
        try:
            begin(self._sink, self.work.of, self.user.source)
        except ImportRunning:
            self._may_have_begun = False
            raise
        self.has_begun = True

    def _hand_out(self, workers: Workers, most_bytes: int, turn: int) -> bool:
        part = self._part
        if part is None or not workers.has_room(part.size_bytes):
            return False
        if self.in_flight and self.bytes_in_flight + part.size_bytes > most_bytes:
            return False
        self._part = None
        workers.submit(part.payload, part.size_bytes, part.frames, self.work)
        self.in_flight += len(part.frames)
        self.bytes_in_flight += part.size_bytes
        self.last_turn = turn
        return True

    def take(self, done: Done) -> None:
        """A batch, or a part of one, is done with."""
        self.in_flight -= done.conversations
        self.bytes_in_flight -= done.size_bytes
        if done.error is not None:
            self.error = self.error or done.error
        if done.result is not None:
            add_counts(self.counts, done.result.counts)
            self._refusals.add(done.result)
            self._look_at_refusals()

    def tell_job(self) -> None:
        """Brings the job's row up to date; where it is another's by now, or refused, this import ends."""
        with self._ends_alone():
            if self.has_begun and not self._sink.update_job(self.work.of.id, counts_as_dict(self.counts)):
                self.error = self.error or lost()

    def _look_at_refusals(self, *, at_end: bool = False) -> None:
        if self.error is None:
            with self._ends_alone():
                self.error = refused_by_all(self._refusals, self.work.of, self._sink, at_end=at_end)

    @contextmanager
    def _ends_alone(self) -> Iterator[None]:
        """What the destination refuses of this user ends this import, not the run; that it is away ends the run."""
        try:
            yield
        except SinkError as error:
            if error.retry:
                raise
            self.error = self.error or error

    def finish(self) -> RunUser:
        """How it ended; its job's row says so, too, unless that is another's by now."""
        self.stop_reading()
        self.error = self.error or self._nothing_found()
        if self._end is not None:
            self._look_at_refusals(at_end=True)
        with self._ends_alone():
            code = code_to_withdraw(self.error, self._refusals, self.work.of, self._sink)
            if code is not None:
                withdraw(code, self._refusals, self.counts, self.work.of, self._sink)
        self._note_what_is_not_read()
        counts = counts_as_dict(self.counts)
        with self._ends_alone():
            if self._may_have_begun and not self._end_job(counts) and self.has_begun:
                self.error = self.error or lost()
        return replace(self.user, state=self._state(), error=self._message() or self._first_problem(), counts=counts)

    def _note_what_is_not_read(self) -> None:
        """Counts the files of the export that might hold chats and are not read, by name."""
        problems = () if self._end is None else self._end.problems
        names = (base_name(problem.where) for problem in problems if problem.kind == "not_read")
        self.counts.notes.update(f"not_read:{name[:MOST_NAME_CHARACTERS]}" for name in names)

    def _end_job(self, counts: dict[str, Any]) -> bool:
        """Also where the answer to its begin was lost: this process would keep a job alive that it knows nothing of."""
        return self._sink.update_job(self.work.of.id, counts, _job_status(self._state()), self._message())

    def stop_reading(self) -> None:
        """Nothing more of the export is wanted."""
        self._reading.close()

    def _nothing_found(self) -> NotAnExport | None:
        end, counts = self._end, self.counts
        if end is None or not found_nothing(counts.seen, counts.not_a_conversation, may_be_empty=end.may_be_empty):
            return None
        return NotAnExport(f"{self.user.source} holds no conversations.")

    def _message(self) -> str | None:
        return None if self.error is None else in_short(self.error.message)

    def _first_problem(self) -> str | None:
        """What makes the import `partial`, where that is more than rejects that are kept."""
        problems = [] if self._end is None else [one for one in self._end.problems if not one.harmless]
        if not problems:
            left = self.counts.notes["rejects_not_kept"]
            most = f"{REJECTS_KEPT.count} rejects or {REJECTS_KEPT.bytes // 1_000_000} MB per export"
            return f"{left:,} rejects are counted but not stored: the limit is {most}." if left else None
        first, *others = problems
        more = f", and {len(others):,} more" if others else ""
        return in_short(f"{first.kind}: {first.where}: {first.detail}{more}")

    def _state(self) -> UserState:
        if self._skipped:
            return "skipped"
        if self.error is not None:
            return "failed"
        return "partial" if self.counts.rejected or (self._end and lacks(self._end.problems)) else "complete"


def in_short(error: str) -> str:
    """An error as the ledger may hold it, whatever names of the export are in it: one text that a database refuses
    would end the run of all."""
    return shown(error if len(error) <= MOST_TOLD_CHARACTERS else f"{error[:MOST_TOLD_CHARACTERS]}…")


def _job_status(state: UserState) -> Any:
    return state if state in ("complete", "partial") else "failed"


class MakeImport(Protocol):
    """Begins to read a user's export."""

    def __call__(self, user: RunUser, *, gives_up: bool) -> UserImport:
        """See `Readers.read`. Raises ConfigError where the source is no address that can be."""


@dataclass(frozen=True, slots=True)
class Imports:
    """See `MakeImport`. `sources` are by user, `versions` as `RunLedger.versions` gives them.

    With `force` an export is read also where its version is in already.
    """

    readers: Readers
    sink: Sink
    settings: ImportSettings
    sources: Mapping[str, UserSource]
    versions: Mapping[str, tuple[str, str]]
    force: bool = False

    def __call__(self, user: RunUser, *, gives_up: bool) -> UserImport:
        """Begins to read the export of `user`, unless a look from here tells that it is in already.

        Of a second run over the same users that look is nearly all, and a reader costs many times as much.
        """
        named = self.sources[user.user_id]
        label, version = self.versions.get(user.user_id, ("", ""))
        known_version = version if label == user.source and not self.force else ""
        seen = seen_version(named, self.settings.read.sources)
        is_in = known_version and known_version == seen
        reading = Unchanged(version) if is_in else self.readers.read(named.source, known_version, gives_up=gives_up)
        of = Import(str(uuid.uuid4()), user.user_id, time.time())
        work = Work(of, self.settings, force=self.force, reject_limits=REJECTS_KEPT)
        return UserImport(replace(user, version=seen), work, reading, known_version, self.sink)


@dataclass(frozen=True, slots=True)
class Unchanged:
    """See `Reading`: of an export that nobody needs to read."""

    version: str
    waits_on: ClassVar[None] = None
    of_server: ClassVar[bool] = False

    def poll(self) -> Opened:
        """See `Reading.poll`."""
        return Opened(self.version, None)

    def close(self) -> None:
        """See `Reading.close`."""
