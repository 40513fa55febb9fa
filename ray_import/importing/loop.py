"""An import from its source to its summary: read, hand out, count, and say how it ended."""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import replace

from ray_import.errors import ImporterError, Interrupted, SourceRefused
from ray_import.importing.batching import batches_of
from ray_import.importing.executor import Executor
from ray_import.importing.lease import begin, lost
from ray_import.importing.pace import Pace, Step
from ray_import.importing.profile import Profile, words_for_partial
from ray_import.importing.progress import Progress, Reporter
from ray_import.importing.refusals import code_to_withdraw, refused_by_all, withdraw
from ray_import.importing.sources import ConversationSource
from ray_import.importing.summary import Summary, counts_as_dict
from ray_import.importing.tally import add_counts, bounded_counts
from ray_import.importing.work import Work
from ray_import.records import BatchResult, Counts, Problem, lacks, reject_problem
from ray_import.sink.port import JobStatus, Pruned, Sink
from ray_import.sink.refusals import REFUSED, Refusals

TELL_EVERY_SECONDS = 0.2
JOB_ROW_EVERY_SECONDS = 2.0
REJECTS_TOLD = 20
"""Rejects that are named in the summary; all of them are counted and kept in the destination."""


def run_import(
    source: ConversationSource,
    work: Work,
    sink: Sink,
    destination: str,
    make_executor: Callable[[], Executor],
    reporter: Reporter,
    heartbeat: AbstractContextManager[object] | None = None,
    profile: Profile | None = None,
) -> Summary:
    """Imports `source`. However that ends, the job's row says so before this returns.

    Errors that are expected (ImporterError, Ctrl-C, SIGTERM) end as a summary with status `failed` and the error
    in it: what was committed until then stays. A fault of ours is raised, and so is ImportRunning, before
    anything is done: before `make_executor`, too, which may take seconds. Between the loop's own signs of life,
    `heartbeat` gives them.
    """
    begin(sink, work.of, source.label)
    run = _Run(source, work, sink, reporter, profile)
    workers = 0
    error: ImporterError | None = None
    try:
        with heartbeat or nullcontext():
            run.tell_profile()
            with closing(make_executor()) as executor:
                workers = executor.workers
                run.to_the_end(executor)
    except ImporterError as expected:
        error = expected
    except (KeyboardInterrupt, SystemExit):  # the latter is what Ray makes of SIGTERM while it starts
        error = Interrupted("The import was interrupted.", "Committed conversations are kept; run it again to resume.")
    except BaseException as fault:
        run.end_job("failed", type(fault).__name__)
        raise
    code = run.code_to_withdraw(error)
    run.withdraw_rejects(code)
    summary = run.summary(destination, workers, error)
    try:
        is_ours = run.end_job(summary.status, None if error is None else _in_a_word(error))
    except ImporterError as untold:  # the destination is away: nobody knows whether the job's row says `complete`
        return run.summary(destination, workers, untold)
    summary = replace(summary, warnings=run.warnings)
    if is_ours:
        # Workers end on their own: one may commit rejects after the first time. What comes after this one as well is
        # no proof for later imports, since the job has failed (see `Sink.takes_none`).
        run.withdraw_rejects(code)
    return summary if is_ours or error is not None else run.summary(destination, workers, lost())


def _in_a_word(error: ImporterError) -> str:
    return "interrupted" if isinstance(error, Interrupted) else error.message


class _Run:
    def __init__(
        self, source: ConversationSource, work: Work, sink: Sink, reporter: Reporter, profile: Profile | None
    ) -> None:
        self._source = source
        self._profile = profile
        self._pruned: Pruned | None = None
        self._work = work
        self._sink = sink
        self._reporter = reporter
        self._counts = Counts()
        self._rejects: list[Problem] = []
        self._refusals = Refusals()
        self._pace = Pace()
        self._waited = 0.0
        self._began = self._told = self._job_told = time.monotonic()

    def to_the_end(self, executor: Executor) -> None:
        """Reads no further than there is room for: so a slow destination stalls the reading.

        Raises NotAnExport where there was no conversation, EverythingRefused where the destination takes none, and
        what the executor raises; SourceRefused when all that was read until then is in.
        """
        self._began = self._told = time.monotonic()
        refused: SourceRefused | None = None
        try:
            self._hand_out(executor)
        except SourceRefused as error:
            refused = error
        while executor.in_flight:
            self._wait(executor)
        self._tell(time.monotonic(), slowest=None)
        if refused is not None:
            raise refused
        self._source.refuse_nothing_found(self._counts.seen, self._counts.not_a_conversation)
        self._stop_if_everything_is_refused(at_end=True)
        self._prune()

    def _hand_out(self, executor: Executor) -> None:
        for batch in batches_of(self._source.conversations(), self._work.settings.flow.batch_bytes):
            while not executor.has_room(len(batch.payload)):
                self._wait(executor)
            executor.submit(batch)
            del batch  # its payload may be large, and the next one is read now
            self._collect(executor.wait(0))

    def _prune(self) -> None:
        """Not by an export that may lack something: what is missing in it may have been there."""
        if self._work.prune and not lacks(self._problems):
            self._pruned = self._sink.prune(self._work.of)
            self._counts.chunks_deleted += self._pruned.chunks

    @property
    def _problems(self) -> tuple[Problem, ...]:
        return (*self._source.problems, *self._rejects)

    def _wait(self, executor: Executor) -> None:
        """There is nothing to do but to wait for the workers."""
        began = time.monotonic()
        results = executor.wait(TELL_EVERY_SECONDS)
        self._waited += time.monotonic() - began
        self._collect(results)

    def _collect(self, results: list[BatchResult]) -> None:
        for result in results:
            add_counts(self._counts, result.counts)
            self._refusals.add(result)
            self._pace.add(result)
            for reject in result.rejects[: REJECTS_TOLD - len(self._rejects)]:
                self._rejects.append(reject_problem(reject.member, reject.position, reject.reason))
        self._stop_if_everything_is_refused()
        now = time.monotonic()
        if now - self._told >= TELL_EVERY_SECONDS:
            self._pace.look(now - self._told, self._waited)
            self._waited = 0.0
            self._tell(now, self._pace.slowest)
        if now - self._job_told >= JOB_ROW_EVERY_SECONDS:
            self.tell_job()

    def _stop_if_everything_is_refused(self, *, at_end: bool = False) -> None:
        error = refused_by_all(self._refusals, self._work.of, self._sink, at_end=at_end)
        if error is not None:
            raise error

    def code_to_withdraw(self, error: ImporterError | None) -> str | None:
        """The code whose rejects must not stay. That the import failed matters more than if the destination cannot be
        asked."""
        with suppress(ImporterError):
            return code_to_withdraw(error, self._refusals, self._work.of, self._sink)
        return None

    def withdraw_rejects(self, code: str | None) -> None:
        """Nothing that is refused with this code stays as a reject; that it cannot be deleted is no error."""
        if code is None:
            return
        with suppress(ImporterError):
            withdraw(code, self._refusals, self._counts, self._work.of, self._sink)
            self._rejects = [told for told in self._rejects if told.detail != f"{REFUSED}{code}"]

    def _tell(self, now: float, slowest: Step | None) -> None:
        self._told = now
        self._reporter.show(self._progress(now, slowest))

    def _progress(self, now: float, slowest: Step | None) -> Progress:
        read, total, counts = self._source.bytes_read, self._source.bytes_total, self._counts
        return Progress(
            states=Counter(running=1),
            bytes_read=read,
            conversations=counts.seen,
            chunks_written=counts.chunks_written,
            rejects=counts.rejected,
            seconds=now - self._began,
            bytes_share=min(1.0, read / total) if total else None,
            slowest=slowest,
        )

    def tell_job(self) -> None:
        """Brings the running job's row up to date. Raises LeaseLost where it is not this import's any more."""
        if not self._sink.update_job(self._work.of.id, counts_as_dict(self._counts)):
            raise lost()
        if self._profile is not None:
            total = self._source.bytes_total
            self._profile.goes_on(self._sink, self._source.bytes_read / total if total else None)
        self._job_told = time.monotonic()

    def tell_profile(self) -> None:
        """Says in the service's row that the import begins."""
        if self._profile is not None:
            self._profile.begins(self._sink)

    def end_job(self, status: JobStatus, error: str | None) -> bool:
        """Says in the job's row how the import ended: False where that is another's by now.

        Where the import failed, that matters more than if this does.
        """
        try:
            is_ours = self._sink.update_job(self._work.of.id, counts_as_dict(self._counts), status, error)
        except ImporterError:
            if status != "failed":
                raise
            return True
        if is_ours and self._profile is not None:
            self._profile.ends(self._sink, status, self._lacking() if status == "partial" else error)
        return is_ours

    def _lacking(self) -> str:
        return words_for_partial(self._counts.rejected, sum(not told.harmless for told in self._source.problems))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was asked for beside the import and could not be done."""
        return (self._profile.warning,) if self._profile is not None and self._profile.warning else ()

    def summary(self, destination: str, workers: int, error: ImporterError | None) -> Summary:
        """How the import ended."""
        problems = self._problems
        status: JobStatus = "failed" if error else "partial" if lacks(problems) else "complete"
        return Summary(
            import_id=self._work.of.id,
            user_id=self._work.of.user_id,
            source=self._source.label,
            destination=destination,
            status=status,
            counts=bounded_counts(self._counts),
            bytes_read=self._source.bytes_read,
            seconds=time.monotonic() - self._began,
            workers=workers,
            problems=problems,
            pruned=self._pruned,
            error=error,
        )
