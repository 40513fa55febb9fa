"""From the options of `ray-import work` to a worker: the steps of a job, and where it is kept."""

import logging
import sys
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial

from ray_import.chatgpt.files import shown
from ray_import.cli import options as o
from ray_import.cli.run import checked_destination, import_exports
from ray_import.cluster.environment import inside_job, joins_cluster
from ray_import.credentials import claude_access, environment, is_bedrock_model, is_web_address, supabase_access
from ray_import.destinations.base import Destination
from ray_import.destinations.service_jobs import ServiceJob, ServiceJobs
from ray_import.errors import ConfigError, SinkBusy, WorkerNotConfigured
from ray_import.pipeline.lease import this_process
from ray_import.pipeline.profile_table import check_profiles
from ray_import.pipeline.progress import Reporter
from ray_import.pipeline.report import Summary
from ray_import.profile.progress import ProfileReporter
from ray_import.profile.report import ProfileReport
from ray_import.profile.settings import ProfileSettings
from ray_import.service.work.alerts import Alerts, Notify
from ray_import.service.work.execution import Steps
from ray_import.service.work.queue import CALL_PATIENCE_SECONDS, PatientQueue
from ray_import.service.work.settling import Settler
from ray_import.service.work.signals import StopSignals
from ray_import.service.work.submitter import Submitter
from ray_import.service.work.worker import Worker, WorkerSettings
from ray_import.settings import ImportOptions, ImportSettings, ReadLimits, SourceRules

SOME_USER = "00000000-0000-0000-0000-000000000000"
"""An id that any column of user ids takes."""

EXIT_CODES = {"complete": 0, "cancelled": 0, "partial": 1}
"""Of --job, by the state of the job; 3 for all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOptions:
    """What all ways of working need. `rules` say which sources may be read; without `has_key` no profile is made."""

    to: str
    destination: Destination
    profile: ProfileSettings
    alerts: Alerts
    rules: SourceRules
    has_key: bool

    def connect(self, patience_seconds: float = CALL_PATIENCE_SECONDS) -> ServiceJobs:
        """Opens the queue."""
        return self.destination.open_jobs(patience_seconds=patience_seconds)

    def as_arguments(self) -> list[str]:
        """For a `ray-import work` that does the same on another machine."""
        arguments = ["--to", self.to, "--model", self.profile.model, "--notify", self.alerts.notify]
        if self.profile.profile_table is not None:
            arguments += ["--profile-table", self.profile.profile_table]
        if self.profile.max_cost_usd is not None:
            arguments += ["--max-cost", str(self.profile.max_cost_usd)]
        return arguments


def work_options(to: str, profile: ProfileSettings, notify: Notify) -> WorkOptions:
    """With what the environment says. Raises ConfigError where that cannot be used."""
    _log_to_stderr()
    found = environment()
    webhook = found.alert_webhook.get_secret_value().strip()
    if webhook and not is_web_address(webhook):
        raise ConfigError("ALERT_WEBHOOK is not a valid address.", "Use the form https://hooks.example.com/….")
    destination = checked_destination(to, None)
    _check_table(destination, profile.profile_table)
    hosts = [host.strip() for host in found.ray_import_hosts.split(",") if host.strip()]
    return WorkOptions(
        to=to,
        destination=destination,
        profile=profile,
        alerts=Alerts(webhook, notify),
        rules=SourceRules(files_under=(), public_only=True, allowed_hosts=o.allowed_hosts(hosts, "RAY_IMPORT_HOSTS:")),
        has_key=_has_key(profile.model),
    )


def _check_table(destination: Destination, table: str | None) -> None:
    """Raises ConfigError where the front end's table cannot be used: each job would fail. A database that is away is
    waited for later."""
    if table is not None:
        with suppress(SinkBusy), closing(destination.open()) as sink:
            check_profiles(sink, ImportOptions(profile_table=table), SOME_USER)


def _has_key(model: str) -> bool:
    """Raises ConfigError where there is a key that cannot be one."""
    found = environment()
    if is_bedrock_model(model):
        has_key = bool(found.aws_region.strip())
    else:
        has_key = bool(found.anthropic_api_key.get_secret_value().strip())
    if has_key:
        claude_access(model)
    return has_key


def _log_to_stderr() -> None:
    """Lines of ray_import alone: other packages log URLs, with the tokens in them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("ray_import")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def worked(options: WorkOptions, *, once: bool) -> Counter[str]:
    """Takes jobs until it is asked to stop; with `once`, until none is due. Returns how many ended in which state."""
    worker = _worker(options, WorkerSettings(once=once))
    worker.run()
    return worker.ended


def ended_of_job(options: WorkOptions, job_id: str, given_by: str | None) -> tuple[Counter[str], int]:
    """Executes one job: how it ended, and the exit code. Raises ConfigError where there is none with this id."""
    worker = _worker(options, WorkerSettings())
    end = worker.run_one(job_id, given_by)
    if end is not None:
        return worker.ended, EXIT_CODES.get(end, 3)
    if not worker.is_asked_to_stop:
        with closing(options.connect()) as jobs:
            if jobs.job(job_id) is None:
                raise ConfigError(f"There is no job {shown(job_id)}.", "Take an id that ray-import serve has given.")
    return worker.ended, 0  # it has ended, or another process has it


def _worker(options: WorkOptions, settings: WorkerSettings) -> Worker:
    steps = Steps(
        import_export=partial(_import_export, options),
        make_profile=partial(_make_profile, options) if options.has_key else None,
        show_failure=partial(_show_failure, options),
    )
    return Worker(connect=options.connect, steps=steps, alerts=options.alerts, settings=settings)


def submitted(options: WorkOptions, most: int, *, once: bool) -> Counter[str]:
    """Submits jobs to a Ray cluster until it is asked to stop. Returns what became of them here."""
    # Ray takes seconds to import, and is for this way of working only.
    from ray_import.cluster.submitting import SubmittedJobs, dashboard_address  # noqa: PLC0415

    address = dashboard_address()
    options.destination.export_password(to_children=False)
    signals = StopSignals()
    queue = PatientQueue(options.connect, signals.asked)
    settler = Settler(
        queue=queue, holder=this_process(), show_failure=partial(_show_failure, options), alerts=options.alerts
    )
    submitter = Submitter(
        queue=queue,
        settler=settler,
        ray_jobs=SubmittedJobs(address, options.as_arguments()),
        signals=signals,
        most=most,
        once=once,
    )
    submitter.run()
    return submitter.ended


def _import_export(options: WorkOptions, job: ServiceJob, reporter: Reporter) -> Summary:
    table = options.profile.profile_table
    on_ray = joins_cluster() or inside_job()  # never on a Ray of its own: where none is, memory is scarce
    if job.source.startswith("supabase://"):
        try:
            supabase_access()
        except ConfigError as error:
            raise WorkerNotConfigured(error.message, error.hint) from None
    _end_what_is_left(options)
    return import_exports(
        [job.source],
        options.to,
        job.user_id,
        ImportSettings(read=ReadLimits(sources=options.rules)),
        None,
        None,
        ImportOptions(profile_table=table, profile_pending=options.has_key and table is not None, is_retried=True),
        executor="ray" if on_ray else "inline",
        reporter=reporter,
    )


def _end_what_is_left(options: WorkOptions) -> None:
    """Ends an import or a profile of an earlier job of this process whose end could not be written: its heartbeat would
    keep it alive."""
    with closing(options.destination.open()) as sink:
        sink.let_go(this_process())
        sink.release_profiles(this_process())


def _make_profile(options: WorkOptions, user_id: str, reporter: ProfileReporter) -> ProfileReport:
    from ray_import.cli.profile_run import make_profile  # noqa: PLC0415 - not without a key

    _end_what_is_left(options)
    return make_profile(user_id, options.to, options.profile, reporter)


def _show_failure(options: WorkOptions, user_id: str, message: str) -> None:
    """Says in the front end's row, if there is a table of them, that nothing more comes. A user who has a profile
    keeps it."""
    table = options.profile.profile_table
    if table is None:
        return
    from ray_import.profile.front_end import front_end_values, publish  # noqa: PLC0415 - only where something fails

    with closing(options.destination.open(create=False)) as sink:
        versions = sink.versions_of(user_id, 1)
        facts = sink.facts(user_id) if versions else []
        values = front_end_values(versions[0] if versions else None, facts, "failed", error=message)
        publish(sink, table, user_id, values)
