"""Temporary copies of archives that are packed once more, in files without a name.

A ZIP's directory lies at its end, and to go back in a packed stream is to begin again: so it is unpacked once. A ZIP
that is only stored in another one is read where it lies.
"""

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

from ray_import.errors import SourceError, UnsafeArchive
from ray_import.records import Problem, trailing_data
from ray_import.source.reasons import TrailingData, in_words
from ray_import.source.streams import DAMAGE, Opener, ReadAt, data_of, entry_of_zip, opening, read_at_of, window
from ray_import.source.unpack_budget import Budget

COPY_BYTES = 1024 * 1024


class Copy:
    """An Opener of what `outer` holds, to go back and forth in at no cost. The first open makes a temporary file.

    The file is closed with the Copy, or by `close`, once no stream of it is open; an open after that makes it again,
    and counts its bytes again.
    Opening raises SourceError if there is no room for its `size` (None if only reading tells), UnsafeArchive if it
    exceeds `at_most`, UnsafeSource if it exceeds the budget, and one of DAMAGE. With `problems` the copy ends at the
    damage instead, which is added to them.
    """

    def __init__(
        self,
        outer: Opener,
        name: str,
        size: int | None,
        budget: Budget,
        at_most: int | None = None,
        problems: list[Problem] | None = None,
    ) -> None:
        self.name = name
        self._outer = outer
        self._size = size
        self._budget = budget
        self._at_most = at_most
        self._problems = problems
        self._file: tuple[ReadAt, int] | None = None

    def __call__(self, stack: ExitStack) -> BinaryIO:
        if self._file is None:
            self._file = self._copied()
        self._budget.keep_open(self)
        return window(stack, *self._file)

    def close(self) -> None:
        """Closes the temporary file when no stream of it is open any more."""
        self._file = None

    def _copied(self) -> tuple[ReadAt, int]:
        """The temporary file, which is closed with the ReadAt, and its length."""
        written = 0
        with ExitStack() as source, ExitStack() as failed:
            stream = self._outer(source)
            with _room_for(self.name, self._size):
                file = failed.enter_context(tempfile.TemporaryFile(buffering=0))
            while data := self._read(stream, written):
                written += len(data)
                self._refuse_too_much(written)
                self._budget.copy(len(data), self.name)
                rest = memoryview(data)
                while rest:
                    with _room_for(self.name, self._size or written):
                        rest = rest[file.write(rest) :]
            failed.pop_all()
        if self._problems is not None:
            self._problems = []  # another copy would tell the same again
        return read_at_of(file), written

    def _refuse_too_much(self, written: int) -> None:
        if self._at_most is not None and written > self._at_most:
            raise UnsafeArchive(
                f"{self.name} unpacks to more than {self._at_most:,} bytes: no archive compresses that well twice.",
                "If you trust it, unpack it and import the folder.",
            )

    def _read(self, stream: BinaryIO, at: int) -> bytes:
        try:
            return stream.read(COPY_BYTES)
        except TrailingData:
            if self._problems is not None:
                self._problems.append(trailing_data(self.name))
            return b""
        except DAMAGE as error:
            if self._problems is None:
                raise
            told = f"unpacking stopped at byte {at:,}: {in_words(error)}"
            self._problems.append(Problem("damaged", self.name, told))
            return b""


def zip_in_zip(outer: Opener, entry: zipfile.ZipInfo, name: str, budget: Budget) -> Opener:
    """What an entry of the ZIP holds, to go back and forth in at no cost: for an entry that is a ZIP."""
    if entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 0x1:
        return data_of(outer, entry)
    return Copy(entry_of_zip(outer, entry), name, entry.file_size, budget)


@contextmanager
def _room_for(name: str, size: int | None) -> Iterator[None]:
    """A temporary file that cannot be made or written is no fault of the export."""
    try:
        with opening():
            yield
    except OSError as error:
        needs = f"at least {size:,} bytes" if size else "room"
        raise SourceError(
            f"{name} is an archive inside another archive: reading it needs {needs} in TMPDIR ({error.strerror}).",
            "Set TMPDIR to a folder with more room, or unpack the outer archive and import the folder.",
        ) from None
