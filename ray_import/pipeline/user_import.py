"""The import of one user as a state machine, from opening the export to writing the end of the job."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from ray_import.chatgpt.files import base_name
from ray_import.destinations.base import Pruned, RunUser, Sink, UserState
from ray_import.destinations.refusals import REFUSED, Refusals
from ray_import.errors import ImporterError, ImportRunning, Interrupted, NotAnExport, SinkError, may_pass
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.executor import BatchOutcome, ReadFinished, Reading, ReadStarted, Workers
from ray_import.pipeline.lease import begin, lost
from ray_import.pipeline.profile_table import Profile, words_for_partial
from ray_import.pipeline.refusals import code_to_withdraw, refused_by_all, withdraw
from ray_import.pipeline.report import counts_as_dict, error_text, first_problem, job_status
from ray_import.pipeline.sources import nothing_found
from ray_import.pipeline.tally import add_counts
from ray_import.records import Batch, Counts, Problem, lacks, reject_problem

REJECTS_NAMED = 20
"""The most rejects that the summary names. All are counted, and stored at the destination."""
MOST_NAME_CHARACTERS = 60
"""The most characters of a file's name in a note."""


class UserImport:
    """Reads on while there is room, counts what comes back, and ends once, whatever happens.

    `profile` is the service's row of the user, if there is one to update. With `counts_not_read` the names of files
    that might hold chats and are not read become notes of the counts.
    """

    def __init__(
        self,
        user: RunUser,
        work: BatchContext,
        reading: Reading,
        known_version: str,
        sink: Sink,
        profile: Profile | None = None,
        *,
        counts_not_read: bool = True,
    ) -> None:
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
        self.pruned: Pruned | None = None
        self.error: ImporterError | None = None
        self._refusals = Refusals()
        self._rejects: list[Problem] = []  # the first, to be named in the summary
        self._withdrawn: str | None = None  # the code of the rejects that were deleted at the end
        self._reading = reading
        self._known_version = known_version
        self._sink = sink
        self._profile = profile
        self._counts_not_read = counts_not_read
        self._batch: Batch | None = None
        self._skipped = False
        self._end: ReadFinished | None = None
        self._may_have_begun = False
        self._job_ended = False
        self._finished = False

    @property
    def waits_on(self) -> Any | None:
        """What the import waits for before it continues; None while it waits for workers."""
        return None if self._batch is not None or self._is_read else self._reading.waits_on

    @property
    def waits_for_server(self) -> bool:
        """Whether its reader waits for a server."""
        return self._reading.of_server and self.waits_on is not None

    @property
    def is_over(self) -> bool:
        """Whether the import has finished."""
        return self._is_read and self.in_flight == 0

    @property
    def _is_read(self) -> bool:
        return self._end is not None or self._skipped or self.error is not None

    @property
    def takes_room(self) -> bool:
        """Whether it has batches in flight, or one to hand out."""
        return self.in_flight > 0 or self._batch is not None

    def go_on(self, workers: Workers, most_bytes: int, turn: int) -> bool:
        """Hands out one batch, if one was read and there is room for it: so that no more than `most_bytes` are in
        flight, or that batch alone. Whether anything moved."""
        if self.error is not None:
            return False
        try:
            return self._hand_out(workers, most_bytes, turn) if self._batch is not None else self._read_on()
        except ImporterError as error:
            self.error = error
            return True

    def _read_on(self) -> bool:
        if self._is_read:
            return False
        match self._reading.poll():
            case None:
                return False
            case ReadStarted() as opened:
                self._take_version(opened)
            case Batch() as batch:
                self._batch = batch
                self.bytes_read = batch.bytes_read
            case ReadFinished() as end:
                self._end = end
                self.bytes_read = end.bytes_read
        return True

    def _take_version(self, opened: ReadStarted) -> None:
        """Begins, unless this version of the export is imported already. Raises ImportRunning."""
        self.user = replace(self.user, version=opened.version)
        self.bytes_total = opened.bytes_total
        if opened.version and opened.version == self._known_version:
            self._skipped = True
        elif not self.has_begun:
            self.begin()
            self.begin_profile()

    def begin(self) -> None:
        """Takes the user's lease. Raises ImportRunning."""
        self._may_have_begun = True
        try:
            begin(self._sink, self.work.job, self.user.source)
        except ImportRunning:
            self._may_have_begun = False
            raise
        self.has_begun = True

    def begin_profile(self) -> None:
        """Says in the service's row that the import begins. Raises ConfigError where there is no such table."""
        if self._profile is not None:
            self._profile.begins(self._sink)

    def _hand_out(self, workers: Workers, most_bytes: int, turn: int) -> bool:
        batch = self._batch
        if batch is None or not workers.has_room(batch.size_bytes):
            return False
        if self.in_flight and self.bytes_in_flight + batch.size_bytes > most_bytes:
            return False
        self._batch = None
        workers.submit(batch, self.work)
        self.in_flight += len(batch.frames)
        self.bytes_in_flight += batch.size_bytes
        self.last_turn = turn
        return True

    def take(self, done: BatchOutcome) -> None:
        """A batch, or a part of one, is done with."""
        self.in_flight -= done.conversations
        self.bytes_in_flight -= done.size_bytes
        if done.error is not None:
            self.error = self.error or done.error
        if done.result is not None:
            add_counts(self.counts, done.result.counts)
            self._refusals.add(done.result)
            for reject in done.result.rejects[: REJECTS_NAMED - len(self._rejects)]:
                self._rejects.append(reject_problem(reject.member, reject.position, reject.reason))
            self._look_at_refusals()

    def tell_job(self) -> None:
        """Updates the job's row. The import ends if it has lost its lease, or if the update is refused."""
        if not self.has_begun:
            return
        with self._ends_alone():
            if not self._sink.update_job(self.work.job.id, counts_as_dict(self.counts)):
                self.error = self.error or lost()
            elif self._profile is not None:
                total = self.bytes_total
                self._profile.goes_on(self._sink, self.bytes_read / total if total else None)

    def _look_at_refusals(self, *, at_end: bool = False) -> None:
        if self.error is None:
            with self._ends_alone():
                self.error = refused_by_all(self._refusals, self.work.job, self._sink, at_end=at_end)

    @contextmanager
    def _ends_alone(self) -> Iterator[None]:
        """Handles a destination's error: a refusal ends this user's import; an unreachable destination ends the run."""
        try:
            yield
        except SinkError as error:
            if error.retry:
                raise
            self.error = self.error or error

    def finish(self) -> RunUser:
        """Ends the import: prunes, deletes rejects that must not stay, and writes the end to the job's row.

        Raises SinkBusy where the destination is away.
        """
        self.stop_reading()
        self.error = self.error or self._nothing_found()
        if self._end is not None:
            self._look_at_refusals(at_end=True)
            with self._ends_alone():
                self._prune()
        with self._ends_alone():
            self._withdraw_refused()
        self._note_what_is_not_read()
        with self._ends_alone():
            self._end_job()
        self._finished = True
        return self._ended_user()

    def abandon(self, error: ImporterError) -> None:
        """Ends the import with `error` after its run was left, as far as the destination can be reached.

        An import that has finished stays as it ended. An error that it had before stays the reason, unless somebody has
        asked to stop.
        """
        if self._finished:
            return
        self._finished = True
        if self.error is None or isinstance(error, Interrupted):
            self.error = error
        for step in (self._withdraw_refused, self._end_job):
            with suppress(ImporterError):  # that the import has failed matters more
                step()

    def _prune(self) -> None:
        """Prunes only after a complete export: an incomplete one may lack conversations that still exist."""
        if self.work.prune and self.error is None and self.state == "complete":
            self.pruned = self._sink.prune(self.work.job)
            self.counts.chunks_deleted += self.pruned.chunks

    def _withdraw_refused(self) -> None:
        """Deletes the rejects that an import with this error must not leave."""
        self._withdrawn = code_to_withdraw(self.error, self._refusals, self.work.job, self._sink)
        self._withdraw()

    def _withdraw(self) -> None:
        if self._withdrawn is not None:
            withdraw(self._withdrawn, self._refusals, self.counts, self.work.job, self._sink)
            self._rejects = [told for told in self._rejects if told.detail != f"{REFUSED}{self._withdrawn}"]

    def _note_what_is_not_read(self) -> None:
        """Counts the files of the export that might hold chats and are not read, by name."""
        if not self._counts_not_read or self._end is None:
            return
        names = (base_name(problem.where) for problem in self._end.problems if problem.kind == "not_read")
        self.counts.notes.update(f"not_read:{name[:MOST_NAME_CHARACTERS]}" for name in names)

    def _end_job(self) -> None:
        """Writes the end to the job's row, once.

        Also where the answer to its begin was lost: this process would keep a job alive that it knows nothing of.
        """
        if not self._may_have_begun or self._job_ended:
            return
        status, told = job_status(self.state), error_text(self.error)
        try:
            is_ours = self._sink.update_job(self.work.job.id, counts_as_dict(self.counts), status, told)
        except ImporterError:
            self._job_ended = True  # the answer may be lost, and the row may have it
            raise
        self._job_ended = True
        if not is_ours:
            if self.has_begun:
                self.error = self.error or lost()
            return
        if self._profile is not None and not self._is_retried(self._profile):
            self._profile.ends(self._sink, status, self._words_for_partial() if status == "partial" else told)
        # Workers end on their own: one may commit rejects after the first time. What comes after this one as well is
        # no proof for later imports, since the job has failed (see `Sink.takes_none`).
        self._withdraw()

    def _is_retried(self, profile: Profile) -> bool:
        return profile.is_retried and self.error is not None and may_pass(self.error)

    def _ended_user(self) -> RunUser:
        error = error_text(self.error) or first_problem(self._end_problems, self.counts) or "".join(self.warnings)
        return replace(self.user, state=self.state, error=error or None, counts=counts_as_dict(self.counts))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was requested beside the import and failed."""
        return (self._profile.warning,) if self._profile is not None and self._profile.warning else ()

    def stop_reading(self) -> None:
        """Stops reading the export."""
        self._reading.close()

    def _nothing_found(self) -> NotAnExport | None:
        end, counts = self._end, self.counts
        if end is None or self.work.retries:  # that none of the rejects is a conversation is nothing new
            return None
        seen, strangers = counts.seen, counts.not_a_conversation
        return nothing_found(self.user.source, seen, strangers, end.problems, may_be_empty=end.may_be_empty)

    @property
    def _end_problems(self) -> Sequence[Problem]:
        """The problems of the source; empty until it was read completely."""
        return () if self._end is None else self._end.problems

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The known problems of the source, and the first rejects."""
        return (*self._source_problems, *self._rejects)

    @property
    def _source_problems(self) -> Sequence[Problem]:
        return self._reading.problems if self._end is None else self._end.problems

    def _words_for_partial(self) -> str:
        return words_for_partial(self.counts.rejected, sum(not told.harmless for told in self._source_problems))

    @property
    def state(self) -> UserState:
        """How the import ends, or would end now."""
        if self._skipped:
            return "skipped"
        if self.error is not None:
            return "failed"
        return "partial" if self.counts.rejected or lacks(self._end_problems) else "complete"
