"""Operators on what an export is packed in: a ZIP, one in another, shards, a gzip."""

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tests.fuzz.exports import GoodExport
from tests.fuzz.mutation import Broken
from tests.unit.source.exports import zipped

GZIP = 16 + zlib.MAX_WBITS

LOCAL_HEADER_BYTES = 30
"""What stands before an entry's data in a ZIP, beside its name."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """A damaged archive, and what can be known of the text in it."""

    name: str
    file: bytes
    broken: Broken


@dataclass(frozen=True, slots=True)
class _Stream:
    """A member as it is packed: the file's bytes `start` to `end`, and the items in it."""

    start: int
    end: int
    first: int
    export: GoodExport
    wbits: int | None
    """How zlib unpacks it; None where it is only stored."""

    def unpacked(self, file: bytes) -> bytes:
        """All that comes out of it before it can go no further."""
        packed = file[self.start : self.end]
        if self.wbits is None:
            return packed
        unpacker, out = zlib.decompressobj(self.wbits), bytearray()
        try:
            for i in range(len(packed)):
                out += unpacker.decompress(packed[i : i + 1])
        except zlib.error:
            pass
        return bytes(out)

    def touched(self, file: bytes) -> frozenset[int]:
        """The items of which anything came out wrong, or nothing; where no more follows, all from there on."""
        good, found = self.export.written(), self.unpacked(file)
        if len(good) == len(found):
            wrong = [i for i, (a, b) in enumerate(zip(good, found, strict=True)) if a != b]
            return frozenset(self._item_at(wrong)) if len(wrong) < 200 else self._from(wrong[0])
        same = next(
            (i for i, (a, b) in enumerate(zip(good, found, strict=False)) if a != b), min(len(good), len(found))
        )
        return self._from(same)

    def comes_out_wrong(self, file: bytes) -> bool:
        """Whether there is anything to tell: some bits of a packed stream mean nothing.

        Of a ZIP's entry only as many bytes count as its directory tells: where the mark of the last block's end is hit,
        more may come out, which is no part of it. Of a gzip all bytes count: its own end tells how many they are.
        """
        good, found = self.export.written(), self.unpacked(file)
        return (found if self.wbits == GZIP else found[: len(good)]) != good

    def _from(self, at: int) -> frozenset[int]:
        return frozenset(self.first + i for i, (_, end) in enumerate(self.export.spans) if end > at)

    def _item_at(self, places: Sequence[int]) -> set[int]:
        hit = {self.first + i for i, (start, end) in enumerate(self.export.spans) for at in places if start <= at < end}
        outside = any(not any(start <= at < end for start, end in self.export.spans) for at in places)
        return hit | (set(self._from(0)) if outside else set())


def zip_of(members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP of no date, so that the same seed makes the same bytes tomorrow."""
    entries = []
    for name, data in members.items():
        entry = zipfile.ZipInfo(name)
        entry.compress_type = compression
        entries.append((entry, data))
    return zipped(entries)


def _zip_of(rng: Random, export: GoodExport, *, may_be_sharded: bool = True) -> tuple[str, bytes, list[_Stream]]:
    """A ZIP of one member or of two shards, packed or stored; now and then each of them in a ZIP in a ZIP."""
    middle = len(export.items) // 2
    parts = [(0, export)]
    if may_be_sharded and middle > 1 and rng.random() < 0.5:
        parts = [(0, export.part(0, middle)), (middle, export.part(middle, len(export.items)))]
    names = ["conversations.json"] if len(parts) == 1 else ["conversations-000.json", "conversations-001.json"]
    compression = rng.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
    members = {name: part.written() for name, (_, part) in zip(names, parts, strict=True)}
    archives = [zip_of({"user.json": b'{"id": "u"}', **members}, compression)]
    name, file = "export.zip", archives[0]
    if rng.random() < 0.25:
        archives = [zip_of({member: data}, compression) for member, data in members.items()]
        inner = {f"User Online Activity/Conversations__{i}.zip": archive for i, archive in enumerate(archives)}
        name, file = "portal.zip", zip_of({**inner, "report.html": b"<html></html>"}, zipfile.ZIP_STORED)
    wbits = -15 if compression == zipfile.ZIP_DEFLATED else None
    spans = [span for archive in archives for span in _data_of(archive, file.index(archive))]
    return name, file, [_Stream(*span, *part, wbits) for span, part in zip(spans, parts, strict=True)]


def _data_of(archive: bytes, offset: int) -> list[tuple[int, int]]:
    """Where the packed conversations lie, in a file that holds the archive at `offset`."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        entries = [entry for entry in opened.infolist() if entry.filename.startswith("conversations")]
    starts = [offset + entry.header_offset + LOCAL_HEADER_BYTES + len(entry.filename) for entry in entries]
    return [(start, start + entry.compress_size) for start, entry in zip(starts, entries, strict=True)]


def _gzip_of(export: GoodExport) -> tuple[bytes, _Stream]:
    text = export.written()
    file = gzip.compress(text, mtime=0)
    return file, _Stream(0, len(file), 0, export, GZIP)


def _flipped(rng: Random, file: bytes, start: int, end: int) -> tuple[int, bytes]:
    at = rng.randrange(start, end)
    return at, file[:at] + bytes([file[at] ^ 1 << rng.randrange(8)]) + file[at + 1 :]


def _broken(place: str, stream: _Stream, damaged: bytes) -> Broken:
    return Broken(place, b"", stream.touched(damaged), must_be_told=stream.comes_out_wrong(damaged))


def _is_packed(stream: _Stream, name: str) -> str:
    return f"{name}, {'stored' if stream.wbits is None else 'packed'}"


def flip_in_a_zip(rng: Random, export: GoodExport) -> Damaged:
    """A bit of the data of one member: what comes out right has to arrive, and all of the other member."""
    name, file, streams = _zip_of(rng, export)
    stream = rng.choice(streams)
    at, damaged = _flipped(rng, file, stream.start, stream.end)
    place = f"bit of byte {at} of {len(file)} ({_is_packed(stream, name)}, {len(streams)} members)"
    return Damaged(name, damaged, _broken(place, stream, damaged))


def flip_in_a_directory(rng: Random, export: GoodExport) -> Damaged:
    """A bit of all that is no data: names, sizes, checksums, places. Everything may be lost, but not in silence.

    There is one file of conversations: of two, one whose entry is lost is as if it had never been there, which
    only a manifest tells.
    """
    name, file, streams = _zip_of(rng, export, may_be_sharded=False)
    held = {i for stream in streams for i in range(stream.start, stream.end)}
    at = rng.choice([i for i in range(len(file)) if i not in held])
    damaged = file[:at] + bytes([file[at] ^ 1 << rng.randrange(8)]) + file[at + 1 :]
    everything = frozenset(range(len(export.items)))
    return Damaged(name, damaged, Broken(f"bit of byte {at} of {len(file)} ({name})", b"", everything))


def cut_a_zip(rng: Random, export: GoodExport) -> Damaged:
    """Its directory stands at its end: nothing is left that can be read, or that has to be, but not in silence."""
    name, file, _ = _zip_of(rng, export)
    at = rng.randrange(len(file))
    everything = frozenset(range(len(export.items)))
    return Damaged(name, file[:at], Broken(f"at byte {at} of {len(file)} ({name})", b"", everything))


def cut_a_tar(rng: Random, export: GoodExport) -> Damaged:
    """A tar has no directory either: its members stand one after the other."""
    middle = max(1, len(export.items) // 2)
    parts = [part for part in (export.part(0, middle), export.part(middle, len(export.items))) if part.items]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for i, part in enumerate(parts):
            entry = tarfile.TarInfo(f"conversations-00{i}.json")
            entry.size = len(part.written())
            archive.addfile(entry, io.BytesIO(part.written()))
    file = buffer.getvalue()
    streams, start = [], 0
    for first, part in zip((0, middle), parts, strict=False):
        start = file.index(part.written(), start)
        streams.append(_Stream(start, start + len(part.written()), first, part, None))
    at = rng.randrange(streams[-1].end)
    touched = frozenset[int]().union(*(stream.touched(file[:at]) for stream in streams))
    return Damaged("export.tar", file[:at], Broken(f"at byte {at} of {len(file)}", b"", touched, must_be_told=True))


def flip_in_a_gzip(rng: Random, export: GoodExport) -> Damaged:
    """A bit behind the header: what comes out right has to arrive."""
    file, stream = _gzip_of(export)
    at, damaged = _flipped(rng, file, 10, len(file))
    place = f"bit of byte {at} of {len(file)}"
    return Damaged("conversations.json.gz", damaged, _broken(place, stream, damaged))


def cut_a_gzip(rng: Random, export: GoodExport) -> Damaged:
    """A stream has no directory: all that was whole before the cut has to arrive."""
    file, stream = _gzip_of(export)
    at = rng.randrange(len(file))
    damaged = file[:at]
    place = f"at byte {at} of {len(file)}"
    return Damaged("conversations.json.gz", damaged, _broken(place, stream, damaged))


PACKINGS: dict[str, Callable[[Random, GoodExport], Damaged]] = {
    "cut off a ZIP": cut_a_zip,
    "flip a bit in a ZIP's data": flip_in_a_zip,
    "flip a bit in a ZIP's directory": flip_in_a_directory,
    "cut off a tar": cut_a_tar,
    "cut off a gzip": cut_a_gzip,
    "flip a bit in a gzip": flip_in_a_gzip,
}
