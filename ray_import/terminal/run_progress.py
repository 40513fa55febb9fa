"""How far a run over many users is, as lines and as tables."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.status import Status
from rich.table import Column, Table
from rich.text import Text

from ray_import.bulk.progress import DONE_STATES, RunProgress, RunReport, RunReporter
from ray_import.bulk.users import UserSource
from ray_import.source.address import label_of
from ray_import.terminal.progress import LINE_EVERY_SECONDS

SHOWN_USERS = 50


def described(progress: RunProgress) -> str:
    """The run in a line."""
    states, seconds = progress.states, progress.seconds or 1.0
    done = sum(states[state] for state in DONE_STATES)
    bad = "".join(f", {states[state]:,} {state}" for state in ("partial", "failed", "skipped") if states[state])
    return (
        f"{done:,} of {states.total():,} users{bad}, {progress.active} at work, {decimal(progress.bytes_read)},"
        f" {progress.conversations:,} conversations, {progress.chunks_written:,} chunks,"
        f" {progress.bytes_read / 1e6 / seconds:,.0f} MB/s"
    )


class _Lines:
    """A plain line every few seconds: for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = LINE_EVERY_SECONDS

    def show(self, progress: RunProgress) -> None:
        """See `RunReporter.show`."""
        if progress.seconds >= self._next:
            self._next = progress.seconds + LINE_EVERY_SECONDS
            self._console.print(f"importing {described(progress)}", soft_wrap=True)


class _Spinner:
    """One line that changes."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def show(self, progress: RunProgress) -> None:
        """See `RunReporter.show`."""
        self._status.update(described(progress))


@contextmanager
def run_progress_on(console: Console) -> Iterator[RunReporter]:
    """The reporter that suits `console`."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    with console.status("importing") as status:
        yield _Spinner(status)


def show_report(console: Console, report: RunReport) -> None:
    """The end of a run: how many users are in which state, and those that lack something."""
    states = ", ".join(f"{count:,} {state}" for state, count in report.states.most_common())
    speed = report.bytes_read / 1e6 / report.seconds if report.seconds else 0.0
    facts = Table(Column(style="bold"), Column(overflow="fold"), box=None, show_header=False, padding=(0, 2, 0, 0))
    facts.add_row("run", report.run_id)
    facts.add_row("users", f"{len(report.users):,}: {states}")
    facts.add_row(
        "read", f"{decimal(report.bytes_read)} in {report.seconds:,.1f} s ({speed:,.0f} MB/s, {report.workers} workers)"
    )
    facts.add_row("written to", Text(report.destination))
    console.print(facts)
    bad = report.lacking
    if bad:
        table = Table("user", "state", "attempts", Column("why", overflow="fold"), box=None, header_style="bold")
        for user in bad[:SHOWN_USERS]:
            table.add_row(
                Text(user.user_id), user.state, str(user.attempts), Text(user.error or "see ray-import rejects")
            )
        console.print()
        console.print(table)
        if len(bad) > SHOWN_USERS:
            console.print(f"… and {len(bad) - SHOWN_USERS:,} more: --json names all.")


def show_plan(console: Console, users: Iterable[UserSource]) -> None:
    """What a run would be over."""
    table = Table("user", Column("source", overflow="fold"), box=None, header_style="bold")
    for user in users:
        table.add_row(Text(user.user_id), Text(label_of(user.source)))
    console.print(table)
