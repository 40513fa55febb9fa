"""Ways to the bytes of a member: a file, what a gzip holds, an entry of a ZIP, and any of these in another.

A member is never unpacked to disk: it is a stream, and an archive's paths are only compared. A ZIP that is
itself packed is: its directory lies at its end, and to go back in a packed stream is to begin again. It is
unpacked once, to a temporary file without a name; one that is only stored in another ZIP is read where it lies.
"""

import errno
import io
import lzma
import os
import struct
import tarfile
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from ray_import.errors import SourceError, UnsafeArchive
from ray_import.records import Problem, trailing_data
from ray_import.source.inflate import GZIP, Unpacked, inflated, of_entry
from ray_import.source.reasons import TrailingData, in_words

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Opener = Callable[[ExitStack], BinaryIO]
"""Opens a stream, a seekable one if it does not unpack; what has to be closed afterwards is put on the stack."""

ReadAt = Callable[[int, int], bytes]
"""Up to `length` bytes from `offset` on, whoever else reads; none beyond the end."""

Expect = Callable[[int], None]
"""Told by who reads a part that reading will go on up to there at most: so that no more is fetched from afar."""

HEAD_BYTES = 8192

COPY_BYTES = 1024 * 1024

_LOCAL_HEADER = struct.Struct("<4s22xHH")

DAMAGE: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    EOFError,
    IndexError,
    OSError,
    RuntimeError,  # an entry that is encrypted, or packed in a way that is not known
    ValueError,
)
"""What opening and reading a damaged archive, or a file on a failing disk, may raise."""


def file(path: Path) -> Opener:
    """The bytes of a file."""
    return lambda stack: stack.enter_context(path.open("rb"))


def gunzipped(outer: Opener) -> Opener:
    """What the gzip holds."""
    return lambda stack: cast("BinaryIO", stack.enter_context(Unpacked(inflated(outer, GZIP))))


def entry_of_zip(outer: Opener, entry: zipfile.ZipInfo) -> Opener:
    """What an entry of the ZIP holds; two entries may have one name."""
    return unpacked(_data_of(outer, entry), entry)


def unpacked(packed: Opener, entry: zipfile.ZipInfo) -> Opener:
    """What the data of an entry holds, which `packed` opens."""
    if entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return lambda stack: cast("BinaryIO", stack.enter_context(Unpacked(of_entry(packed, entry))))
    return lambda stack: cast("BinaryIO", stack.enter_context(zipfile.ZipExtFile(packed(stack), "r", entry)))


def zip_in_zip(outer: Opener, entry: zipfile.ZipInfo, name: str) -> Opener:
    """What an entry of the ZIP holds, to go back and forth in at no cost: for an entry that is a ZIP.

    Raises SourceError where a packed one finds no room in the temporary folder.
    """
    if entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 0x1:
        return _data_of(outer, entry)
    return spooled(entry_of_zip(outer, entry), name, entry.file_size)


def spooled(
    outer: Opener, name: str, size: int | None, at_most: int | None = None, problems: list[Problem] | None = None
) -> Opener:
    """What `outer` holds, read once: the first open copies it to a temporary file that all opens look at.

    The file has no name, and is gone with the opener and the last of its streams. Raises SourceError where
    there is no room for its `size` (None where only reading tells), UnsafeArchive where it exceeds `at_most`, and
    one of DAMAGE; with `problems` it ends there instead, and that is one of them.
    """
    copy: tuple[ReadAt, int] | None = None

    def open_spooled(stack: ExitStack) -> BinaryIO:
        nonlocal copy
        copy = copy or _copied(outer, name, size, at_most, problems)
        return window(stack, *copy)

    return open_spooled


def head_of(opener: Opener) -> bytes:
    """The first bytes, which tell what it is."""
    with ExitStack() as stack:
        return opener(stack).read(HEAD_BYTES)


def _data_of(outer: Opener, entry: zipfile.ZipInfo) -> Opener:
    """The bytes of an entry as they lie in the ZIP; no checksum is compared."""

    def open_data(stack: ExitStack) -> BinaryIO:
        stream = outer(stack)
        stream.seek(entry.header_offset)
        signature, name_length, extra_length = _LOCAL_HEADER.unpack(stream.read(_LOCAL_HEADER.size))
        if signature != b"PK\x03\x04":
            raise zipfile.BadZipFile("Bad magic number for file header")
        start = entry.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        return _slice(stack, stream, start, entry.compress_size)

    return open_data


def slice_of(outer: Opener, start: int, size: int) -> Opener:
    """`size` bytes from `start` on of what `outer` holds."""
    return lambda stack: _slice(stack, outer(stack), start, size)


def _slice(stack: ExitStack, stream: BinaryIO, start: int, size: int) -> BinaryIO:
    outer = stream.raw if isinstance(stream, io.BufferedReader) else None
    expect_outer = outer.expect if isinstance(outer, _Window) else _expect_nothing

    def expect(end: int) -> None:
        expect_outer(start + end)

    def read_at(offset: int, length: int) -> bytes:
        expect(size)
        stream.seek(start + offset)
        return stream.read(length)

    return window(stack, read_at, size, expect)


def _expect_nothing(_end: int) -> None:
    pass


def _copied(
    outer: Opener, name: str, size: int | None, at_most: int | None, problems: list[Problem] | None
) -> tuple[ReadAt, int]:
    """Copies what `outer` holds to a temporary file, and tells its length; the file is gone with the ReadAt."""
    written = 0
    with ExitStack() as source, ExitStack() as failed:
        stream = outer(source)
        with _room_for(name, size):
            file = failed.enter_context(tempfile.TemporaryFile(buffering=0))
        while data := _read(stream, name, written, problems):
            if at_most is not None and written + len(data) > at_most:
                raise UnsafeArchive(
                    f"{name} unpacks to more than {at_most:,} bytes: no archive packs that well again.",
                    "If you trust it, unpack it and import the folder.",
                )
            written += len(data)
            rest = memoryview(data)
            while rest:
                with _room_for(name, size or written):
                    rest = rest[file.write(rest) :]
        failed.pop_all()
    return read_at_of(file), written


def read_at_of(file: BinaryIO) -> ReadAt:
    """The bytes of an open file, which is closed with the ReadAt."""

    def read_at(offset: int, length: int) -> bytes:
        return os.pread(file.fileno(), length, offset)

    weakref.finalize(read_at, file.close)
    return read_at


def _read(stream: BinaryIO, name: str, at: int, problems: list[Problem] | None) -> bytes:
    try:
        return stream.read(COPY_BYTES)
    except TrailingData:
        if problems is not None:
            problems.append(trailing_data(name))
        return b""
    except DAMAGE as error:
        if problems is None:
            raise
        problems.append(Problem("damaged", name, f"unpacking stopped at byte {at:,}: {in_words(error)}"))
        return b""


@contextmanager
def _room_for(name: str, size: int | None) -> Iterator[None]:
    """A temporary file that cannot be made or written is no fault of the export."""
    try:
        yield
    except OSError as error:
        needs = f"at least {size:,} bytes" if size else "room"
        raise SourceError(
            f"{name} is an archive that is packed once more: reading it needs {needs} in TMPDIR ({error.strerror}).",
            "Set TMPDIR to a folder with more room, or unpack the outer archive and import the folder.",
        ) from None


def window(stack: ExitStack, read_at: ReadAt, size: int, expect: Expect = _expect_nothing) -> BinaryIO:
    """`size` bytes that are read by their place, as a stream with a position of its own."""
    return cast("BinaryIO", stack.enter_context(io.BufferedReader(_Window(read_at, size, expect))))


class _Window(io.RawIOBase):
    """`size` bytes that are read by their place."""

    def __init__(self, read_at: ReadAt, size: int, expect: Expect) -> None:
        super().__init__()
        self.expect = expect
        self._read_at = read_at
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if at < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))  # which zipfile takes for a short file's beginning
        self._at = at
        return at

    def readinto(self, buffer: "WriteableBuffer") -> int:
        with memoryview(buffer) as view:
            data = self._read_at(self._at, max(0, min(len(view), self._size - self._at)))
            view[: len(data)] = data
        self._at += len(data)
        return len(data)
