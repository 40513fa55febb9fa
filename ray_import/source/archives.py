"""What lies in a folder, a ZIP or a tar, as one kind of thing: files with a name and ways to their bytes."""

import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, cast

from ray_import.chatgpt.files import is_conversations, matters, shown
from ray_import.errors import SourceError, UnsafeArchive, UnsupportedFormat
from ray_import.records import Problem
from ray_import.source.streams import DAMAGE, Opener, entry_of_zip, exhausted, file, slice_of
from ray_import.source.temporary_copies import zip_in_zip
from ray_import.source.unpack_budget import MAX_RATIO, Budget


class Bounded:
    """Reads `most_bytes` of `stream` in all, then raises UnsafeArchive with `name`, which names what is read.

    `count` is how many bytes were read; it may be set back.
    """

    def __init__(self, stream: BinaryIO, most_bytes: int, name: str) -> None:
        self.count = 0
        self._stream = stream
        self._most_bytes = most_bytes
        self._name = name
        self.seek = stream.seek
        self.tell = stream.tell

    def read(self, size: int = -1) -> bytes:
        """Like a stream's. What is asked for is refused before it is held."""
        left = self._most_bytes - self.count
        data = self._stream.read(left + 1 if size < 0 else size) if size <= left else b""
        self.count += len(data)
        if size > left or len(data) > left:
            raise UnsafeArchive(
                f"{self._name} is larger than {self._most_bytes:,} bytes: no export has so many files.",
                "If you trust it, unpack it and import the folder.",
            )
        return data


RATIO_MATTERS_FROM_BYTES = 32 * 1024 * 1024
"""Text deflates 4 to 30 times, small repetitive files more; a bomb, 1,000 times and to gigabytes."""

MAX_DIRECTORY_BYTES = 32 * 1024 * 1024
"""Of a ZIP, which zipfile holds in memory; 100 to 150 bytes a file are usual."""
MAX_HEADER_BYTES = 1024 * 1024
"""Of a file in a tar, with its long name and its attributes, which tarfile holds in memory."""

_READ_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_OTHER_METHODS = {
    1: "Shrink", 6: "Implode", 9: "Deflate64", 10: "PKWARE's Implode", 20: "Zstandard", 93: "Zstandard", 95: "xz",
    96: "JPEG", 97: "WavPack", 98: "PPMd", **dict.fromkeys((2, 3, 4, 5), "Reduce"),
}  # fmt: skip
"""Of PKWARE's APPNOTE, 4.4.5."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a folder or an archive; `name` is as it stands there, with its folders.

    `opener` is for reading it once from its beginning; `anywhere` gives one for going back and forth in it, which
    may need a temporary file as long as that one lives. `refused` says why it may not, or cannot, be opened.
    """

    name: str
    size: int
    opener: Opener
    anywhere: Callable[[], Opener]
    refused: SourceError | None = None


def most_unpacked(size: int) -> int:
    """To how many bytes a file of `size` may unpack."""
    return max(RATIO_MATTERS_FROM_BYTES, MAX_RATIO * size)


def entries_of_folder(folder: Path, problems: list[Problem], open_file: Callable[[Path], Opener] = file) -> list[Entry]:
    """The files below `folder` that matter, but no links, sorted; folders that cannot be read become `problems`."""
    paths = sorted(_files_below(folder, problems), key=lambda path: path.relative_to(folder).as_posix())
    return [
        Entry(path.relative_to(folder).as_posix(), path.stat().st_size, open_file(path), partial(open_file, path))
        for path in paths
    ]


def _files_below(folder: Path, problems: list[Problem]) -> Iterator[Path]:
    def told(error: OSError) -> None:
        if failure := exhausted(error):
            raise failure
        name = shown(os.fspath(error.filename))
        problems.append(Problem("damaged", name, f"this folder cannot be read ({error.strerror})"))

    for parent, _, files in os.walk(folder, onerror=told, followlinks=False):
        for name in filter(matters, files):
            path = Path(parent) / name
            if path.is_symlink() and is_conversations(name):
                problems.append(Problem("damaged", shown(str(path.relative_to(folder))), "links are not followed"))
            elif path.is_file() and not path.is_symlink():
                yield path


def entries_of_zip(opener: Opener, archive: str, budget: Budget) -> list[Entry]:
    """The files in a ZIP that matter, but no links. Raises UnsafeArchive if its directory is too large, one of DAMAGE.

    One that is cut off shortly after a ZIP that is stored in it ends, for zipfile, with that one's directory, which
    knows nothing of where the file begins.
    """
    with ExitStack() as stack:
        stream = opener(stack)
        bounded = Bounded(stream, MAX_DIRECTORY_BYTES, f"The directory of {archive}")
        listed = stack.enter_context(zipfile.ZipFile(cast("IO[bytes]", bounded))).infolist()
        budget.unpack(bounded.count, archive)
        budget.list_entries(len(listed), archive)
        if all(entry.header_offset for entry in listed):
            stream.seek(0)
            if stream.read(4) == b"PK\x03\x04":
                raise zipfile.BadZipFile("This directory is not that of the whole file")
    return [
        Entry(
            entry.filename,
            entry.file_size,
            entry_of_zip(opener, entry),
            partial(zip_in_zip, opener, entry, f"{archive}/{shown(entry.filename)}", budget),
            why_refused(entry, archive),
        )
        for entry in listed
        if matters(entry.filename) and not entry.is_dir() and not stat.S_ISLNK(entry.external_attr >> 16)
    ]


def entries_of_tar(opener: Opener, archive: str, problems: list[Problem], budget: Budget) -> list[Entry]:
    """The files in a tar that matter, up to damage or a cut, which is one of `problems`.

    Raises UnsafeArchive if one of its headers is too large, one of DAMAGE.
    """
    entries, whole = [], False
    with ExitStack() as stack:
        stream = opener(stack)
        bounded = Bounded(stream, MAX_HEADER_BYTES, f"A header in {archive}")
        tar = stack.enter_context(tarfile.open(fileobj=cast("IO[bytes]", bounded), mode="r:"))
        with suppress(*DAMAGE):
            while (entry := tar.next()) is not None:
                budget.list_entries(1, archive)
                if entry.isreg() and not entry.issparse() and matters(entry.name):
                    there = partial(slice_of, opener, entry.offset_data, entry.size)
                    entries.append(Entry(entry.name, entry.size, there(), there))
                bounded.count = 0
                tar.members.clear()  # type: ignore[attr-defined] # it keeps all of them
                tar.pax_headers = {}  # each file has a copy of those that are for all
        stream.seek(tar.offset)
        whole = stream.read(tarfile.BLOCKSIZE) == tarfile.NUL * tarfile.BLOCKSIZE
    if not whole:
        problems.append(Problem("truncated", archive, "the archive is cut off or damaged after its last file"))
    return entries


def why_refused(entry: zipfile.ZipInfo, archive: str) -> SourceError | None:
    """Why an entry of a ZIP may not, or cannot, be opened, by what its header says."""
    if entry.flag_bits & 0x1:
        return UnsafeArchive(
            f"{shown(entry.filename)} in {archive} is encrypted.", "Unpack it with its password and import the folder."
        )
    if entry.file_size > most_unpacked(entry.compress_size):
        return UnsafeArchive(
            f"{shown(entry.filename)} in {archive} claims to unpack to {entry.file_size:,} bytes from "
            f"{entry.compress_size:,}: no text compresses that well.",
            "If you trust it, unpack it and import the folder.",
        )
    if entry.compress_type not in _READ_METHODS:
        method = _OTHER_METHODS.get(entry.compress_type, f"method {entry.compress_type}")
        return UnsupportedFormat(
            f"{shown(entry.filename)} in {archive} is packed by {method}, which is not read here.",
            "First unpack it, then import the folder.",
        )
    return None
