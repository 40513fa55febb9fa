"""`ray-import run` and `retry-rejects`: from options to a finished import."""

import os
import sys
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext, redirect_stdout
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING

from ray_import.chatgpt.files import shown
from ray_import.chunks.rows import ImportJob
from ray_import.cli import supervision
from ray_import.cli.executor_choice import chosen, size_and_packing
from ray_import.cli.options import checked_user
from ray_import.cli.output import stderr
from ray_import.cli.progress import progress_on
from ray_import.cluster.environment import available_cpus, inside_job, joins_cluster, prepare_environment
from ray_import.destinations.base import Destination, KeptReject, Sink
from ray_import.destinations.registry import is_absolute, parse_destination
from ray_import.errors import ConfigError
from ray_import.inline.crash_marks import Marks, marks_folder
from ray_import.inline.estimate import Asked, Choice
from ray_import.inline.workers import InlineWorkers
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.bucket import SelectedUsers
from ray_import.pipeline.interruption import Interruption
from ray_import.pipeline.lease import Heartbeat
from ray_import.pipeline.one_user import OwnWorkers, import_user
from ray_import.pipeline.plan import Plan, plan_of
from ray_import.pipeline.profile_table import Profile, profile_of
from ray_import.pipeline.progress import Reporter
from ray_import.pipeline.report import Summary
from ray_import.pipeline.sources import ConversationSource, KeptRejects, open_sources
from ray_import.pipeline.users import UserSource
from ray_import.settings import ImportOptions, ImportSettings
from ray_import.source.address import without_secrets

if TYPE_CHECKING:
    from ray_import.cluster.session import Session

NICENESS = 15
"""Of Ray's workers with --nice, and of this process."""

Shown = Callable[[], AbstractContextManager[Reporter]]
"""Where the progress of one import is shown."""


def import_exports(
    named: Sequence[str],
    to: str,
    user_id: str,
    settings: ImportSettings,
    workers: int | None,
    max_connections: int | None,
    options: ImportOptions,
    *,
    executor: Asked = "auto",
    nice: bool = False,
    reporter: Reporter | None = None,
) -> Summary:
    """Runs one import, showing its progress: to `reporter`, by default on standard error. Raises an ImporterError where
    it could not begin.

    What can be wrong is looked for in the order of its cost: options, source, destination, Ray.
    """
    checked_user(user_id)
    destination = checked_destination(to, workers)
    refuse_excluding(executor, workers)
    sources = open_sources(named, settings.read)
    choice = chosen(executor, workers, *size_and_packing(named, sources.bytes_total))
    if choice.executor == "ray":
        supervision.begin()
        supervision.writes_to(to)
    with closing(destination.open()) as sink:
        work = BatchContext(_import_of(user_id), settings, prune=options.prune, force=options.force)
        profile = profile_of(work.job, options)
        (summary,) = _imports(
            choice,
            [(sources, work)],
            sink,
            destination,
            workers,
            max_connections,
            profile,
            nice=nice,
            reporter=reporter,
        )
        return summary


def refuse_excluding(executor: Asked, workers: int | None) -> None:
    """Raises ConfigError for options of which one excludes the other, before anything is opened."""
    chosen(executor, workers, None, "unknown")


def planned(named: Sequence[str], to: str, user_id: str, settings: ImportSettings, workers: int | None) -> Plan:
    """What an import of these sources would read; writes nothing, and starts no Ray. A row of the plan is a source."""
    checked_user(user_id)
    with closing(checked_destination(to, workers).look()):
        found = SelectedUsers([UserSource(user_id, source) for source in named])
        return plan_of(found, [], {}, workers or available_cpus(), None, settings.read.sources)


def retry_kept(
    to: str, user_id: str | None, settings: ImportSettings, workers: int | None, executor: Asked = "auto"
) -> Generator[Summary]:
    """The same with what earlier imports of this user, or of each user, could not import: one import a user, in the
    order of their ids. The first that fails is the last."""
    if user_id is not None:
        checked_user(user_id)
    destination = checked_destination(to, workers)
    refuse_excluding(executor, workers)
    with closing(destination.open(create=False)) as sink:
        size_bytes = sum(reject.size_bytes for reject in sink.rejects(user_id))
    choice = chosen(executor, workers, size_bytes, "plain")
    if choice.executor == "ray":
        supervision.begin()  # nothing is open that two processes must not share
        supervision.writes_to(to)
    with closing(destination.open(create=False)) as sink:
        kept: dict[str, list[KeptReject]] = {}
        for reject in sink.rejects(user_id):
            kept.setdefault(reject.user_id, []).append(reject)
        imports = [
            (KeptRejects(kept[user], sink), BatchContext(_import_of(user), settings, retries=True))
            for user in sorted(kept)
        ]
        if imports:
            yield from _imports(choice, imports, sink, destination, workers)


def _import_of(user_id: str) -> ImportJob:
    return ImportJob(str(uuid.uuid4()), user_id, time.time())


def checked_destination(to: str, workers: int | None) -> Destination:
    """The destination of an import by so many workers. Raises ConfigError."""
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers {workers} is too small: the minimum is 1.")
    destination = parse_destination(to)
    supervision.writes_to(to)
    if inside_job() and not is_absolute(to):
        raise ConfigError(
            f"--to {to} is relative, but a job runs in a temporary copy of its folder.",
            "Give an absolute path, for example sqlite:////data/chunks.db.",
        )
    return destination


def before_ray(destination: Destination, *, nice: bool) -> None:
    """What is done before Ray is imported: that takes half a second, so all else is known to be right by then.

    Raises ConfigError.
    """
    destination.export_password(to_children=not joins_cluster())
    prepare_environment(nice=nice)
    # Ray writes it down (see `ray_session`), as UTF-8.
    sys.argv = [shown(without_secrets(argument)) for argument in sys.argv]


def _imports(
    choice: Choice,
    imports: Sequence[tuple[ConversationSource, BatchContext]],
    sink: Sink,
    destination: Destination,
    workers: int | None,
    max_connections: int | None = None,
    profile: Profile | None = None,
    *,
    nice: bool = False,
    reporter: Reporter | None = None,
) -> Generator[Summary]:
    """Runs the imports one after the other, up to the first that fails."""
    shown: Shown = partial(progress_on, stderr)
    if reporter is not None:
        shown = partial(_nobody_else, reporter)
    if choice.executor == "ray":
        return _imports_with_ray(
            choice, imports, sink, destination, workers, max_connections, profile, shown, nice=nice
        )
    return _imports_inline(choice, imports, sink, destination, profile, shown, nice=nice)


def _nobody_else(reporter: Reporter) -> AbstractContextManager[Reporter]:
    return nullcontext(reporter)


def _imports_inline(
    choice: Choice,
    imports: Sequence[tuple[ConversationSource, BatchContext]],
    sink: Sink,
    destination: Destination,
    profile: Profile | None,
    shown: Shown,
    *,
    nice: bool,
) -> Generator[Summary]:
    """In this process."""
    be_nice(nice)
    _tell(f"importing without Ray ({choice.why})")
    marks = marks_folder()
    if marks is None:
        stderr.print("There is no folder for marks: set XDG_STATE_HOME to one that this user can write to.")

    def make_workers(work: BatchContext) -> InlineWorkers:
        return InlineWorkers(destination, sink, work.settings.flow, Marks(marks), _tell)

    with Interruption() as interruption:
        yield from _one_by_one(imports, sink, destination, make_workers, profile, shown, interruption)


def be_nice(nice: bool) -> None:
    """Gives other programs precedence over this process, if it is asked for."""
    if nice:
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)


def _tell(what: str) -> None:
    stderr.print(what, style="dim")


def _imports_with_ray(
    choice: Choice,
    imports: Sequence[tuple[ConversationSource, BatchContext]],
    sink: Sink,
    destination: Destination,
    workers: int | None,
    max_connections: int | None,
    profile: Profile | None,
    shown: Shown,
    *,
    nice: bool,
) -> Generator[Summary]:
    """On one Ray."""
    before_ray(destination, nice=nice)
    from ray_import.cluster.pool import WorkerPool  # noqa: PLC0415
    from ray_import.cluster.session import ray_session  # noqa: PLC0415

    # Ray prints its own troubles to standard output, which is for results.
    with redirect_stdout(sys.stderr), Interruption() as interruption, ExitStack() as ray:

        @cache
        def session() -> "Session":
            """Only now: nobody waits for Ray to hear that an import of this user is running."""
            _tell(f"{'joining' if joins_cluster() else 'starting'} Ray … ({choice.why})")
            lanes_bytes = imports[0][1].settings.flow.bytes_per_worker * (workers or available_cpus())
            joined = ray.enter_context(ray_session(workers, lanes_bytes))
            interruption.listen()
            lanes = joined.lanes(workers)
            if workers is not None and lanes < workers:
                stderr.print(f"{lanes} workers instead of {workers}: no more CPUs are available here.")
            return joined

        def pool(work: BatchContext) -> WorkerPool:
            lanes = min(session().lanes(workers), max_connections or sys.maxsize)
            return WorkerPool(session(), lanes, work.settings.flow, destination, sink)

        yield from _one_by_one(imports, sink, destination, pool, profile, shown, interruption)


def _one_by_one(
    imports: Sequence[tuple[ConversationSource, BatchContext]],
    sink: Sink,
    destination: Destination,
    make_workers: Callable[[BatchContext], OwnWorkers],
    profile: Profile | None,
    shown: Shown,
    interruption: Interruption,
) -> Generator[Summary]:
    for number, (source, work) in enumerate(imports, start=1):
        with shown() as reporter:
            summary = import_user(
                source,
                replace(work, source=source.label),
                sink,
                destination.url,
                partial(make_workers, work),
                reporter,
                Heartbeat(lambda: destination.open(create=False)),
                profile,
            )
        if summary.error is not None or number == len(imports):
            interruption.ignore()
            yield summary
            return
        yield summary
