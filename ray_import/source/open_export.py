"""From a path or an address to the streams that hold conversations: ZIP, ZIP in ZIP, tar, folder, gzip, bare JSON.

What a thing is, its first bytes decide, not its name (extraction.md §1).
"""

import os
import stat
from pathlib import Path

from ray_import.chatgpt.files import shown
from ray_import.errors import ConfigError
from ray_import.settings import ReadLimits
from ray_import.source.address import HttpAddress, address_of
from ray_import.source.export import Export, in_reading_order
from ray_import.source.files import PermittedPath, permitted
from ray_import.source.finder import Finder
from ray_import.source.patience import PATIENCE, RetryPolicy

LIMITS = ReadLimits()


def open_export(
    source: str | os.PathLike[str], limits: ReadLimits = LIMITS, patience: RetryPolicy = PATIENCE
) -> Export:
    """Finds the conversation members of `source` (see `address_of`), reading no more than directories and first bytes.

    Raises ConfigError where `source` names nothing, SourceError and its kinds where it cannot be read, may not be by
    `limits.sources`, or cannot be an export. A part that cannot be read is a problem where others can.
    """
    address = address_of(source, limits.sources)
    if isinstance(address, HttpAddress):
        finder = _looked_at(address, limits, patience)
    else:
        finder = _looked_into(address, permitted(address, limits.sources), limits)
    if not finder.members:
        raise finder.failure()
    members, problems = in_reading_order(finder.members), tuple(finder.problems)
    return Export(finder.where, members, problems, frozenset(finder.listed), frozenset(finder.shards))


def _looked_at(address: HttpAddress, limits: ReadLimits, patience: RetryPolicy) -> Finder:
    from ray_import.source.remote import open_remote  # noqa: PLC0415 - a fifth of a second that a path need not wait

    opener, size = open_remote(address, patience, limits)
    finder = Finder(address.label, without=f"{address.name}/")
    finder.look_into_stream(opener, address.name, size)
    return finder


def _looked_into(named: Path, permitted: PermittedPath, limits: ReadLimits) -> Finder:
    path = permitted.path
    try:
        status = path.stat()
    except PermissionError:
        raise ConfigError(f"{shown(str(named))} is in a folder that this user cannot open.") from None
    except (OSError, ValueError):
        raise ConfigError(f"There is no file or folder {shown(str(named))}.") from None
    is_folder = stat.S_ISDIR(status.st_mode)
    is_pipe = stat.S_ISFIFO(status.st_mode) and limits.sources.files_under is None
    if not is_folder and not is_pipe and not stat.S_ISREG(status.st_mode):
        raise ConfigError(
            f"{shown(str(named))} is neither a file nor a folder.", "Write the contents of a pipe to a file first."
        )
    finder = Finder(shown(str(named)), without="" if is_folder else f"{shown(named.name)}/")
    if is_folder:
        finder.look_into_folder(path, permitted.open_file)
    elif is_pipe:
        from ray_import.source.remote import piped  # noqa: PLC0415 - brings in what downloads need

        opener, size = piped(path, finder.where, limits.max_download_bytes)
        finder.look_into_stream(opener, shown(named.name), size)
    else:
        finder.look_into_stream(permitted.open_file(path), shown(named.name), status.st_size)
    return finder
