"""Reports and estimates of profiles as tables that a person can read."""

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from ray_import.profile.estimate import Estimate
from ray_import.profile.report import KINDS, ProfileReport, Spent

SHOWN_USERS = 50


def show_profile_report(console: Console, report: ProfileReport) -> None:
    """The end of one user's run."""
    table = _facts()
    table.add_row("status", report.status)
    table.add_row("profile", f"{report.version_kind} version {report.version}" if report.version else "none")
    table.add_row("facts", _listed(report.facts) or "none")
    table.add_row("requests", _requests(report))
    table.add_row("spent", _spent(report.total))
    if report.failures:
        table.add_row("failed requests", _listed(report.failures))
    if report.rejected:
        table.add_row("rejected statements", _listed(report.rejected))
    if report.unknown_outcome:
        table.add_row(
            "unknown outcome", f"{report.unknown_outcome:,} requests may have been paid for without an answer"
        )
    if report.not_extracted:
        table.add_row("not extracted", f"{report.not_extracted:,} units have no answer")
    if report.without_messages:
        table.add_row(
            "without messages", f"{report.without_messages:,} conversations: import them again to include them"
        )
    if report.unclear:
        table.add_row("unclear", f"{report.unclear:,} pairs of facts are left for a later run")
    if report.lacking:
        table.add_row("missing", ", ".join(LACKING_WORDS.get(what, what) for what in report.lacking))
    if report.skipped_columns:
        table.add_row("columns not there", ", ".join(report.skipped_columns))
    table.add_row("done in", f"{report.seconds:,.1f} s")
    console.print(table)


LACKING_WORDS = {
    "max_cost": "what --max-cost did not allow",
    "quick": "the quick pass",
    "sections": "the sections",
    "front_end": "the columns of the front end",
}


def show_profile_reports(console: Console, reports: Sequence[ProfileReport]) -> None:
    """The end of a run over many users: the totals, and who lacks something."""
    states = Counter[str](report.status for report in reports)
    total, failures, rejected = Spent(), Counter[str](), Counter[str]()
    for report in reports:
        total.include(report.total)
        failures.update(report.failures)
        rejected.update(report.rejected)
    table = _facts()
    table.add_row("users", f"{len(reports):,}: {_listed(states)}" if reports else "none")
    table.add_row("spent", _spent(total))
    if failures:
        table.add_row("failed requests", _listed(failures))
    if rejected:
        table.add_row("rejected statements", _listed(rejected))
    console.print(table)
    bad = [report for report in reports if report.exit_code]
    if bad:
        lacking = Table("user", "status", Column("why", overflow="fold"), box=None, header_style="bold")
        for report in bad[:SHOWN_USERS]:
            lacking.add_row(Text(report.user_id), report.status, Text(_why(report)))
        console.print()
        console.print(lacking)
        if len(bad) > SHOWN_USERS:
            console.print(f"… and {len(bad) - SHOWN_USERS:,} more: --json lists all.")


def show_estimate(console: Console, estimate: Estimate) -> None:
    """What a run would send."""
    table = _facts()
    table.add_row("model", estimate.model)
    table.add_row("units", f"{estimate.units:,} to send, {estimate.answered:,} answered before")
    if estimate.without_messages:
        table.add_row("without messages", f"{estimate.without_messages:,} conversations")
    table.add_row("requests", f"{estimate.requests:,}")
    counted = "counted by the API" if estimate.is_exact else "estimated"
    table.add_row("input tokens", f"{estimate.input_tokens:,} ({counted})")
    table.add_row("output tokens", f"about {estimate.output_tokens:,}")
    table.add_row("cost", f"about ${estimate.usd:,.4f}")
    console.print(table)


def show_estimates(console: Console, estimates: Sequence[Estimate]) -> None:
    """The same for many users together."""
    table = _facts()
    table.add_row("users", f"{len(estimates):,}")
    table.add_row("requests", f"{sum(one.requests for one in estimates):,}")
    table.add_row("input tokens", f"{sum(one.input_tokens for one in estimates):,}")
    table.add_row("output tokens", f"about {sum(one.output_tokens for one in estimates):,}")
    table.add_row("cost", f"about ${sum(one.usd for one in estimates):,.4f}")
    console.print(table)


def _why(report: ProfileReport) -> str:
    if report.error is not None:
        return report.error.message
    parts = [LACKING_WORDS.get(what, what) for what in report.lacking]
    if report.not_extracted:
        parts.append(f"{report.not_extracted:,} units have no answer")
    return ", ".join(parts)


def _requests(report: ProfileReport) -> str:
    steps = [f"{report.spent[kind].requests:,} {kind}" for kind in KINDS if report.spent[kind].requests]
    nothing = "none: everything was answered before" if report.status == "complete" else "none"
    return ", ".join(steps) or nothing


def _spent(spent: Spent) -> str:
    return f"${spent.usd:,.4f}: {spent.input_tokens:,} input tokens, {spent.output_tokens:,} output tokens"


def _listed(counts: Mapping[str, int]) -> str:
    most_first = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in most_first if count)


def _facts() -> Table:
    return Table(Column(style="bold"), Column(overflow="fold"), box=None, show_header=False, padding=(0, 2, 0, 0))
