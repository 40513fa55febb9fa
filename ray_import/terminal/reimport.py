"""`ray-import reimport`: from options to a finished run over many users."""

import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import closing, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from ray_import.bulk.alert import alert
from ray_import.bulk.loop import Run
from ray_import.bulk.progress import LACKING_STATES, RunReport
from ray_import.bulk.user_import import Imports
from ray_import.bulk.users import UserSource, read_manifest, selected, unique
from ray_import.cluster.environment import joins_cluster
from ray_import.errors import ConfigError, Interrupted
from ray_import.importing.lease import Heartbeat
from ray_import.settings import ImportSettings
from ray_import.sink.port import Destination, RunUser, Sink
from ray_import.source.address import label_of
from ray_import.terminal.interruption import Interruption
from ray_import.terminal.run import before_ray, checked_destination
from ray_import.terminal.run_progress import run_progress_on
from ray_import.terminal.streams import stderr

ACTIVE_PER_WORKER = 2
"""While one export is opened, another one's batches are worked on."""
RECYCLE_AFTER_BATCHES = 2_000


@dataclass(frozen=True, slots=True)
class WhichUsers:
    """Where the users of a run come from, and which of them it is over. `since` is in seconds since 1970."""

    manifest: Path | None = None
    table: str | None = None
    source_column: str | None = None
    only: tuple[str, ...] = ()
    failed: bool = False
    since: float | None = None
    limit: int | None = None

    @property
    def what(self) -> str:
        """How the users are called in the run's row: the same for the same users."""
        return str(self.manifest.absolute()) if self.manifest else f"{self.table}.{self.source_column}"

    def found(self, sink: Sink, settings: ImportSettings) -> list[UserSource]:
        """The users, each with a source. Raises ConfigError."""
        if (self.manifest is None) == (self.table is None) or (self.table is not None and not self.source_column):
            raise ConfigError(
                "It is not said whose exports to import.",
                "Use --users FILE, or --from-table TABLE with --source-column COLUMN.",
            )
        if self.manifest is not None:
            users = read_manifest(self.manifest)
        else:
            named = sink.users_of(self.table or "", self.source_column or "")
            users = unique([UserSource(user_id, source) for user_id, source in named])
        if self.failed:
            bad = self._failed_in_the_last(sink, settings)
            users = [user for user in users if user.user_id in bad]
        return selected(users, self.only, self.since, self.limit)

    def _failed_in_the_last(self, sink: Sink, settings: ImportSettings) -> set[str]:
        last = sink.last_run(self.what, settings.rows_hash)
        return {user.user_id for user in sink.run_users(last[0]) if user.state in LACKING_STATES} if last else set()


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
    with closing(destination.open()) as sink:
        users = which.found(sink, settings)
        run_id, known = _run_of(which, users, settings, sink)
        report = _on_ray(run_id, which.what, users, known, destination, sink, settings, workers, max_connections, force)
    from ray_import.credentials import environment  # noqa: PLC0415 - a twentieth of a second for this command alone

    alert(report, environment().alert_webhook.get_secret_value())
    return report


def planned(which: WhichUsers, to: str, settings: ImportSettings) -> list[UserSource]:
    """The users that a run would be over; writes nothing."""
    with closing(checked_destination(to, None).open()) as sink:
        return which.found(sink, settings)


def _run_of(
    which: WhichUsers, users: Sequence[UserSource], settings: ImportSettings, sink: Sink
) -> tuple[str, list[RunUser]]:
    """The run that was interrupted, or a new one, with its users as far as they are."""
    last = sink.last_run(which.what, settings.rows_hash)
    run_id = last[0] if last is not None and last[1] == "running" else str(uuid.uuid4())
    named = [RunUser(user.user_id, label_of(user.source)) for user in users]
    wanted = {user.user_id for user in users}
    found = sink.open_run(run_id, which.what, settings.rows_hash, named)
    return run_id, [_again(user) if which.failed else user for user in found if user.user_id in wanted]


def _again(user: RunUser) -> RunUser:
    return RunUser(user.user_id, user.source) if user.state in LACKING_STATES else user


def _on_ray(
    run_id: str,
    what: str,
    users: Sequence[UserSource],
    known: Sequence[RunUser],
    destination: Destination,
    sink: Sink,
    settings: ImportSettings,
    workers: int | None,
    max_connections: int | None,
    force: bool,
) -> RunReport:
    before_ray(destination)
    from ray_import.cluster.machines import Machines  # noqa: PLC0415 - imports Ray
    from ray_import.cluster.metrics import MetricsReporter  # noqa: PLC0415
    from ray_import.cluster.pool import Recycling, WorkerPool  # noqa: PLC0415 - takes half a second to import
    from ray_import.cluster.reading import WORKER_CPUS, RayReaders  # noqa: PLC0415
    from ray_import.cluster.session import available_cpus, ray_session  # noqa: PLC0415

    sources = {user.user_id: user.source for user in users}
    versions = sink.versions(settings.rows_hash)
    with redirect_stdout(sys.stderr), Interruption() as interruption:
        stderr.print("joining Ray …" if joins_cluster() else "starting Ray …", style="dim")
        bytes_per_worker = settings.flow.bytes_per_worker * 3  # what is in flight, and what readers have ready
        with ray_session(workers, bytes_per_worker * (workers or available_cpus())) as session:
            interruption.listen()
            imports = Imports(RayReaders(session.node_id, settings), sink, settings, sources, versions, force)

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
                    metered = MetricsReporter(pool, reporter)
                    run = Run(run_id, known, imports, pool, sink, metered, ACTIVE_PER_WORKER * pool.workers, grow)
                    _to_the_end(run, destination)
            interruption.ignore()
            sink.close_run(run_id, "complete")
            seconds = time.monotonic() - began
            return RunReport(run_id, what, destination.url, run.users, run.bytes_read, seconds, pool.workers)


def _to_the_end(run: Run, destination: Destination) -> None:
    try:
        with Heartbeat(lambda: destination.open(create=False), run.running):
            run.to_the_end()
    except KeyboardInterrupt:
        raise Interrupted("The run was interrupted.", "What was in stays; run it again to go on from there.") from None
