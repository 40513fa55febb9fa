"""What is left of a ZIP without its directory, which lies at its end: of a download that broke off, above all.

Every entry has a header of its own before its data. These are walked from the front, past data whose size they tell.
Data that was written as a stream is followed by its size: that is found by looking through it.
"""

import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import BinaryIO

from ray_import.chatgpt.files import matters, shown
from ray_import.source.archives import Entry, most_unpacked, why_refused
from ray_import.source.streams import Opener, slice_of, unpacked
from ray_import.source.temporary_copies import Copy
from ray_import.source.unpack_budget import Budget

PACKED_BYTES = 4096
PIECE_BYTES = 64 * 1024

Count = Callable[[int], None]

_HEADER = struct.Struct("<4s2xHH4xIIIHH")
_ENCRYPTED, _SIZES_FOLLOW, _UTF_8 = 0x1, 0x8, 0x800
_IN_ZIP64_EXTRA = 0xFFFFFFFF
_DESCRIPTORS = [(mark, struct.Struct(form)) for mark in (b"PK\x07\x08", b"") for form in ("<IQQ", "<III")]
"""Of no data at all, the long one also begins like the short one."""
_LONGEST_DESCRIPTOR = 24


def salvaged_entries(opener: Opener, archive: str, budget: Budget) -> list[Entry]:
    """The files that matter, from the ZIP's beginning to where no header follows; the last may be cut off in its data.

    Which of them are links only the directory tells: they are read as what they hold, a path. Raises UnsafeSource, and
    one of DAMAGE, also if there is not one header.
    """
    with ExitStack() as stack:
        stream = opener(stack)
        length = stream.seek(0, os.SEEK_END)
        entries, listed = [], 0
        for header, start in _walk(stream, length, partial(budget.unpack, name=archive)):
            budget.list_entries(1, archive)
            listed += 1
            if matters(header.filename) and not header.is_dir():
                there = min(header.compress_size, length - start)
                entries.append(_entry(opener, archive, header, start, there, budget))
    if not listed:
        raise zipfile.BadZipFile("There is not one header")
    return entries


def _entry(opener: Opener, archive: str, header: zipfile.ZipInfo, start: int, there: int, budget: Budget) -> Entry:
    """An entry of which `there` packed bytes are there, from `start` on."""
    refused = why_refused(header, archive)
    packed = slice_of(opener, start, there)
    header.compress_size = there  # so that it ends there without an error: that it is cut off, its JSON tells
    header.file_size = min(header.file_size, most_unpacked(there))
    inside = unpacked(packed, header)

    def anywhere() -> Opener:
        if header.compress_type == zipfile.ZIP_STORED:
            return packed
        return Copy(inside, f"{archive}/{shown(header.filename)}", header.file_size, budget)

    return Entry(header.filename, header.file_size, inside, anywhere, refused)


def _walk(stream: BinaryIO, length: int, count: Count) -> Iterator[tuple[zipfile.ZipInfo, int]]:
    """Every header, and where its data begins; `count` is called with how much is read to measure one.

    A checksum is set only where there is something to compare it with.
    """
    at, ends = 0, True
    while ends and (header := _header_at(stream, at, length)) is not None:
        start = stream.tell()
        is_folder = header.is_dir() and header.compress_type == zipfile.ZIP_STORED
        if header.flag_bits & _SIZES_FOLLOW and not header.compress_size and not is_folder:
            ends = _measured(stream, header, length, count)
        at = min(start + header.compress_size, length)
        if header.flag_bits & _SIZES_FOLLOW:
            stream.seek(at)
            at += _described(header, stream.read(_LONGEST_DESCRIPTOR))
        yield header, start


def _header_at(stream: BinaryIO, at: int, length: int) -> zipfile.ZipInfo | None:
    """The header that begins there, None where none does; the stream is then where its data begins."""
    stream.seek(at)
    data = stream.read(_HEADER.size)
    if len(data) < _HEADER.size or not data.startswith(b"PK\x03\x04"):
        return None
    _, flags, method, checksum, packed, size, name_length, extra_length = _HEADER.unpack(data)
    name, extra = stream.read(name_length), stream.read(extra_length)
    if len(name) + len(extra) < name_length + extra_length:
        return None
    header = zipfile.ZipInfo(name.decode("utf-8" if flags & _UTF_8 else "cp437", "replace"))
    larger = _zip64_sizes(extra)
    header.file_size = next(larger, size) if size == _IN_ZIP64_EXTRA else size
    header.compress_size = next(larger, packed) if packed == _IN_ZIP64_EXTRA else packed
    header.flag_bits, header.compress_type = flags, method
    if not flags & _SIZES_FOLLOW and stream.tell() + header.compress_size <= length:
        header.CRC = checksum
    return header


def _zip64_sizes(extra: bytes) -> Iterator[int]:
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        value, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == 1:
            yield from (size for (size,) in struct.iter_unpack("<Q", value[: len(value) // 8 * 8]))


def _measured(stream: BinaryIO, header: zipfile.ZipInfo, length: int, count: Count) -> bool:
    """Sets the sizes of data that begins here and ends somewhere; False where its end is not found."""
    header.compress_size = header.file_size = length - stream.tell()
    if header.flag_bits & _ENCRYPTED:
        return False
    if header.compress_type == zipfile.ZIP_STORED:
        return _measured_by_descriptor(stream, header, count)
    return header.compress_type == zipfile.ZIP_DEFLATED and _measured_by_unpacking(stream, header, count)


def _measured_by_unpacking(stream: BinaryIO, header: zipfile.ZipInfo, count: Count) -> bool:
    """What packs better than any text is not unpacked further than to know that."""
    start, unpacker = stream.tell(), zlib.decompressobj(-zlib.MAX_WBITS)
    header.file_size = 0
    with suppress(zlib.error):
        while not unpacker.eof and (data := unpacker.unconsumed_tail or stream.read(PACKED_BYTES)):
            piece = unpacker.decompress(data, PIECE_BYTES)
            count(len(piece))
            header.file_size += len(piece)
            header.compress_size = stream.tell() - start - len(unpacker.unused_data)
            if header.file_size > most_unpacked(header.compress_size):
                return False
        header.file_size += len(unpacker.flush())
    return unpacker.eof


def _measured_by_descriptor(stream: BinaryIO, header: zipfile.ZipInfo, count: Count) -> bool:
    """Looks for a descriptor whose sizes are how much lies before it."""
    sized, passed, window = zipfile.ZipInfo(), 0, b""
    while data := stream.read(PIECE_BYTES):
        window = window[1 - _LONGEST_DESCRIPTOR :] + data
        passed += len(data)
        count(len(data))
        for at in (mark.start() for mark in re.finditer(b"PK\x07\x08", window)):
            sized.compress_size = sized.file_size = passed - len(window) + at
            if _described(sized, window[at : at + _LONGEST_DESCRIPTOR]):
                header.compress_size = header.file_size = sized.file_size
                return True
    return False


def _described(header: zipfile.ZipInfo, follows: bytes) -> int:
    """The length of the descriptor after the data, whose checksum is then the header's; 0 where there is none."""
    for mark, form in _DESCRIPTORS:
        if follows.startswith(mark) and len(follows) >= len(mark) + form.size:
            checksum, *sizes = form.unpack_from(follows, len(mark))
            if sizes == [header.compress_size, header.file_size]:
                header.CRC = checksum
                return len(mark) + form.size
    return 0
