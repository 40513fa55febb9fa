"""Summaries, inspections and jobs as tables that a person can read."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.filesize import decimal
from rich.table import Column, Table
from rich.text import Text

from ray_import.chatgpt.extract import hash_digits
from ray_import.chatgpt.files import shown
from ray_import.destinations.base import Job, KeptReject
from ray_import.destinations.reading import StoredConversation
from ray_import.pipeline.report import Summary
from ray_import.records import Problem

if TYPE_CHECKING:
    from ray_import.pipeline.inspection import Inspection

SHORT_HASH, SHORT_ID = 12, 8
_STATUS_STYLE = {"complete": "green", "partial": "yellow", "failed": "red", "running": "cyan"}


def show_summary(console: Console, summary: Summary, command_seconds: float) -> None:
    """The end of an import, and for how long the whole command has been running."""
    counts = summary.counts
    table = _facts()
    style = _STATUS_STYLE[summary.status]
    table.add_row("status", Text(summary.status, style=style))
    table.add_row("conversations", _listed({
        "seen": counts.seen, "imported": counts.imported, "unchanged": counts.unchanged, "empty": counts.empty,
        "rejected": counts.rejected, "not a conversation": counts.not_a_conversation,
    }))  # fmt: skip
    if counts.seen and counts.seen == counts.unchanged:
        table.add_row("nothing new", "all of them are already in the destination")
    else:
        already = "; unchanged conversations are already stored and not counted here" if counts.unchanged else ""
        table.add_row("messages", f"{counts.kept:,} kept{already}")
        table.add_row("left out", _listed(dict(counts.left_out.most_common())))
        table.add_row("chunks", f"{counts.chunks_written:,} written, {counts.chunks_deleted:,} deleted")
    if summary.pruned is not None:
        gone = summary.pruned
        table.add_row(
            "pruned", f"{gone.conversations:,} conversations that the export no longer has, {gone.chunks:,} chunks"
        )
    if counts.notes:
        table.add_row("noted", _listed(dict(counts.notes.most_common())))
    speed = summary.bytes_read / 1e6 / summary.seconds if summary.seconds else 0.0
    how = f"in {summary.seconds:,.1f} s ({speed:,.0f} MB/s, {_workers(summary.workers)})"
    table.add_row("read", f"{decimal(summary.bytes_read)} {how}")
    table.add_row("written to", summary.destination)
    table.add_row("done in", f"{command_seconds:,.1f} s")
    console.print(table)
    show_problems(console, summary.problems)
    for warning in summary.warnings:
        console.print(Text.assemble(("warning: ", "yellow"), warning), soft_wrap=True)


def _workers(number: int) -> str:
    return "1 worker" if number == 1 else f"{number} workers"


def show_inspection(console: Console, found: "Inspection") -> None:
    """What an export holds and what an import would do with it."""
    table = _facts()
    table.add_row("source", found.source)
    table.add_row("conversations", _listed({
        "seen": found.seen, "to import": found.to_import, "copies": found.copies, "empty": found.empty,
        "rejected": found.rejected, "not a conversation": found.not_a_conversation,
    }))  # fmt: skip
    table.add_row(
        "messages from", f"{minute_of(found.first)} to {minute_of(found.last)} (UTC)" if found.first else "unknown"
    )
    table.add_row("nodes", f"{found.nodes:,}, {found.without_message:,} without a message")
    table.add_row("threads", f"{found.threads:,}, {found.side_threads:,} of them side branches")
    table.add_row("chunks to expect", f"{found.chunks:,}")
    if found.notes:
        table.add_row("noted", _listed(dict(found.notes.most_common())))
    console.print(table)
    kept = Table("messages, by role and type", "count", box=None, header_style="bold", padding=(0, 2))
    kept.columns[1].justify = "right"
    for kind, count in found.types.most_common():
        kept.add_row(Text(kind), f"{count:,}")
    fate = Table("outcome of messages", "count", box=None, header_style="bold", padding=(0, 2))
    fate.columns[1].justify = "right"
    fate.add_row("kept", f"{found.kept:,}")
    for reason, count in found.left_out.most_common():
        fate.add_row(Text(f"left out, {reason}"), f"{count:,}")
    console.print()
    console.print(kept)
    console.print()
    console.print(fate)
    show_problems(console, found.problems)


def show_jobs(console: Console, jobs: Iterable[Job]) -> None:
    """The imports of a destination."""
    table = _list_of("started", "status", "user", "source", "imported", "chunks", "import")
    for column in (table.columns[0], table.columns[6]):
        column.no_wrap = True
    for job in jobs:
        status = Text(job.status, style=_STATUS_STYLE[job.status])
        if job.error:
            status.append(f": {job.error}")
        imported = job.counts.get("conversations", {}).get("imported", 0)
        written = job.counts.get("chunks", {}).get("written", 0)
        source = Text(job.source)
        table.add_row(
            minute_of(job.started_at),
            status,
            Text(job.user_id),
            source,
            f"{imported:,}",
            f"{written:,}",
            job.id[:SHORT_ID],
        )
    console.print(table if table.rows else "No imports yet.")


def show_rejects(console: Console, rejects: Sequence[KeptReject]) -> None:
    """What a destination keeps of what could not be imported."""
    several_users = len({reject.user_id for reject in rejects}) > 1
    table = _list_of("reject", "reason", "conversation", "file, item", "size", *(["user"] if several_users else []))
    for column in (table.columns[0], table.columns[1], table.columns[4]):
        column.no_wrap = True
    for reject in rejects:
        table.add_row(
            hash_digits(reject.raw_hash)[:SHORT_HASH],
            Text(reject.reason),
            Text(shown(reject.conversation_id or "unknown")),
            Text(f"{shown(reject.member)}, item {reject.position:,}"),
            decimal(reject.size_bytes),
            *([Text(reject.user_id)] if several_users else []),
        )
    if not rejects:
        console.print("No rejects.")
        return
    console.print(table)
    console.print(
        "\nTo import them again: ray-import retry-rejects with the same --to and --user-id."
        " To print one: ray-import rejects --raw REJECT.",
        soft_wrap=True,
    )


def show_conversations(console: Console, conversations: Sequence[StoredConversation]) -> None:
    """Conversations to choose from."""
    several_users = len({one.user_id for one in conversations}) > 1
    table = _list_of("conversation", "date", "title", *(["user"] if several_users else []))
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    for one in conversations:
        table.add_row(
            Text(shown(one.conversation_id)),
            (one.update_time or one.create_time or "unknown")[:10],
            Text(shown(one.title or "Untitled")),
            *([Text(shown(one.user_id))] if several_users else []),
        )
    console.print(table)


def minute_of(iso: str | None) -> str:
    """A time in ISO 8601 to the minute."""
    return (iso or "unknown")[:16].replace("T", " ")


def _list_of(*columns: str) -> Table:
    return Table(*(Column(name, overflow="fold") for name in columns), box=None, header_style="bold")


def _facts() -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    return table


def _listed(counts: dict[str, int]) -> Text:
    return Text(", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "none")


def show_problems(console: Console, problems: Iterable[Problem]) -> None:
    """What a person has to know, one a line."""
    for problem in problems:
        console.print(
            Text.assemble((f"{problem.kind}: ", "yellow"), f"{problem.where}: {problem.detail}"),
            soft_wrap=True,
        )
