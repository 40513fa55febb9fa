"""The command `ray-import reimport` and its options."""

from pathlib import Path
from typing import Annotated

import typer

from ray_import.cli import options as o
from ray_import.cli.output import print_json, stderr, stdout
from ray_import.settings import ChunkSettings, FlowLimits, ImportOptions, ImportSettings, ReadLimits, SourcePace


def reimport(
    users: Annotated[
        Path | None,
        typer.Option("--users", metavar="FILE", help="List of users: .jsonl or .csv, user_id and source per line."),
    ] = None,
    from_bucket: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="URL", help="List of users: the newest export of each USER in supabase://BUCKET/FOLDER."
        ),
    ] = None,
    from_table: Annotated[
        str | None, typer.Option("--from-table", metavar="TABLE", help="List of users: a table of the destination.")
    ] = None,
    source_column: Annotated[
        str | None,
        typer.Option("--source-column", metavar="COLUMN", help="Column of --from-table that holds the sources."),
    ] = None,
    to: o.ToOption = o.DEFAULT_DESTINATION,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="ID", help="Only this user; can be repeated.")
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only users whose last attempt failed or was incomplete.")
    ] = False,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DATE", help="Only exports of this date or newer.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Maximum number of users.")] = None,
    files_under: o.FilesUnderOption = None,
    public_only: o.PublicOnlyOption = None,
    allow_host: o.AllowHostOption = None,
    force: o.ForceOption = False,
    prune: o.PruneOption = False,
    dry_run: o.DryRunOption = False,
    branches: o.BranchesOption = "all",
    chunk_tokens: o.ChunkTokensOption = o.CHUNKS.target_tokens,
    overlap_tokens: o.OverlapOption = o.CHUNKS.overlap_tokens,
    no_messages: o.NoMessagesOption = False,
    max_conversation_bytes: o.MaxConversationOption = o.READ.max_conversation_bytes,
    executor: o.ExecutorOption = "auto",
    workers: o.WorkersOption = None,
    batch_bytes: o.BatchBytesOption = o.FLOW.batch_bytes,
    reader: o.ReaderOption = "auto",
    max_connections: o.MaxConnectionsOption = None,
    nice: o.NiceOption = False,
    max_download_bytes: o.MaxDownloadOption = o.READ.max_download_bytes,
    slow_bytes_per_second: o.SlowBytesOption = o.PACE.slow_bytes_per_second,
    slow_after_seconds: o.SlowAfterOption = o.PACE.slow_after_seconds,
    source_deadline_seconds: o.DeadlineOption = o.PACE.deadline_seconds,
    max_batch_seconds: o.MaxBatchSecondsOption = o.FLOW.max_batch_seconds,
    profile_table: o.ProfileTableOption = None,
    profile_pending: o.ProfilePendingOption = False,
    as_json: o.JsonOption = False,
) -> None:
    """Import the exports of many users, or resume an interrupted run."""
    # Only now: other commands need not wait for these, which bring in httpx.
    from ray_import.cli.reimport_run import planned  # noqa: PLC0415
    from ray_import.cli.reimport_run import reimport as reimport_users  # noqa: PLC0415
    from ray_import.cli.run_tables import show_plan, show_report  # noqa: PLC0415
    from ray_import.pipeline.selection import UserSelection  # noqa: PLC0415
    from ray_import.source.storage import storage_folder  # noqa: PLC0415

    with o.report_errors():
        with o.failure_in_json(as_json):
            rules = o.rules_from(users, from_table is not None, files_under or (), public_only, allow_host or ())
            pace = SourcePace(slow_bytes_per_second, slow_after_seconds, source_deadline_seconds)
            read = ReadLimits(
                max_conversation_bytes=max_conversation_bytes,
                reader=reader,
                max_download_bytes=max_download_bytes,
                pace=pace,
                sources=rules,
            )
            flow = FlowLimits(batch_bytes=batch_bytes, max_batch_seconds=max_batch_seconds)
            chunks = ChunkSettings(chunk_tokens, overlap_tokens)
            settings = ImportSettings(branches, chunks, read, flow, messages=not no_messages)
            options = ImportOptions(
                force=force, prune=prune, profile_table=profile_table, profile_pending=profile_pending
            )
            bucket = None if from_bucket is None else storage_folder(from_bucket)
            which = UserSelection(
                users, bucket, from_table, source_column, tuple(only or ()), failed, o.since_from(since), limit
            )
            if dry_run:
                plan = planned(which, to, settings, workers, options)
                print_json(plan.as_dict()) if as_json else show_plan(stdout, plan)
                raise typer.Exit(plan.exit_code)
            report = reimport_users(
                which, to, settings, workers, max_connections, options, executor=executor, nice=nice
            )
        if as_json:
            print_json(report.as_dict())
        else:
            show_report(stderr, report)
        raise typer.Exit(report.exit_code)
