"""The options that commands share, and how errors become words and exit codes."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.text import Text

from ray_import.bulk.users import seconds_of
from ray_import.errors import ConfigError, ImporterError
from ray_import.settings import Branches, ChunkSettings, FlowLimits, ImportSettings, Reader, ReadLimits
from ray_import.sink.port import KeptReject
from ray_import.terminal.streams import nobody_reads, print_json, stderr

DEFAULT_DESTINATION = "sqlite:///chunks.db"

_WHERE = "by path, as https://… or as supabase://BUCKET/PATH."
SourceArgument = Annotated[
    str, typer.Argument(metavar="SOURCE", help=f"A ZIP, a folder, a .json, one of these gzipped, a tar; {_WHERE}")
]
SourcesArgument = Annotated[
    list[str], typer.Argument(metavar="SOURCE...", help=f"ZIPs, folders, .json files, these gzipped, tars; {_WHERE}")
]
ToOption = Annotated[
    str,
    typer.Option(
        "--to", metavar="URL", help="Where the chunks go: sqlite:///PATH, postgresql://…, postgres or supabase."
    ),
]
UserOption = Annotated[str, typer.Option("--user-id", metavar="ID", help="Whose conversations these are.")]
BranchesOption = Annotated[
    Branches,
    typer.Option("--branches", help="All branches of a conversation, or only the one that the app shows."),
]
ChunkTokensOption = Annotated[int, typer.Option("--chunk-tokens", metavar="N", help="A chunk's most, in tokens.")]
OverlapOption = Annotated[
    int, typer.Option("--overlap-tokens", metavar="N", help="How much a chunk repeats of the one before.")
]
ReaderOption = Annotated[
    Reader,
    typer.Option("--reader", help="Who says where a conversation ends; auto is the fast one, helped by the other."),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", metavar="N", help="Worker processes; default: one a CPU.")
]
MaxDownloadOption = Annotated[
    int,
    typer.Option("--max-download-bytes", metavar="N", help="The most that a server without ranges may send to TMPDIR."),
]
MaxConversationOption = Annotated[
    int,
    typer.Option(
        "--max-conversation-bytes",
        metavar="N",
        help="The most JSON of one conversation; a larger one becomes a reject, of which the ends are kept.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]

CHUNKS = ChunkSettings()
FLOW = FlowLimits()
READ = ReadLimits()


def settings_from(
    branches: Branches,
    chunk_tokens: int = CHUNKS.target_tokens,
    overlap_tokens: int = CHUNKS.overlap_tokens,
    batch_bytes: int = FLOW.batch_bytes,
    reader: Reader = "auto",
    max_download_bytes: int = READ.max_download_bytes,
    max_conversation_bytes: int = READ.max_conversation_bytes,
) -> ImportSettings:
    """The settings that these options mean. Raises ConfigError."""
    return ImportSettings(
        branches,
        ChunkSettings(chunk_tokens, overlap_tokens),
        ReadLimits(max_conversation_bytes=max_conversation_bytes, reader=reader, max_download_bytes=max_download_bytes),
        FlowLimits(batch_bytes=batch_bytes),
    )


def since_from(date: str | None) -> float | None:
    """The moment that --since names, in seconds since 1970. Raises ConfigError."""
    try:
        return None if date is None else seconds_of(date)
    except ValueError:
        raise ConfigError(f"--since {date} is no date.", "It looks like 2026-05-01 or 2026-05-01T12:00:00Z.") from None


def checked_user(user_id: str) -> str:
    """A user id that can be stored. Raises ConfigError."""
    if not user_id.strip() or not user_id.isprintable():
        raise ConfigError("--user-id is empty or has characters that cannot be printed.", "Name whose chats these are.")
    return user_id


def the_one_of(rejects: Sequence[KeptReject], name: str) -> KeptReject:
    """The reject whose hash begins with `name`, as `ray-import rejects` prints it. Raises ConfigError."""
    found = [reject for reject in rejects if name and reject.raw_hash.startswith(name)]
    if not found or len({reject.raw_hash for reject in found}) > 1:
        what = "several rejects" if found else "no reject"
        raise ConfigError(f"--raw {name} names {what}.", "Name one as ray-import rejects shows it.")
    return found[0]


@contextmanager
def failure_in_json(asked: bool) -> Iterator[None]:
    """Where JSON was `asked` for, an error is an object on standard output, too."""
    try:
        yield
    except ImporterError as error:
        if asked:
            print_json({"status": "failed", "error": str(error)})
        raise


@contextmanager
def errors_told() -> Iterator[None]:
    """Turns an error into its one or two lines on standard error and its exit code."""
    try:
        yield
    except typer.Exit:
        raise
    except ImporterError as error:
        if _debugging():
            raise
        tell_error(error)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        stderr.print("interrupted")
        raise typer.Exit(3) from None
    except BrokenPipeError:
        # The reader of a pipe has gone (`extract … | head`): nothing is wrong, and nothing more to say.
        nobody_reads(sys.stdout)
        raise typer.Exit(0) from None
    except Exception as error:
        if _debugging():
            raise
        what = f"A fault in ray-import: {type(error).__name__}."
        tell_error(ImporterError(what, "Run it again with --debug and report what it prints."))
        raise typer.Exit(3) from None


def tell_error(error: ImporterError) -> None:
    """The one or two lines that a person gets."""
    stderr.print(Text.assemble(("error: ", "red"), error.message), soft_wrap=True)
    if error.hint:
        stderr.print(Text(error.hint), soft_wrap=True)


def _debugging() -> bool:
    return os.environ.get("RAY_IMPORT_DEBUG") == "1"
