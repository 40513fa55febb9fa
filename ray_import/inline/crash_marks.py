"""Marks: small files that say which batch a process is working on, so that a later run knows where one died.

A mark is one line of JSON: the process (`holder`), the import (`key`, a hash) and the items of the batch (`items`:
hashes of members, positions). It holds no names and no words. It needs no fsync: the process dies, not the machine.
"""

import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, Self

import orjson

from ray_import.destinations.base import LEASE_SECONDS
from ray_import.pipeline.lease import is_dead, this_process
from ray_import.records import Frame

MOST_MARK_BYTES = 1024 * 1024
"""A mark of 5,000 conversations, each in a member of its own, has a third of that. A larger file is no mark."""
MOST_MARKS = 1_000
FORGOTTEN_AFTER_SECONDS = 30 * 86_400.0
"""A mark that no run has met for so long is deleted."""
_ENDING = ".mark"


class Items(NamedTuple):
    """Items `first` to `last` of one member, which is named by its hash."""

    member: str
    first: int
    last: int

    def meets(self, other: "Items") -> bool:
        """Whether an item is in both."""
        return self.member == other.member and self.first <= other.last and other.first <= self.last

    def without(self, other: "Items") -> "list[Items]":
        """What is left without the items of `other`: at most two parts."""
        if not self.meets(other):
            return [self]
        parts = (Items(self.member, self.first, other.first - 1), Items(self.member, other.last + 1, self.last))
        return [part for part in parts if part.first <= part.last]


def items_of(frames: Iterable[Frame]) -> list[Items]:
    """The items of a batch, neighbours of one member together."""
    return [
        Items(_hashed(member), min(positions), max(positions))
        for member, group in groupby(frames, key=attrgetter("member"))
        if (positions := [frame.position for frame in group])
    ]


def key_of(destination: str, user_id: str, source: str) -> str:
    """Names an import: equal for two runs that import the same source of the same user to the same destination."""
    return _hashed("\0".join((destination, user_id, source)))


def _hashed(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class LeftMark:
    """A mark whose process has died, or that was left on purpose."""

    path: Path
    key: str
    items: tuple[Items, ...]

    def settled(self, items: Sequence[Items]) -> Self | None:
        """The mark without `items`, which have been imported or rejected; None, and no file, if nothing is left."""
        rest = list(self.items)
        for done in items:
            rest = [part for one in rest for part in one.without(done)]
        with suppress(OSError):
            if rest:
                self.path.write_bytes(_line("", self.key, rest))
            else:
                self.path.unlink()
        return type(self)(self.path, self.key, tuple(rest)) if rest else None


class Marks:
    """The mark of this process in `folder`, and those that others have left there.

    Without a folder, or where the mark cannot be written, nothing is marked: an import does not fail for that.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._file: int | None = None
        self._path: Path | None = None
        self._line = b""
        self._left = _left_in(folder) if folder is not None else []

    def left_at(self, key: str, items: Sequence[Items]) -> bool:
        """Whether an earlier process died in a batch of this import that shares an item with `items`."""
        return any(
            mark.key == key and any(one.meets(other) for one in mark.items for other in items) for mark in self._left
        )

    def settle(self, key: str, items: Sequence[Items]) -> None:
        """Forgets, of the marks that were left, what has been imported or rejected by now."""
        settled = [mark.settled(items) if mark.key == key else mark for mark in self._left]
        self._left = [mark for mark in settled if mark is not None]

    def enter(self, key: str, items: Sequence[Items]) -> None:
        """Marks the batch that is to be worked on."""
        if self._file is None and self._folder is not None:
            self._open(self._folder)
        if self._file is not None:
            self._line = _line(this_process(), key, items)
            with suppress(OSError):
                os.pwrite(self._file, self._line, 0)

    def leave(self) -> None:
        """The batch is done with, whatever came of it."""
        if self._file is not None:
            with suppress(OSError):
                os.pwrite(self._file, _line(this_process(), "", ()), 0)

    def close(self, *, keep: bool = False) -> None:
        """Removes the mark; with `keep` it stays as if this process had died in the batch that was marked last."""
        file, self._file = self._file, None
        if file is None or self._path is None:
            return
        with suppress(OSError):
            os.close(file)
        with suppress(OSError, ValueError):
            if keep:
                told = orjson.loads(self._line)
                self._path.write_bytes(orjson.dumps(told | {"holder": ""}) + b"\n")
            else:
                self._path.unlink()

    def _open(self, folder: Path) -> None:
        with suppress(OSError):
            self._file, name = tempfile.mkstemp(_ENDING, f"{os.getpid()}-", folder)  # mode 0600
            self._path = Path(name)
        if self._file is None:
            self._folder = None


def marks_folder() -> Path | None:
    """A folder for this user's marks alone, made if need be: below XDG_STATE_HOME (by default ~/.local/state), else
    below TMPDIR; None where neither can be used."""
    with suppress(OSError, RuntimeError):  # the latter where there is no home
        state = os.environ.get("XDG_STATE_HOME", "")
        base = Path(state) if state.startswith("/") else Path("~/.local/state").expanduser()
        return _own_folder(base / "ray-import" / "marks")
    with suppress(OSError):
        return _own_folder(Path(tempfile.gettempdir()) / f"ray-import-{os.getuid()}")
    return None


def _own_folder(path: Path) -> Path:
    """Raises OSError where it is another user's, a link, or cannot be written to."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(path)
    if found.st_mode & 0o077:
        path.chmod(0o700)
    return path


def _line(holder: str, key: str, items: Sequence[Items]) -> bytes:
    return orjson.dumps({"holder": holder, "key": key, "items": [tuple(one) for one in items]}) + b"\n"


def _left_in(folder: Path) -> list[LeftMark]:
    left = []
    with suppress(OSError):
        for path in sorted(folder.glob(f"*{_ENDING}"))[:MOST_MARKS]:
            mark = _left_mark(path)
            if mark is not None:
                left.append(mark)
    return left


def _left_mark(path: Path) -> LeftMark | None:
    """The mark at `path` if its process is gone. A file that is no such mark is deleted when it is old, or when its
    process is gone."""
    with suppress(OSError):
        found = path.lstat()
        silent_seconds = time.time() - found.st_mtime
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid():
            return None
        if not found.st_size and _has_no_process(path):
            path.unlink()
            return None
        told = _told(path) if found.st_size <= MOST_MARK_BYTES else None
        if told is not None and not _is_gone(told[0], silent_seconds):
            return None
        if told is not None and told[2] and silent_seconds < FORGOTTEN_AFTER_SECONDS:
            return LeftMark(path, told[1], told[2])
        if told is not None or silent_seconds >= FORGOTTEN_AFTER_SECONDS:
            path.unlink()
    return None


def _has_no_process(path: Path) -> bool:
    """Whether the process that made this empty file, and is named by it, was killed before it wrote its first line.

    In another container the same id may name nobody. Then a process that is about to write loses its mark, no more.
    """
    with suppress(ValueError, PermissionError):
        try:
            os.kill(int(path.name.partition("-")[0]), 0)
        except ProcessLookupError:
            return True
    return False


def _told(path: Path) -> tuple[str, str, tuple[Items, ...]] | None:
    """What the first line says: holder, key, items; None where that is no mark."""
    with suppress(ValueError, TypeError, KeyError):
        told = orjson.loads(path.read_bytes().split(b"\n", 1)[0])
        items = tuple(Items(str(member), int(first), int(last)) for member, first, last in told["items"])
        return str(told["holder"]), str(told["key"]), items
    return None


def _is_gone(holder: str, silent_seconds: float) -> bool:
    """Whether the process of a mark has ended. One of another host or container cannot be seen: it counts as ended when
    it has marked nothing for as long as a lease lasts. If it lives, a batch takes a child process, and no harm is done.
    """
    return not holder or is_dead(holder) or (not _same_place(holder) and silent_seconds > LEASE_SECONDS)


def _same_place(holder: str) -> bool:
    return holder.rsplit("/", 2)[0] == this_process().rsplit("/", 2)[0]
