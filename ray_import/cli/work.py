"""The command `ray-import work`: executes the jobs that `ray-import serve` has accepted."""

from typing import Annotated

import typer

from ray_import.cli import options as o
from ray_import.cli.output import print_json
from ray_import.cli.profile import MaxCostOption, ModelOption
from ray_import.errors import ConfigError
from ray_import.profile.settings import DEFAULT_MODEL, ProfileSettings
from ray_import.service.work.alerts import Notify

NotifyOption = Annotated[
    Notify, typer.Option("--notify", help="Which ends to report to ALERT_WEBHOOK: failures only, or all.")
]
JobOption = Annotated[str | None, typer.Option("--job", metavar="ID", help="Execute this job alone, and end.")]
LeaseOption = Annotated[
    str | None,
    typer.Option("--lease", metavar="HOLDER", help="With --job: take the job over from this process.", hidden=True),
]
SubmitOption = Annotated[
    int | None,
    typer.Option("--submit", metavar="N", min=1, help="Submit jobs to a Ray cluster, at most N at a time."),
]
OnceOption = Annotated[bool, typer.Option("--once", help="End when no job is due.")]


def work(
    to: o.ToOption = o.DEFAULT_DESTINATION,
    profile_table: o.ProfileTableOption = None,
    model: ModelOption = DEFAULT_MODEL,
    max_cost: MaxCostOption = None,
    notify: NotifyOption = "failures",
    job: JobOption = None,
    lease: LeaseOption = None,
    submit: SubmitOption = None,
    once: OnceOption = False,
    as_json: o.JsonOption = False,
) -> None:
    """Execute the jobs that ray-import serve has accepted, one at a time, until stopped."""
    from ray_import.cli.work_run import ended_of_job, submitted, work_options, worked  # noqa: PLC0415 - light start

    with o.report_errors():
        with o.failure_in_json(as_json):
            _check(job, lease, submit, once=once)
            profile = ProfileSettings(model=model, max_cost_usd=max_cost, profile_table=profile_table, is_retried=True)
            options = work_options(to, profile, notify)
            code = 0
            if submit is not None:
                ended = submitted(options, submit, once=once)
            elif job is not None:
                ended, code = ended_of_job(options, job, lease)
            else:
                ended = worked(options, once=once)
        if as_json:
            print_json({"jobs": dict(sorted(ended.items()))})
        raise typer.Exit(code)


def _check(job: str | None, lease: str | None, submit: int | None, *, once: bool) -> None:
    if job is not None and (submit is not None or once):
        raise ConfigError("--job excludes --submit and --once.", "Leave them out.")
    if lease is not None and job is None:
        raise ConfigError("--lease needs --job.", "Use both, or none.")
