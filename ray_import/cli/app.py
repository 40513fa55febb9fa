"""The commands."""

import os
import sys
from contextlib import closing
from dataclasses import asdict
from functools import partial
from typing import Annotated

import orjson
import typer

from ray_import import __version__
from ray_import.cli import command_seconds
from ray_import.cli import options as o
from ray_import.cli.output import ReaderGone, flush, print_json, set_up, stderr, stdout, write_json
from ray_import.cli.profile import profile_app, profiles
from ray_import.cli.reimport import reimport
from ray_import.cli.run import import_exports, planned, retry_kept
from ray_import.cli.run_tables import show_plan
from ray_import.cli.serve import serve
from ray_import.cli.show import show
from ray_import.cli.supervision import supervised, supervised_once_begun
from ray_import.cli.tables import show_inspection, show_jobs, show_problems, show_rejects, show_summary
from ray_import.cli.work import work
from ray_import.destinations.migrations import migrations
from ray_import.destinations.registry import parse_destination
from ray_import.errors import ResultsNotWritten
from ray_import.pipeline.report import Summary
from ray_import.pipeline.sources import open_sources
from ray_import.records import Conversation, Problem, lacks
from ray_import.settings import ChunkSettings, FlowLimits, ImportOptions, ImportSettings

app = typer.Typer(
    help="Import ChatGPT exports into a database as clean, searchable chunks, with Ray.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


STARTS_RAY = {"reimport"}
MAY_START_RAY = {"run", "retry-rejects", "profiles"}


def main(*command: str) -> None:
    """The console script `ray-import`; jobs give their `command`. `--debug` is taken wherever it stands."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = ["--debug"] if len(arguments) < len(sys.argv) - 1 else []
    set_up()
    run_command = partial(_run_command, [*debug, *command, *arguments])
    named = {*command, *arguments[:1]}
    if STARTS_RAY & named:
        supervised(run_command, as_json="--json" in arguments)
    elif MAY_START_RAY & named:
        supervised_once_begun(run_command, as_json="--json" in arguments)
    else:
        run_command()


def _run_command(arguments: list[str]) -> None:
    """Runs one command and ends with its exit code, as SystemExit."""
    try:
        try:
            with o.report_errors(), o.failure_in_json("--json" in arguments):
                o.refuse_empty(arguments)
            app(prog_name="ray-import", args=arguments)
        finally:
            flush()
    except typer.Exit as end:
        sys.exit(end.exit_code)
    except ReaderGone:
        sys.exit(0)
    except ResultsNotWritten as error:
        o.print_error(error)
        sys.exit(error.exit_code)


def _version(asked: bool) -> None:
    if asked:
        stdout.print(f"ray-import {__version__}")
        raise typer.Exit


@app.callback()
def common(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    _version_asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of all commands."""
    if debug:
        os.environ["RAY_IMPORT_DEBUG"] = "1"


@app.command()
def run(
    sources: o.SourcesArgument,
    to: o.ToOption = o.DEFAULT_DESTINATION,
    user_id: o.UserOption = "local",
    branches: o.BranchesOption = "all",
    chunk_tokens: o.ChunkTokensOption = o.CHUNKS.target_tokens,
    overlap_tokens: o.OverlapOption = o.CHUNKS.overlap_tokens,
    no_messages: o.NoMessagesOption = False,
    executor: o.ExecutorOption = "auto",
    workers: o.WorkersOption = None,
    max_connections: o.MaxConnectionsOption = None,
    batch_bytes: o.BatchBytesOption = o.FLOW.batch_bytes,
    reader: o.ReaderOption = "auto",
    force: o.ForceOption = False,
    prune: o.PruneOption = False,
    dry_run: o.DryRunOption = False,
    profile_table: o.ProfileTableOption = None,
    profile_pending: o.ProfilePendingOption = False,
    max_conversation_bytes: o.MaxConversationOption = o.READ.max_conversation_bytes,
    max_download_bytes: o.MaxDownloadOption = o.READ.max_download_bytes,
    nice: o.NiceOption = False,
    source_deadline_seconds: o.DeadlineOption = o.PACE.deadline_seconds,
    max_batch_seconds: o.MaxBatchSecondsOption = o.FLOW.max_batch_seconds,
    as_json: o.JsonOption = False,
) -> None:
    """Import exports: read, extract, chunk and store them."""
    with o.report_errors():
        with o.failure_in_json(as_json):
            read = o.read_limits_from(reader, max_conversation_bytes, max_download_bytes, source_deadline_seconds)
            flow = FlowLimits(batch_bytes=batch_bytes, max_batch_seconds=max_batch_seconds)
            chunks = ChunkSettings(chunk_tokens, overlap_tokens)
            settings = ImportSettings(branches, chunks, read, flow, messages=not no_messages)
            options = ImportOptions(
                force=force, prune=prune, profile_table=profile_table, profile_pending=profile_pending
            )
            if dry_run:
                plan = planned(sources, to, user_id, settings, workers)
                print_json(plan.as_dict()) if as_json else show_plan(stdout, plan)
                raise typer.Exit(plan.exit_code)
            summary = import_exports(
                sources, to, user_id, settings, workers, max_connections, options, executor=executor, nice=nice
            )
        _tell_end(summary, as_json=as_json)
        if not as_json and (command := parse_destination(to).query_hint()):
            stderr.print(f"\nLook at it: {command}", soft_wrap=True)
        raise typer.Exit(summary.exit_code)


@app.command()
def inspect(
    source: o.SourceArgument,
    branches: o.BranchesOption = "all",
    chunk_tokens: o.ChunkTokensOption = o.CHUNKS.target_tokens,
    overlap_tokens: o.OverlapOption = o.CHUNKS.overlap_tokens,
    reader: o.ReaderOption = "auto",
    max_conversation_bytes: o.MaxConversationOption = o.READ.max_conversation_bytes,
    max_download_bytes: o.MaxDownloadOption = o.READ.max_download_bytes,
    source_deadline_seconds: o.DeadlineOption = o.PACE.deadline_seconds,
    as_json: o.JsonOption = False,
) -> None:
    """Show the contents of an export and what an import would do; write nothing."""
    from ray_import.pipeline.inspection import inspect_sources  # noqa: PLC0415 - no other command needs it

    with o.report_errors(), o.failure_in_json(as_json):
        read = o.read_limits_from(reader, max_conversation_bytes, max_download_bytes, source_deadline_seconds)
        settings = ImportSettings(branches, ChunkSettings(chunk_tokens, overlap_tokens), read)
        found = inspect_sources(open_sources([source], settings.read), settings)
        if as_json:
            print_json(found.as_dict())
        else:
            show_inspection(stdout, found)
        raise typer.Exit(1 if lacks(found.problems) else 0)


@app.command()
def extract(
    source: o.SourceArgument,
    branches: o.BranchesOption = "all",
    reader: o.ReaderOption = "auto",
    max_conversation_bytes: o.MaxConversationOption = o.READ.max_conversation_bytes,
    max_download_bytes: o.MaxDownloadOption = o.READ.max_download_bytes,
    source_deadline_seconds: o.DeadlineOption = o.PACE.deadline_seconds,
) -> None:
    """Print the kept messages in order, one JSON object per line; one copy of each conversation."""
    from ray_import.pipeline.inspection import extracted, message_lines  # noqa: PLC0415 - see `inspect`

    with o.report_errors():
        read = o.read_limits_from(reader, max_conversation_bytes, max_download_bytes, source_deadline_seconds)
        settings = ImportSettings(branches, read=read)
        opened = open_sources([source], settings.read)
        problems = []
        seen = others = 0
        for outcome in extracted(opened, settings):
            seen += 1
            if isinstance(outcome, Conversation):
                for line in message_lines(outcome):
                    write_json(orjson.dumps(line))
            elif isinstance(outcome, Problem):
                problems.append(outcome)
            else:
                others += 1
        opened.refuse_nothing_found(seen, others)
        sys.stdout.flush()
        problems.extend(opened.problems)
        show_problems(stderr, problems)
        raise typer.Exit(1 if lacks(problems) else 0)


@app.command()
def status(
    to: o.ToOption = o.DEFAULT_DESTINATION,
    user_id: o.OnlyUserOption = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Maximum number of imports.")] = 100,
    as_json: o.JsonOption = False,
) -> None:
    """Show the imports of a destination, newest first."""
    with o.report_errors(), o.failure_in_json(as_json), closing(parse_destination(to).open(create=False)) as sink:
        found = sink.jobs(user_id, limit + 1)
        jobs = found[:limit]
        if as_json:
            print_json({"jobs": [asdict(job) for job in jobs]})
        else:
            show_jobs(stdout, jobs)
        if len(found) > limit:
            stderr.print(
                f"Only the newest {limit:,} are shown: use --limit for more, or --user-id for one user.", style="dim"
            )


@app.command()
def rejects(
    to: o.ToOption = o.DEFAULT_DESTINATION,
    user_id: o.OnlyUserOption = None,
    raw: Annotated[
        str | None, typer.Option("--raw", metavar="REJECT", help="Print only the raw bytes of this reject.")
    ] = None,
    as_json: o.JsonOption = False,
) -> None:
    """Show the items that could not be imported, and why."""
    with o.report_errors(), o.failure_in_json(as_json), closing(parse_destination(to).open(create=False)) as sink:
        kept = sink.rejects(user_id)
        if raw is not None:
            chosen = o.the_one_of(kept, raw)
            sys.stdout.buffer.write(sink.reject_bytes(chosen.user_id, chosen.raw_hash) or b"")
        elif as_json:
            print_json({"rejects": [asdict(reject) for reject in kept]})
        else:
            show_rejects(stdout, kept)


@app.command()
def retry_rejects(
    to: o.ToOption = o.DEFAULT_DESTINATION,
    user_id: o.OnlyUserOption = None,
    branches: o.BranchesOption = "all",
    chunk_tokens: o.ChunkTokensOption = o.CHUNKS.target_tokens,
    overlap_tokens: o.OverlapOption = o.CHUNKS.overlap_tokens,
    no_messages: o.NoMessagesOption = False,
    executor: o.ExecutorOption = "auto",
    workers: o.WorkersOption = None,
    max_batch_seconds: o.MaxBatchSecondsOption = o.FLOW.max_batch_seconds,
    as_json: o.JsonOption = False,
) -> None:
    """Import stored rejects again, for example after an upgrade; delete those that succeed."""
    with o.report_errors():
        summaries = []
        with o.failure_in_json(as_json):
            flow = FlowLimits(max_batch_seconds=max_batch_seconds)
            chunks = ChunkSettings(chunk_tokens, overlap_tokens)
            settings = ImportSettings(branches, chunks, flow=flow, messages=not no_messages)
            with closing(retry_kept(to, user_id, settings, workers, executor)) as retried:
                for summary in retried:
                    summaries.append(summary)
                    if not as_json:
                        stderr.print(f"rejects of the user {summary.user_id}")
                        show_summary(stderr, summary, command_seconds())
        if as_json:
            print_json({"imports": [summary.as_dict() for summary in summaries]})
        elif not summaries:
            stderr.print(f"There are no rejects{f' of the user {user_id}' if user_id else ''}.")
        for summary in summaries:
            if summary.error is not None:
                raise summary.error
        raise typer.Exit(max((summary.exit_code for summary in summaries), default=0))


app.command()(reimport)
app.command()(show)
app.command()(serve)
app.add_typer(profile_app, name="profile")
app.command()(profiles)
app.command()(work)
app.command()(work)


@app.command()
def migrate(
    to: o.ToOption = o.DEFAULT_DESTINATION,
    print_: Annotated[
        bool, typer.Option("--print", help="Print the SQL of all Postgres migrations instead of applying them.")
    ] = False,
) -> None:
    """Create or update the tables of a destination."""
    with o.report_errors():
        if print_:
            sys.stdout.write("\n".join(step.sql for step in migrations("postgres")))
            return
        migrated = parse_destination(to).migrate()
        what = f"applied {', '.join(migrated.applied)}" if migrated.applied else "up to date"
        stderr.print(f"{migrated.address}: {what}", soft_wrap=True)


def _tell_end(summary: Summary, *, as_json: bool) -> None:
    """Raises the error of an import that has failed, else ResultsNotWritten."""
    try:
        if as_json:
            print_json(summary.as_dict())
        else:
            show_summary(stderr, summary, command_seconds())
    finally:
        if summary.error is not None:
            raise summary.error
