"""Files of this machine that a list of users may name: those below certain folders, whatever links lead to them."""

import os
import stat
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ray_import.chatgpt.files import shown
from ray_import.errors import ConfigError, SourceNotAllowed
from ray_import.settings import SourceRules
from ray_import.source.streams import Opener, file, opening

OpenFile = Callable[[Path], Opener]
"""Gives the opener of a path."""

_PASS_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
_READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A FIFO that has taken the file's place must not block."""


@dataclass(frozen=True, slots=True)
class PermittedPath:
    """A path that may be read, and how the files at and below it are opened."""

    path: Path
    open_file: OpenFile


def permitted(path: Path, rules: SourceRules) -> PermittedPath:
    """`path` with all its links resolved now; as it is where `rules` allow all files.

    Raises SourceNotAllowed where it is not below one of the folders, ConfigError where it cannot be a path. A hard
    link below a folder is a file of that folder: nothing tells where else it has a name.
    """
    if rules.files_under is None:
        return PermittedPath(path, file)
    try:
        real = Path(os.path.realpath(path))
        folders = [Path(os.path.realpath(folder)) for folder in rules.files_under]
    except (OSError, ValueError):
        raise ConfigError(f"There is no file or folder {shown(str(path))}.") from None
    for folder in folders:
        if folder in real.parents:
            return PermittedPath(real, partial(_file_below, folder))
    raise SourceNotAllowed(
        f"{shown(str(path))} is not allowed: it is not below a folder given with --files-under.",
        "Give its folder with --files-under if these users may read the files in it.",
    )


def _file_below(folder: Path, path: Path) -> Opener:
    parts = path.relative_to(folder).parts

    def open_file(stack: ExitStack) -> BinaryIO:
        with opening():
            return stack.enter_context(_opened(folder, parts))

    return open_file


def _opened(folder: Path, parts: tuple[str, ...]) -> BinaryIO:
    """The regular file at `parts` below `folder`. Who may write there may put a link into any place after it was
    resolved: so each part is opened in the one before, and none may be a link. Raises OSError."""
    *folders, name = parts
    parent = os.open(folder, _PASS_FOLDER)
    try:
        for part in folders:
            inner = os.open(part, _PASS_FOLDER, dir_fd=parent)
            os.close(parent)
            parent = inner
        descriptor = os.open(name, _READ_FILE, dir_fd=parent)
    finally:
        os.close(parent)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{shown(name)} is not a regular file")
    return os.fdopen(descriptor, "rb")
