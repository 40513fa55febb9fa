"""A run over many users as tables: what it would do, and what came of it."""

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.filesize import decimal
from rich.table import Column, Table
from rich.text import Text

from ray_import.cli import command_seconds
from ray_import.destinations.base import RunUser
from ray_import.pipeline.plan import BASED_ON, Plan
from ray_import.pipeline.report import RunReport

SHOWN_USERS = 50
SHOWN_NOTES = 10
PASSED_OVER_WORDS = {
    "older_exports": "older exports",
    "no_exports": "files that are not exports",
    "parts_of_exports": "parts of unpacked exports",
    "no_users": "files or rows without a user",
    "no_addresses": "files with names that cannot be requested",
}


def show_report(console: Console, report: RunReport) -> None:
    """The end of a run: how many users are in which state, and those that lack something."""
    states = ", ".join(f"{count:,} {state}" for state, count in report.states.most_common())
    speed = report.bytes_read / 1e6 / report.seconds if report.seconds else 0.0
    facts = _facts()
    facts.add_row("run", report.run_id)
    facts.add_row("users", f"{len(report.users):,}: {states}" if states else "none")
    _add_passed_over(facts, report.passed_over)
    workers = "1 worker" if report.workers == 1 else f"{report.workers:,} workers"
    facts.add_row("read", f"{decimal(report.bytes_read)} in {report.seconds:,.1f} s ({speed:,.0f} MB/s, {workers})")
    facts.add_row("written to", Text(report.destination))
    if notes := _notes_of(report.users):
        facts.add_row("noted", Text(notes))
    facts.add_row("done in", f"{command_seconds():,.1f} s")
    for user in report.warned[:SHOWN_USERS]:
        facts.add_row("warning", Text(user.error or ""))
    console.print(facts)
    bad = report.lacking
    if bad:
        table = Table("user", "state", "attempts", Column("why", overflow="fold"), box=None, header_style="bold")
        for user in bad[:SHOWN_USERS]:
            table.add_row(
                Text(user.user_id),
                user.state,
                str(user.attempts),
                Text(user.error or "see ray-import rejects, with the same --to"),
            )
        console.print()
        console.print(table)
        if len(bad) > SHOWN_USERS:
            console.print(f"… and {len(bad) - SHOWN_USERS:,} more: --json lists all.")


def _notes_of(users: Sequence[RunUser]) -> str:
    """The notes of all users together, the most frequent ones first."""
    total = Counter[str]()
    for user in users:
        total.update(user.counts.get("notes") or {})
    told = [f"{count:,} {name}" for name, count in total.most_common(SHOWN_NOTES)]
    return ", ".join(told + ([f"and {len(total) - SHOWN_NOTES:,} more names"] if len(total) > SHOWN_NOTES else []))


def show_plan(console: Console, plan: Plan) -> None:
    """What a run would do: the first users, then the totals and about how long it would take."""
    table = Table("user", "state", Column("size", justify="right"), Column("source", overflow="fold"), box=None)
    table.header_style = "bold"
    for user in plan.users[:SHOWN_USERS]:
        size = "unknown" if user.size_bytes is None else decimal(user.size_bytes)
        table.add_row(Text(user.user_id), user.state, size, Text(user.source))
    console.print(table)
    if len(plan.users) > SHOWN_USERS:
        console.print(f"… and {len(plan.users) - SHOWN_USERS:,} more: --json lists all.")
    console.print()
    states = ", ".join(f"{count:,} {state}" for state, count in plan.states.most_common()) or "none"
    unknown = f", and {plan.unknown_sizes:,} exports of unknown size" if plan.unknown_sizes else ""
    facts = _facts()
    if plan.goes_on:
        facts.add_row("resumes", f"the interrupted run {plan.goes_on}")
    facts.add_row("users", f"{len(plan.users):,}: {states}")
    _add_passed_over(facts, plan.passed_over)
    if why := next((user.error for user in plan.users if user.error), None):
        facts.add_row("not allowed", Text(f"{why} (the first of {plan.states['not_allowed']:,})"))
    facts.add_row("to read", f"{decimal(plan.bytes_to_read)}{unknown}")
    facts.add_row("estimate", f"{duration(plan.seconds)} on {plan.workers} workers")
    facts.add_row("based on", BASED_ON)
    console.print(facts)


def duration(seconds: float) -> str:
    """About how long, in the unit that suits."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {seconds / 60:,.0f} min" if seconds < 5400 else f"about {seconds / 3600:,.1f} h"


def _facts() -> Table:
    return Table(Column(style="bold"), Column(overflow="fold"), box=None, show_header=False, padding=(0, 2, 0, 0))


def _add_passed_over(facts: Table, passed_over: Mapping[str, int] | None) -> None:
    if passed_over is not None:
        facts.add_row("skipped", passed_over_words(passed_over))


def passed_over_words(passed_over: Mapping[str, int]) -> str:
    """How many files were passed over, by why."""
    return ", ".join(f"{count:,} {PASSED_OVER_WORDS[why]}" for why, count in passed_over.items()) or "nothing"
