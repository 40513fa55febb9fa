"""Ways to the bytes of a member: a file, what a gzip holds, an entry of a ZIP, and any of these in another.

Nothing is ever unpacked to disk: a member is a stream, and an archive's paths are only compared.
"""

import gzip
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

Opener = Callable[[ExitStack], BinaryIO]
"""Opens a seekable stream; what has to be closed afterwards is put on the stack."""

HEAD_BYTES = 8192

DAMAGE: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
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
    return lambda stack: cast("BinaryIO", stack.enter_context(gzip.GzipFile(fileobj=outer(stack), mode="rb")))


def entry_of_zip(outer: Opener, entry: zipfile.ZipInfo) -> Opener:
    """What an entry of the ZIP holds; two entries may have one name."""

    def open_entry(stack: ExitStack) -> BinaryIO:
        archive = stack.enter_context(zipfile.ZipFile(outer(stack)))
        return cast("BinaryIO", stack.enter_context(archive.open(entry)))

    return open_entry


def head_of(opener: Opener) -> bytes:
    """The first bytes, which tell what it is."""
    with ExitStack() as stack:
        return opener(stack).read(HEAD_BYTES)
