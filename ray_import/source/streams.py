"""Ways to the bytes of a member: a file, what a gzip holds, an entry of a ZIP, and any of these in another.

A member is never unpacked to disk: it is a stream, and an archive's paths are only compared. Only an archive that is
itself packed is copied to a temporary file (`copies`).
"""

import errno
import io
import lzma
import os
import resource
import struct
import tarfile
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from ray_import.errors import ResourcesExhausted
from ray_import.source.inflate import GZIP, Pieces, Unpacked, inflated, of_entry
from ray_import.source.unpack_budget import Upto, uncounted

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Opener = Callable[[ExitStack], BinaryIO]
"""Opens a stream, a seekable one if it does not unpack; what has to be closed afterwards is put on the stack."""

ReadAt = Callable[[int, int], bytes]
"""Up to `length` bytes from `offset` on, whoever else reads; none beyond the end."""

Expect = Callable[[int], None]
"""Told by who reads a part that reading will go on up to there at most: so that no more is fetched from afar."""

HEAD_BYTES = 8192

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

    def open_file(stack: ExitStack) -> BinaryIO:
        with opening():
            return stack.enter_context(path.open("rb"))

    return open_file


@contextmanager
def opening() -> Iterator[None]:
    """Raises ResourcesExhausted for an OSError that is no damage, and no fault of what is opened."""
    try:
        yield
    except OSError as error:
        if failure := exhausted(error):
            raise failure from None
        raise


def exhausted(error: OSError) -> ResourcesExhausted | None:
    """The error for a process or a machine that can open no more files; None if `error` says something else."""
    if error.errno == errno.EMFILE:
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        what = f"Too many files are open: this process may open {most:,} at a time."
        return ResourcesExhausted(what, "Raise the limit with `ulimit -n`.")
    if error.errno in (errno.ENFILE, errno.ENOMEM):
        what = f"This machine cannot open more files ({error.strerror})."
        return ResourcesExhausted(what, "Run it again when fewer programs are running.")
    return None


def gunzipped(outer: Opener, upto: Upto = uncounted) -> Opener:
    """What the gzip holds; `upto` is called with how much that is so far."""
    return lambda stack: cast("BinaryIO", stack.enter_context(Unpacked(_counted(inflated(outer, GZIP), upto))))


def _counted(pieces: Pieces, upto: Upto) -> Pieces:
    end = 0
    with closing(pieces):
        for piece in pieces:
            end += len(piece)
            upto(end)
            yield piece


def entry_of_zip(outer: Opener, entry: zipfile.ZipInfo) -> Opener:
    """What an entry of the ZIP holds; two entries may have one name."""
    return unpacked(data_of(outer, entry), entry)


def unpacked(packed: Opener, entry: zipfile.ZipInfo) -> Opener:
    """What the data of an entry holds, which `packed` opens."""
    return lambda stack: cast("BinaryIO", stack.enter_context(Unpacked(of_entry(packed, entry))))


def head_of(opener: Opener) -> bytes:
    """The first bytes, which tell what it is."""
    with ExitStack() as stack:
        return opener(stack).read(HEAD_BYTES)


def data_of(outer: Opener, entry: zipfile.ZipInfo) -> Opener:
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


def read_at_of(file: BinaryIO) -> ReadAt:
    """The bytes of an open file, which is closed with the ReadAt."""

    def read_at(offset: int, length: int) -> bytes:
        return os.pread(file.fileno(), length, offset)

    weakref.finalize(read_at, file.close)
    return read_at


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
