"""`ray-import reimport`: from options to a finished run over many users."""

import os
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import closing, nullcontext, redirect_stdout

from ray_import.bulk.alert import post
from ray_import.bulk.bucket import FoundUsers
from ray_import.bulk.loop import Run
from ray_import.bulk.plan import Plan, plan_of
from ray_import.bulk.progress import AllOf, RunReport, RunReporter
from ray_import.bulk.user_import import Imports
from ray_import.bulk.users import UserSource
from ray_import.bulk.watch import Watch
from ray_import.bulk.which import WhichUsers
from ray_import.bulk.will import LastWill
from ray_import.cluster.environment import joins_cluster
from ray_import.errors import Interrupted
from ray_import.importing.lease import Heartbeat
from ray_import.settings import ImportSettings
from ray_import.sink.port import Destination, RunUser, Sink
from ray_import.source.address import label_of
from ray_import.terminal.interruption import Interruption
from ray_import.terminal.run import before_ray, checked_destination
from ray_import.terminal.run_progress import passed_over_words, run_progress_on
from ray_import.terminal.streams import stderr

ACTIVE_PER_WORKER = 2
"""While one export is opened, another one's batches are worked on."""
RECYCLE_AFTER_BATCHES = 2_000


def reimport(
    which: WhichUsers,
    to: str,
    settings: ImportSettings,
    workers: int | None,
    max_connections: int | None,
    *,
    force: bool,
) -> RunReport:
    """Runs the imports of all users on Ray, or goes on with a run of the same that was interrupted."""
    destination = checked_destination(to, workers)
    with _watch(which) as watch:
        with closing(destination.open()) as sink:
            found = _found(which, sink, settings)
            if found.passed_over is not None:
                where = f"{len(found.users):,} users in {which.bucket}"
                stderr.print(f"{where}, passed over: {passed_over_words(found.passed_over)}", soft_wrap=True)
            run_id, known = _run_of(which, found.users, settings, sink)
            watch.begun(run_id, known)
            report = _on_ray(
                run_id, which.what, found, known, destination, sink, settings, workers, max_connections, force, watch
            )
        watch.ended(report)
    return report


def _watch(which: WhichUsers) -> Watch:
    """Tells ALERT_WEBHOOK. Raises ConfigError."""
    from ray_import.credentials import environment  # noqa: PLC0415 - a twentieth of a second for this command alone

    found = environment()
    url = found.alert_webhook.get_secret_value()
    return Watch(which.kind, lambda message: post(url, message), 60 * found.alert_stalled_minutes, LastWill(url))


def planned(which: WhichUsers, to: str, settings: ImportSettings, workers: int | None, *, force: bool) -> Plan:
    """What a run would do; writes nothing, and starts no Ray."""
    with closing(checked_destination(to, workers).open()) as sink:
        found = _found(which, sink, settings)
        goes_on = _interrupted(which, settings, sink)
        known = which.as_far_as_they_are(found.users, sink.run_users(goes_on)) if goes_on else []
        versions = {} if force else sink.versions(settings.rows_hash)
        return plan_of(found, known, versions, workers or os.cpu_count() or 1, goes_on)


def _found(which: WhichUsers, sink: Sink, settings: ImportSettings) -> FoundUsers:
    """Shows on a terminal that a bucket is listed: of many users that takes a while."""
    looks = which.bucket is not None and stderr.is_terminal
    with stderr.status(f"listing {which.bucket}") if looks else nullcontext():
        return which.found(sink, settings)


def _interrupted(which: WhichUsers, settings: ImportSettings, sink: Sink) -> str | None:
    """The run over the same users that has not ended."""
    last = sink.last_run(which.what, settings.rows_hash)
    return last[0] if last is not None and last[1] == "running" else None


def _run_of(
    which: WhichUsers, users: Sequence[UserSource], settings: ImportSettings, sink: Sink
) -> tuple[str, list[RunUser]]:
    """The run that was interrupted, or a new one, with its users as far as they are."""
    run_id = _interrupted(which, settings, sink) or str(uuid.uuid4())
    named = [RunUser(user.user_id, label_of(user.source)) for user in users]
    in_run = sink.open_run(run_id, which.what, settings.rows_hash, named)
    return run_id, which.as_far_as_they_are(users, in_run)


def _on_ray(
    run_id: str,
    what: str,
    found: FoundUsers,
    known: Sequence[RunUser],
    destination: Destination,
    sink: Sink,
    settings: ImportSettings,
    workers: int | None,
    max_connections: int | None,
    force: bool,
    watch: RunReporter,
) -> RunReport:
    before_ray(destination)
    from ray_import.cluster.job_metadata import JobMetadata  # noqa: PLC0415 - imports Ray
    from ray_import.cluster.machines import Machines  # noqa: PLC0415 - imports Ray
    from ray_import.cluster.metrics import MetricsReporter  # noqa: PLC0415 - imports Ray
    from ray_import.cluster.pool import Recycling, WorkerPool  # noqa: PLC0415 - takes half a second to import
    from ray_import.cluster.reading import WORKER_CPUS, RayReaders  # noqa: PLC0415
    from ray_import.cluster.session import available_cpus, ray_session  # noqa: PLC0415

    sources = {user.user_id: user.source for user in found.users}
    versions = sink.versions(settings.rows_hash)
    with redirect_stdout(sys.stderr), Interruption() as interruption:
        stderr.print("joining Ray …" if joins_cluster() else "starting Ray …", style="dim")
        bytes_per_worker = settings.flow.bytes_per_worker * 3  # what is in flight, and what readers have ready
        with ray_session(workers, bytes_per_worker * (workers or available_cpus())) as session:
            interruption.listen()
            readers = RayReaders(session.node_id, settings)
            imports = Imports(readers, sink, settings, sources, versions, force)

            def lanes() -> int:
                most = session.lanes if destination.on_this_machine else session.lanes_anywhere
                return min(most(workers), max_connections or sys.maxsize)

            def grow() -> int:
                pool.grow_to(lanes())
                return ACTIVE_PER_WORKER * pool.workers

            recycling = Recycling(RECYCLE_AFTER_BATCHES)
            machines = Machines.of(session, destination, workers, max_connections)
            if machines.have_to_come:
                stderr.print("waiting for a machine …", style="dim")
            with machines.asked_for():
                pool = WorkerPool(
                    session, lanes(), settings.flow, destination, sink, recycling, WORKER_CPUS, machines.start_seconds
                )
                began = time.monotonic()
                with closing(pool), run_progress_on(stderr) as reporter:
                    told = AllOf((watch, MetricsReporter(pool, readers), JobMetadata(run_id), reporter))
                    run = Run(run_id, known, imports, pool, sink, told, ACTIVE_PER_WORKER * pool.workers, grow)
                    _to_the_end(run, destination)
            interruption.ignore()
            sink.close_run(run_id, "complete")
            seconds = time.monotonic() - began
            return RunReport(
                run_id, what, destination.url, run.users, run.bytes_read, seconds, pool.workers, found.passed_over
            )


def _to_the_end(run: Run, destination: Destination) -> None:
    try:
        with Heartbeat(lambda: destination.open(create=False), run.running):
            run.to_the_end()
    except KeyboardInterrupt:
        raise Interrupted("The run was interrupted.", "What was in stays; run it again to go on from there.") from None
