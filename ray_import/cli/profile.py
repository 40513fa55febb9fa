"""The commands `ray-import profile` and `profiles`, and their options."""

import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ray_import.cli import options as o
from ray_import.cli.output import print_json, stderr, stdout
from ray_import.destinations.registry import parse_destination
from ray_import.errors import ConfigError
from ray_import.inline.estimate import Asked
from ray_import.profile.settings import DEFAULT_MODEL, ProfileSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ray_import.profile.estimate import Estimate

profile_app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)

ExactOption = Annotated[
    bool, typer.Option("--exact", help="With --dry-run: count the tokens at the API; needs a key, costs nothing.")
]
MaxCostOption = Annotated[
    float | None,
    typer.Option("--max-cost", metavar="USD", help="Stop before the request that could cost more, of this command."),
]
QuickOnlyOption = Annotated[
    bool, typer.Option("--quick-only", help="Make only the first profile, from a sample of the messages.")
]
BatchOption = Annotated[
    bool, typer.Option("--batch", help="Use Message Batches, at half the price; the default for many users.")
]
NowOption = Annotated[bool, typer.Option("--now", help="Use direct calls; the default for one user.")]
ModelOption = Annotated[str, typer.Option("--model", metavar="NAME", help="The model to ask.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show requests, tokens and dollars; send nothing, write nothing.")
]

ExecutorOption = Annotated[
    Asked,
    typer.Option(
        "--executor",
        help="Run on Ray, or inline: in this process. auto takes Ray in a job, with RAY_ADDRESS and with --workers.",
    ),
]


@profile_app.callback(invoke_without_command=True)
def profile(
    context: typer.Context,
    user_id: o.UserOption = "local",
    to: o.ToOption = o.DEFAULT_DESTINATION,
    dry_run: DryRunOption = False,
    exact: ExactOption = False,
    max_cost: MaxCostOption = None,
    quick_only: QuickOnlyOption = False,
    batch: BatchOption = False,
    now: NowOption = False,
    model: ModelOption = DEFAULT_MODEL,
    profile_table: o.ProfileTableOption = None,
    as_json: o.JsonOption = False,
) -> None:
    """Make or update the profile of a user from their stored messages, with Claude."""
    if context.invoked_subcommand is not None:
        return
    from ray_import.cli.profile_output import show_estimate, show_profile_report  # noqa: PLC0415
    from ray_import.cli.profile_run import estimates, make_profile  # noqa: PLC0415 - no other command needs it

    with o.report_errors():
        with o.failure_in_json(as_json):
            o.checked_user(user_id)
            settings = _settings(model, _in_batches(batch, now, default=False), quick_only, max_cost, profile_table)
            _check_exact(exact, dry_run)
            if dry_run:
                (estimate,) = estimates([user_id], to, settings, exact=exact)
                print_json(estimate.as_dict()) if as_json else show_estimate(stdout, estimate)
                raise typer.Exit
            report = make_profile(user_id, to, settings)
        if as_json:
            print_json(report.as_dict())
        elif not isinstance(report.error, ConfigError):  # nothing was begun
            show_profile_report(stderr, report)
        if report.error is not None:
            raise report.error
        raise typer.Exit(report.exit_code)


@profile_app.command()
def show(
    user_id: o.UserOption = "local", to: o.ToOption = o.DEFAULT_DESTINATION, as_json: o.JsonOption = False
) -> None:
    """Show the newest profile of a user, as Markdown."""
    from ray_import.profile.showing import profile_markdown  # noqa: PLC0415

    with o.report_errors(), o.failure_in_json(as_json):
        with closing(parse_destination(to).open(create=False)) as sink:
            versions, facts = sink.versions_of(user_id), sink.facts(user_id)
        if not versions:
            raise ConfigError(f"There is no profile of the user {user_id}.", "Make one with ray-import profile.")
        if as_json:
            print_json({"profile": asdict(versions[0])})
        else:
            sys.stdout.buffer.write(profile_markdown(versions[0], facts).encode(errors="replace"))


@profile_app.command()
def facts(
    user_id: o.UserOption = "local",
    to: o.ToOption = o.DEFAULT_DESTINATION,
    category: Annotated[
        str | None, typer.Option("--category", metavar="NAME", help="Only facts of this category.")
    ] = None,
    as_json: o.JsonOption = False,
) -> None:
    """Show the facts of a user, each with the message that it is from."""
    from ray_import.profile.settings import CATEGORIES  # noqa: PLC0415
    from ray_import.profile.showing import facts_table  # noqa: PLC0415

    with o.report_errors(), o.failure_in_json(as_json):
        if category is not None and category not in CATEGORIES:
            raise ConfigError(f"--category {category} is not a category.", f"Use one of {', '.join(CATEGORIES)}.")
        with closing(parse_destination(to).open(create=False)) as sink:
            every = sink.facts(user_id)
        found = [fact for fact in every if category in (None, fact.category)]
        if as_json:
            print_json({"facts": [asdict(fact) for fact in found]})
        elif found:
            stdout.print(facts_table(found))
        else:
            of = f" of the category {category}" if every else ""
            hint = "Leave out --category to see the others." if every else "Make them with ray-import profile."
            stderr.print(f"There are no facts{of} of the user {user_id}. {hint}", soft_wrap=True)


@profile_app.command()
def forget(
    user_id: o.UserOption = "local",
    to: o.ToOption = o.DEFAULT_DESTINATION,
    profile_table: o.ProfileTableOption = None,
    as_json: o.JsonOption = False,
) -> None:
    """Delete all of a user's profile: its tables, the front end's columns, and batches at the API."""
    from ray_import.cli.profile_run import forget_profile  # noqa: PLC0415

    with o.report_errors(), o.failure_in_json(as_json):
        o.checked_user(user_id)
        gone = forget_profile(user_id, to, profile_table)
        if as_json:
            print_json(gone.as_dict())
        else:
            stderr.print(gone.in_words(), soft_wrap=True)
        raise typer.Exit(1 if gone.batches_left else 0)


def profiles(
    users: Annotated[
        Path | None, typer.Option("--users", metavar="FILE", help="List of users: .jsonl or .csv, a user_id per line.")
    ] = None,
    all_users: Annotated[bool, typer.Option("--all", help="All users with imports in the destination.")] = False,
    to: o.ToOption = o.DEFAULT_DESTINATION,
    dry_run: DryRunOption = False,
    exact: ExactOption = False,
    max_cost: MaxCostOption = None,
    quick_only: QuickOnlyOption = False,
    batch: BatchOption = False,
    now: NowOption = False,
    model: ModelOption = DEFAULT_MODEL,
    profile_table: o.ProfileTableOption = None,
    executor: ExecutorOption = "auto",
    workers: o.WorkersOption = None,
    as_json: o.JsonOption = False,
) -> None:
    """Make or update the profiles of many users."""
    from ray_import.cli.profile_output import show_estimates, show_profile_reports  # noqa: PLC0415
    from ray_import.cli.profile_run import all_user_ids, estimates, make_profiles  # noqa: PLC0415
    from ray_import.pipeline.users import read_user_ids  # noqa: PLC0415

    with o.report_errors():
        with o.failure_in_json(as_json):
            if (users is None) == (not all_users):
                raise ConfigError("Give either --users or --all.")
            settings = _settings(model, _in_batches(batch, now, default=True), quick_only, max_cost, profile_table)
            _check_exact(exact, dry_run)
            user_ids = all_user_ids(to) if users is None else read_user_ids(users)
            if dry_run:
                found = estimates(user_ids, to, settings, exact=exact)
                _print_estimates(found) if as_json else show_estimates(stdout, found)
                raise typer.Exit
            reports = make_profiles(user_ids, to, settings, executor, workers)
        if as_json:
            print_json({"profiles": [report.as_dict() for report in reports]})
        else:
            show_profile_reports(stderr, reports)
        raise typer.Exit(max((report.exit_code for report in reports), default=0))


def _print_estimates(found: "Sequence[Estimate]") -> None:
    print_json(
        {
            "users": [one.as_dict() for one in found],
            "requests": sum(one.requests for one in found),
            "input_tokens": sum(one.input_tokens for one in found),
            "output_tokens": sum(one.output_tokens for one in found),
            "usd": round(sum(one.usd for one in found), 6),
        }
    )


def _in_batches(batch: bool, now: bool, *, default: bool) -> bool:
    if batch and now:
        raise ConfigError("--batch and --now exclude each other.", "Give one of them, or none.")
    return batch or (default and not now)


def _settings(
    model: str, in_batches: bool, quick_only: bool, max_cost: float | None, profile_table: str | None
) -> ProfileSettings:
    return ProfileSettings(
        model=model,
        in_batches=in_batches,
        quick_only=quick_only,
        max_cost_usd=max_cost,
        profile_table=profile_table,
    )


def _check_exact(exact: bool, dry_run: bool) -> None:
    if exact and not dry_run:
        raise ConfigError("--exact is for --dry-run.", "Use both, or none.")
