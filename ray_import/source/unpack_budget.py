"""How much may be unpacked and listed of one source, over all archives in it.

A limit for each archive bounds nothing: an archive may hold any number of others, and entries may share their data.
"""

import weakref
from collections.abc import Callable
from typing import Protocol

from ray_import.errors import UnsafeSource

MAX_RATIO = 200
"""Text deflates 4 to 30 times; a bomb, 1,000 times."""
MAX_COPIED_RATIO = 50
"""Of temporary copies: a ZIP hardly packs again, a tar of text packs 4 to 30 times."""
RATIOS_MATTER_FROM_BYTES = 128 * 1024 * 1024
"""A small source may be packed better, to this size."""

MAX_ENTRIES = 500_000
"""Exports have thousands of files, of pictures tens of thousands."""
MAX_ARCHIVES = 1_000
"""The privacy portal's download has a few archives in it."""

MAX_OPEN_COPIES = 16
"""Each is a file descriptor, of which a process often has 1,024, or 256."""

_HINT = "If you trust it, unpack the archives in it and import the folder."

Upto = Callable[[int], None]
"""Called with how many bytes of a stream were unpacked so far. Raises UnsafeSource if that is too much."""


class Closable(Protocol):
    """A temporary copy that can be closed, and is made again if it is opened after that."""

    def close(self) -> None:
        """Frees what it holds open."""


class Budget:
    """What is left for one source. When a limit is exceeded, UnsafeSource is raised with the `name` of the part."""

    def __init__(self, source_bytes: int, files: int = 1) -> None:
        """Of a source of `source_bytes`, in so many `files`."""
        self._source_bytes = source_bytes
        self._most_bytes = self._left_bytes = max(RATIOS_MATTER_FROM_BYTES, MAX_RATIO * source_bytes)
        self._most_copied = self._left_copied = max(RATIOS_MATTER_FROM_BYTES, MAX_COPIED_RATIO * source_bytes)
        self._left_entries = MAX_ENTRIES
        self._left_archives = MAX_ARCHIVES + files
        self._open_copies: list[weakref.ref[Closable]] = []

    def unpack(self, size: int, name: str) -> None:
        """Counts `size` bytes that are unpacked, or that a header claims."""
        self._left_bytes -= size
        if self._left_bytes < 0:
            raise self._too_much(name, self._most_bytes, "")

    def upto(self, name: str) -> Upto:
        """Counts the bytes of a stream as unpacked, once, however often the stream is read."""
        counted = 0

        def count_upto(end: int) -> None:
            nonlocal counted
            if end > counted:
                more, counted = end - counted, end
                self.unpack(more, name)

        return count_upto

    def copy(self, size: int, name: str) -> None:
        """Counts `size` bytes that are to be written to a temporary file, each time that they are."""
        self._left_copied -= size
        if self._left_copied < 0:
            raise self._too_much(name, self._most_copied, " of archives")

    def list_entries(self, count: int, name: str) -> None:
        """Counts entries of the archive `name`."""
        self._left_entries -= count
        if self._left_entries < 0:
            raise UnsafeSource(f"{name}: the archives read so far list more than {MAX_ENTRIES:,} files.", _HINT)

    def open_archive(self, name: str) -> None:
        """Counts an archive that is looked into."""
        self._left_archives -= 1
        if self._left_archives < 0:
            raise UnsafeSource(f"{name}: the archives read so far contain more than {MAX_ARCHIVES:,} archives.", _HINT)

    def keep_open(self, copy: Closable) -> None:
        """Notes that `copy` was opened just now. If there are too many, the one opened least recently is closed."""
        others = [one for one in self._open_copies if one() not in (None, copy)]
        self._open_copies = [*others, weakref.ref(copy)]
        while len(self._open_copies) > MAX_OPEN_COPIES:
            oldest = self._open_copies.pop(0)()
            if oldest is not None:
                oldest.close()

    def close_copies(self) -> None:
        """Closes all copies that are open."""
        for copy in self._open_copies:
            if (one := copy()) is not None:
                one.close()

    def _too_much(self, name: str, most_bytes: int, what: str) -> UnsafeSource:
        return UnsafeSource(
            f"{name}: more than {most_bytes:,} bytes{what} were unpacked so far from a source of "
            f"{self._source_bytes:,} bytes: no export compresses that well.",
            _HINT,
        )


def uncounted(_end: int) -> None:
    """Of what has no budget, see `Upto`."""
