"""A run over one user alone, with the summary of its import as the result."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol

from ray_import.destinations.base import RunUser, Sink
from ray_import.errors import ImporterError, Interrupted
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.engine import Run
from ray_import.pipeline.executor import Workers
from ray_import.pipeline.profile_table import Profile
from ray_import.pipeline.progress import Progress, Reporter
from ray_import.pipeline.reading import read_opened
from ray_import.pipeline.report import Summary, job_status
from ray_import.pipeline.sources import ConversationSource
from ray_import.pipeline.tally import bounded_counts
from ray_import.pipeline.user_import import UserImport


class OwnWorkers(Workers, Protocol):
    """Workers that are started for one import and stopped after it."""

    @property
    def workers(self) -> int:
        """How many there are."""

    def close(self) -> None:
        """Stops the work at once."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """Shows what was read of the bytes: a run counts all bytes of a user who failed as done."""

    user_import: UserImport
    reporter: Reporter

    def show(self, progress: Progress) -> None:
        read, total = self.user_import.bytes_read, self.user_import.bytes_total
        self.reporter.show(replace(progress, bytes_share=min(1.0, read / total) if total else None))


def import_user(
    source: ConversationSource,
    work: BatchContext,
    sink: Sink,
    destination: str,
    make_workers: Callable[[], OwnWorkers],
    reporter: Reporter,
    heartbeat: AbstractContextManager[object] | None = None,
    profile: Profile | None = None,
) -> Summary:
    """Imports `source`, which is read in this process, without a row in the ledger of runs.

    Errors that are expected (ImporterError, Ctrl-C, SIGTERM) end as a summary with status `failed` and the error
    in it: what was committed until then stays. Raises ImportRunning before anything is done, also before
    `make_workers`, which may take seconds. A fault of ours is raised after the job's row names its type. Between the
    updates of the job's row, `heartbeat` keeps the lease.
    """
    user = RunUser(work.job.user_id, source.label)
    one = UserImport(user, work, read_opened(source, work.settings), "", sink, profile, counts_not_read=False)
    one.begin()
    workers, began = 0, time.monotonic()
    try:
        with heartbeat or nullcontext():
            one.begin_profile()
            with closing(make_workers()) as pool:
                workers, began = pool.workers, time.monotonic()
                _run_over(one, pool, reporter).to_the_end()
    except ImporterError as error:
        one.abandon(error)
    except (KeyboardInterrupt, SystemExit):  # the latter is what Ray makes of SIGTERM while it starts
        one.abandon(
            Interrupted("The import was interrupted.", "Committed conversations are kept; run it again to resume.")
        )
    except BaseException as fault:
        one.abandon(ImporterError(type(fault).__name__))
        raise
    return Summary(
        import_id=work.job.id,
        user_id=work.job.user_id,
        source=source.label,
        destination=destination,
        status=job_status(one.state),
        counts=bounded_counts(one.counts),
        bytes_read=one.bytes_read,
        seconds=time.monotonic() - began,
        workers=workers,
        problems=one.problems,
        pruned=one.pruned,
        error=one.error,
        warnings=one.warnings,
    )


def _run_over(one: UserImport, workers: Workers, reporter: Reporter) -> Run:
    def the_one(user: RunUser, *, gives_up: bool) -> UserImport:  # noqa: ARG001 - `MakeImport`
        return one

    return Run([one.user], the_one, workers, lambda _users: None, _Shown(one, reporter), 1, fails_fast=True)
