"""The options that commands share, and how errors become words and exit codes."""

import os
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from ray_import.chatgpt.extract import hash_digits
from ray_import.chatgpt.files import shown
from ray_import.cli.output import ReaderGone, print_json, stderr
from ray_import.cluster.environment import inside_job
from ray_import.destinations.base import KeptReject
from ray_import.errors import ConfigError, ImporterError, ResultsNotWritten
from ray_import.inline.estimate import Asked
from ray_import.pipeline.users import seconds_of
from ray_import.settings import (
    AllowedHost,
    Branches,
    ChunkSettings,
    FlowLimits,
    Reader,
    ReadLimits,
    SourcePace,
    SourceRules,
)
from ray_import.source.address import allowed_origin, without_secrets

DEFAULT_DESTINATION = "sqlite:///chunks.db"

_WHERE = "as a path, https://… or supabase://BUCKET/PATH."
SourceArgument = Annotated[
    str, typer.Argument(metavar="SOURCE", help=f"ZIP, folder, .json file, gzip or tar; {_WHERE}")
]
SourcesArgument = Annotated[
    list[str], typer.Argument(metavar="SOURCE...", help=f"ZIPs, folders, .json files, gzips or tars; {_WHERE}")
]
ToOption = Annotated[
    str,
    typer.Option(
        "--to", metavar="URL", help="Destination of the chunks: sqlite:///PATH, postgresql://…, postgres or supabase."
    ),
]
UserOption = Annotated[
    str, typer.Option("--user-id", metavar="ID", help="Id of the user whose conversations these are.")
]
OnlyUserOption = Annotated[
    str | None, typer.Option("--user-id", metavar="ID", help="Only this user; default: all users.")
]
BranchesOption = Annotated[
    Branches,
    typer.Option("--branches", help="Import all branches of a conversation, or only the one that the app shows."),
]
ChunkTokensOption = Annotated[
    int, typer.Option("--chunk-tokens", metavar="N", help="Maximum size of a chunk, in tokens.")
]
OverlapOption = Annotated[
    int, typer.Option("--overlap-tokens", metavar="N", help="Overlap between consecutive chunks, in tokens.")
]
NoMessagesOption = Annotated[
    bool, typer.Option("--no-messages", help="Store chunks alone, without the messages they are made of.")
]
ReaderOption = Annotated[
    Reader,
    typer.Option("--reader", help="JSON splitter: auto uses framing, which is fast, and falls back to ijson."),
]
ExecutorOption = Annotated[
    Asked,
    typer.Option(
        "--executor", help="Run on Ray, or inline: in this process. auto takes what is estimated to be faster."
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", metavar="N", help="Number of Ray workers; default: one per CPU.")
]
NiceOption = Annotated[
    bool, typer.Option("--nice", help="Give other programs of this machine precedence: workers at niceness 15.")
]
MaxDownloadOption = Annotated[
    int,
    typer.Option(
        "--max-download-bytes", metavar="N", help="Maximum download into TMPDIR from a server without range support."
    ),
]
SlowBytesOption = Annotated[
    int,
    typer.Option(
        "--slow-bytes-per-second",
        metavar="N",
        help="A server below this rate is slow, and other sources are read first.",
    ),
]
SlowAfterOption = Annotated[
    float,
    typer.Option(
        "--slow-after-seconds", metavar="S", help="Seconds of waiting for the server over which its rate is measured."
    ),
]
DeadlineOption = Annotated[
    float,
    typer.Option(
        "--source-deadline-seconds",
        metavar="S",
        help="Maximum seconds of waiting for a source's server, plus 1 s per MB that it announces.",
    ),
]
FilesUnderOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--files-under", metavar="FOLDER", help="Allow sources that are files below this folder; can be repeated."
    ),
]
PublicOnlyOption = Annotated[
    bool | None,
    typer.Option(
        "--public-only/--no-public-only",
        help="Read only https from public addresses; default: on with --from-table.",
        show_default=False,
    ),
]
AllowHostOption = Annotated[
    list[str] | None,
    typer.Option("--allow-host", metavar="HOST[:PORT]", help="A host exempt from --public-only; can be repeated."),
]
MaxBatchSecondsOption = Annotated[
    int,
    typer.Option(
        "--max-batch-seconds", metavar="N", help="Maximum CPU seconds per batch; after that, its worker is stopped."
    ),
]
MaxConversationOption = Annotated[
    int,
    typer.Option(
        "--max-conversation-bytes",
        metavar="N",
        help="Maximum JSON per conversation; a larger one becomes a reject that keeps its first and last bytes.",
    ),
]
BatchBytesOption = Annotated[int, typer.Option("--batch-bytes", metavar="N", help="Raw JSON per batch, in bytes.")]
PruneOption = Annotated[
    bool,
    typer.Option("--prune", help="After a complete import, delete conversations that this newer export no longer has."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Also import again what is unchanged.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; write nothing.")]
ProfileTableOption = Annotated[
    str | None,
    typer.Option("--profile-table", metavar="TABLE", help="Also update the user's row in this table."),
]
ProfilePendingOption = Annotated[
    bool,
    typer.Option("--profile-pending", help="Leave the row of --profile-table at processing, for later steps."),
]
MaxConnectionsOption = Annotated[
    int | None,
    typer.Option(
        "--max-connections", metavar="N", min=1, help="Maximum number of workers that write at the same time."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]

CHUNKS = ChunkSettings()
FLOW = FlowLimits()
READ = ReadLimits()
PACE = SourcePace()


def read_limits_from(
    reader: Reader, max_conversation_bytes: int, max_download_bytes: int, source_deadline_seconds: float
) -> ReadLimits:
    """How a single export is read. Raises ConfigError."""
    return ReadLimits(
        max_conversation_bytes=max_conversation_bytes,
        reader=reader,
        max_download_bytes=max_download_bytes,
        pace=SourcePace(deadline_seconds=source_deadline_seconds),
    )


def refuse_empty(arguments: Sequence[str]) -> None:
    """Raises ConfigError where an argument is empty, or blank: an unset variable, mostly. No command takes one, and
    an empty path would be the current folder."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option, equals, value = argument.partition("=")
        if not argument.strip():
            what = f"The argument after {before}" if before else "The first argument"
            raise ConfigError(f"{what} is empty.", "Check for an unset shell variable.")
        if option.startswith("--") and equals and not value.strip():
            raise ConfigError(f"{option} is empty.", "Check for an unset shell variable.")


def rules_from(
    manifest: Path | None,
    is_table: bool,
    files_under: Sequence[Path],
    public_only: bool | None,
    allow_host: Sequence[str],
) -> SourceRules:
    """Which sources a list of users may name: of files, those below the folder of the manifest and `files_under`. A
    manifest that is a link has two folders: where it is named, and where it lies. Raises ConfigError."""
    for folder in files_under:
        if not folder.is_dir():
            raise ConfigError(f"--files-under {shown(str(folder))}: there is no such folder.")
        if inside_job() and not folder.is_absolute():
            raise ConfigError(
                f"--files-under {shown(str(folder))} is relative, but a job has another working directory.",
                "Give an absolute path.",
            )
    own = [] if manifest is None else [manifest.parent, Path(os.path.realpath(manifest)).parent]
    folders = tuple(dict.fromkeys(str(folder.absolute()) for folder in [*own, *files_under]))
    public_only = is_table if public_only is None else public_only
    return SourceRules(folders, public_only, allowed_hosts(allow_host) if public_only else ())


def allowed_hosts(named: Sequence[str], option: str = "--allow-host") -> tuple[AllowedHost, ...]:
    """These, and the project that the operator has set. Raises ConfigError, which names the `option`."""
    from ray_import.credentials import environment, is_web_address  # noqa: PLC0415 - a twentieth of a second

    hosts = []
    for text in named:
        from ray_import.source.ssrf_guard import allowed_host  # noqa: PLC0415 - a fifth

        try:
            hosts.append(allowed_host(text))
        except ValueError:
            raise ConfigError(
                f"{option} {shown(without_secrets(text))} is not a valid host.", "Use HOST or HOST:PORT."
            ) from None
    project = environment().supabase_url.strip()
    return (*hosts, allowed_origin(project)) if is_web_address(project) else tuple(hosts)


def since_from(date: str | None) -> float | None:
    """The moment that --since names, in seconds since 1970. Raises ConfigError."""
    try:
        return None if date is None else seconds_of(date)
    except ValueError:
        raise ConfigError(f"--since {date} is not a valid date.", "Use 2026-05-01 or 2026-05-01T12:00:00Z.") from None


def checked_user(user_id: str) -> str:
    """A user id that can be stored. Raises ConfigError."""
    if not user_id.strip() or not user_id.isprintable():
        raise ConfigError(
            "--user-id is empty or contains non-printable characters.", "Give the id of the user who owns the chats."
        )
    return user_id


def the_one_of(rejects: Sequence[KeptReject], name: str) -> KeptReject:
    """The reject whose hash begins with `name`, with or without its algorithm. Raises ConfigError."""
    found = [r for r in rejects if name and (r.raw_hash.startswith(name) or hash_digits(r.raw_hash).startswith(name))]
    if not found or len({reject.raw_hash for reject in found}) > 1:
        what = "several rejects" if found else "no reject"
        raise ConfigError(f"--raw {name} matches {what}.", "Copy one from the output of ray-import rejects.")
    return found[0]


@contextmanager
def failure_in_json(asked: bool) -> Iterator[None]:
    """Where JSON was `asked` for, an error is an object on standard output, too."""
    try:
        yield
    except ImporterError as error:
        if asked:
            with suppress(ResultsNotWritten):  # the error matters more
                print_json({"status": "failed", "error": str(error)})
        raise


@contextmanager
def report_errors() -> Iterator[None]:
    """Turns an error into its one or two lines on standard error and its exit code; with --debug into its traceback
    and the same exit code."""
    try:
        yield
    except typer.Exit:
        raise
    except ImporterError as error:
        _tell(error)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        stderr.print("interrupted")
        raise typer.Exit(3) from None
    except ReaderGone:
        raise typer.Exit(0) from None
    except Exception as error:  # noqa: BLE001 - a fault of ours ends with its exit code, too
        what = f"A fault in ray-import: {type(error).__name__}."
        _tell(ImporterError(what, "Run it again with --debug and report what it prints."))
        raise typer.Exit(3) from None


def _tell(error: ImporterError) -> None:
    """To be called while an exception is handled."""
    if os.environ.get("RAY_IMPORT_DEBUG") == "1":
        stderr.print(Text(traceback.format_exc().rstrip()), soft_wrap=True)
    else:
        print_error(error)


def print_error(error: ImporterError) -> None:
    """The one or two lines that a person gets."""
    stderr.print(Text.assemble(("error: ", "red"), error.message), soft_wrap=True)
    if error.hint:
        stderr.print(Text(error.hint), soft_wrap=True)
