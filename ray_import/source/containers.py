"""From a path to the streams that hold conversations: ZIP, ZIP in ZIP, tar, folder, gzip, bare JSON.

What a thing is, its first bytes decide, not its name (extraction.md §1).
"""

import stat
from pathlib import Path

from ray_import.errors import ConfigError
from ray_import.source.export import Export
from ray_import.source.finder import Finder
from ray_import.source.names import shard_order, shown


def open_export(path: Path) -> Export:
    """Finds the conversation members of `path`, reading no more than directories and first bytes.

    Raises ConfigError where there is nothing at `path`, SourceError and its kinds where it cannot be
    an export. A part that cannot be read is a problem where others can.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        raise ConfigError(f"There is no file or folder {shown(str(path))}.") from None
    is_folder = stat.S_ISDIR(mode)
    if not is_folder and not stat.S_ISREG(mode):
        raise ConfigError(
            f"{shown(str(path))} is neither a file nor a folder.", "A pipe has to be written to a file first."
        )
    finder = Finder(shown(str(path)), without="" if is_folder else f"{shown(path.name)}/")
    if is_folder:
        finder.look_into_folder(path)
    else:
        finder.look_into_file(path)
    if not finder.members:
        raise finder.failure()
    members = sorted(finder.members, key=lambda member: shard_order(member.name))
    return Export(finder.where, tuple(members), tuple(finder.problems))
