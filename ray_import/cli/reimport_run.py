"""`ray-import reimport`: from options to a finished run over many users."""

import sys
from collections.abc import Callable
from contextlib import closing, redirect_stdout

from rich.console import Console

from ray_import.cli.executor_choice import chosen, size_and_packing
from ray_import.cli.output import stderr
from ray_import.cli.progress import UsersReporter, users_progress_on
from ray_import.cli.run import be_nice, before_ray, checked_destination, refuse_excluding
from ray_import.cli.run_tables import passed_over_words
from ray_import.cluster.environment import available_cpus, inside_job, joins_cluster
from ray_import.destinations.base import DONE_STATES, Destination, RunKey, Sink
from ray_import.errors import ConfigError, Interrupted
from ray_import.inline.crash_marks import marks_folder
from ray_import.inline.estimate import Asked, Choice
from ray_import.pipeline.alerts import DeadMansSwitch, Watch, post
from ray_import.pipeline.bucket import SelectedUsers
from ray_import.pipeline.bulk_run import BulkRun, opened_run
from ray_import.pipeline.interruption import Interruption
from ray_import.pipeline.plan import Plan, plan_of
from ray_import.pipeline.profile_table import check_profiles
from ray_import.pipeline.progress import Reporter
from ray_import.pipeline.report import RunReport
from ray_import.pipeline.selection import UserSelection
from ray_import.settings import ImportOptions, ImportSettings


def reimport(
    which: UserSelection,
    to: str,
    settings: ImportSettings,
    workers: int | None,
    max_connections: int | None,
    options: ImportOptions,
    *,
    executor: Asked = "auto",
    nice: bool = False,
) -> RunReport:
    """Runs the imports of all users, or continues a run of the same that was interrupted."""
    destination = _checked(which, to, workers)
    refuse_excluding(executor, workers)
    _tell_of_proxy(settings)
    with _watch(which) as watch:
        with users_progress_on(stderr) as progress, _opened(destination.open, progress) as sink:
            found = _found(which, sink, settings, progress)
            if found.passed_over is not None:
                where = f"{len(found.users):,} users in {which.bucket or which.table}"
                stderr.print(f"{where}, skipped: {passed_over_words(found.passed_over)}", soft_wrap=True)
            if found.users:
                progress.waits_for("checking the profile table")
                check_profiles(sink, options, found.users[0].user_id)
            progress.waits_for("registering the users")
            with (
                Interruption() as interruption,
                opened_run(which, found, settings, destination, sink, options) as opened,
            ):
                watch.begun(opened.id, opened.users)
                if opened.is_done:  # nobody needs a machine, or waits for one
                    opened.ended()
                    report = opened.report(opened.users, bytes_read=0, seconds=0.0, workers=0)
                else:
                    choice = _chosen(executor, workers, opened)
                    stderr.print(f"executor: {choice.executor} ({choice.why})", style="dim")
                    if choice.executor == "ray":
                        report = _on_ray(opened, workers, max_connections, watch, progress, interruption, nice=nice)
                    else:
                        report = _inline(opened, watch, progress, interruption, nice=nice)
        watch.ended(report)
    return report


def _checked(which: UserSelection, to: str, workers: int | None) -> Destination:
    """The destination. Raises ConfigError where a run into it, or over these users, cannot be."""
    destination = checked_destination(to, workers)
    if inside_job() and which.manifest is not None and not which.manifest.is_absolute():
        raise ConfigError(
            f"--users {which.manifest} is relative, but each job runs in another working directory.",
            "Give an absolute path: an interrupted run is resumed by the path of its file.",
        )
    return destination


def _tell_of_proxy(settings: ImportSettings) -> None:
    if not settings.read.sources.public_only:
        return
    from ray_import.source.ssrf_guard import sees_no_names  # noqa: PLC0415 - a fifth of a second

    if sees_no_names(settings.read.sources):
        stderr.print(
            "--public-only: host names are resolved by the proxy, which has to reject internal addresses itself.",
            soft_wrap=True,
        )


def _watch(which: UserSelection) -> Watch:
    """Tells ALERT_WEBHOOK of the run once it is entered. Raises ConfigError."""
    # A twentieth of a second, for this command alone.
    from ray_import.credentials import environment, is_web_address  # noqa: PLC0415

    found = environment()
    url = found.alert_webhook.get_secret_value().strip()
    if url and not is_web_address(url):
        raise ConfigError("ALERT_WEBHOOK is not a valid address.", "Use the form https://hooks.example.com/….")
    return Watch(which.kind, lambda message: post(url, message), 60 * found.alert_stalled_minutes, DeadMansSwitch(url))


def planned(
    which: UserSelection, to: str, settings: ImportSettings, workers: int | None, options: ImportOptions
) -> Plan:
    """What a run would do; writes nothing, and starts no Ray. Raises what the run would, as far as that is known."""
    destination = _checked(which, to, workers)
    _watch(which)  # for what it refuses
    _tell_of_proxy(settings)
    shown_on = stderr if stderr.is_terminal else Console(stderr=True, quiet=True)  # nothing but the plan in a log
    with users_progress_on(shown_on) as progress, _opened(destination.look, progress) as sink:
        found = _found(which, sink, settings, progress)
        goes_on = sink.interrupted_run(RunKey(which.what, settings.rows_hash, options.force))
        whole, rules = sink.versions(settings.rows_hash), settings.read.sources
        known = which.as_far_as_they_are(found.users, sink.run_users(goes_on), whole, rules) if goes_on else []
        return plan_of(found, known, {} if options.force else whole, workers or available_cpus(), goes_on, rules)


def _opened(open_sink: Callable[[], Sink], progress: UsersReporter) -> closing[Sink]:
    progress.waits_for("connecting to the destination")
    return closing(open_sink())


def _found(which: UserSelection, sink: Sink, settings: ImportSettings, progress: UsersReporter) -> SelectedUsers:
    """Says what may surprise about the users that are found."""
    progress.waits_for("reading the list of users" if which.bucket is None else f"listing {which.bucket}")
    found = which.found(sink, settings)
    if found.of_unknown_age:
        stderr.print(f"--since: {found.of_unknown_age:,} exports of unknown age are included.", style="dim")
    if found.nobody_lacking:
        stderr.print("--failed: the last run over this list with these settings had no failed user, or there was none.")
    return found


def _chosen(asked: Asked, workers: int | None, opened: BulkRun) -> Choice:
    """By the size of the only file that is left to import, or by the number of users."""
    left = [opened.sources[user.user_id].source for user in opened.users if user.state not in DONE_STATES]
    size_bytes, packing = size_and_packing(left, None) if len(left) == 1 else (None, "unknown")
    return chosen(asked, workers, size_bytes, packing, len(left))


def _inline(
    opened: BulkRun, watch: Reporter, progress: UsersReporter, interruption: Interruption, *, nice: bool
) -> RunReport:
    """In this process."""
    from ray_import.inline.workers import import_users  # noqa: PLC0415 - not needed on Ray

    be_nice(nice)
    try:
        report = import_users(opened, marks_folder(), (watch, progress), lambda what: stderr.print(what, style="dim"))
        opened.ended()
        interruption.ignore()
    except KeyboardInterrupt:
        raise _interrupted() from None
    return report


def _interrupted() -> Interrupted:
    return Interrupted("The run was interrupted.", "Committed conversations are kept; run it again to resume.")


def _on_ray(
    opened: BulkRun,
    workers: int | None,
    max_connections: int | None,
    watch: Reporter,
    progress: UsersReporter,
    interruption: Interruption,
    *,
    nice: bool,
) -> RunReport:
    before_ray(opened.destination, nice=nice)
    progress.waits_for("joining Ray" if joins_cluster() else "starting Ray", say_after_seconds=0)
    from ray_import.cluster.run import import_users  # noqa: PLC0415
    from ray_import.cluster.session import ray_session  # noqa: PLC0415 - half a second to import

    def tell(what: str) -> None:
        stderr.print(what, style="dim")

    with redirect_stdout(sys.stderr):
        bytes_per_worker = opened.settings.flow.bytes_per_worker * 3  # what is in flight, and what readers have ready
        with ray_session(workers, bytes_per_worker * (workers or available_cpus())) as session:
            interruption.listen()
            progress.waits_for("starting workers")
            try:
                report = import_users(session, opened, workers, max_connections, (watch, progress), tell)
                opened.ended()
                interruption.ignore()
            except KeyboardInterrupt:
                raise _interrupted() from None
            return report
