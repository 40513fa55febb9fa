"""Unpacking: all that comes before damage is given, then the damage is raised; by isal as by zlib."""

import builtins
import bz2
import gzip
import importlib
import io
import lzma
import random
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from isal import isal_zlib

from ray_import.errors import SourceRefused
from ray_import.pipeline.sources import open_sources
from ray_import.reader.conversations import read_conversations
from ray_import.records import RawConversation
from ray_import.settings import ReadLimits
from ray_import.source import inflate
from ray_import.source.archives import entries_of_zip
from ray_import.source.inflate import DEFLATE, GZIP, inflated
from ray_import.source.open_export import open_export
from ray_import.source.reasons import TrailingData
from ray_import.source.streams import DAMAGE, Opener, gunzipped, head_of, unpacked
from ray_import.source.unpack_budget import Budget
from tests.unit.pipeline.runs import Database
from tests.unit.source.exports import conversation, exported, written, zipped

STORED, DEFLATED, BZIP2, LZMA = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA
CHOOSE = random.Random(5)
TEXT = exported([conversation(f"c{i}", CHOOSE.randbytes(40).hex(), "yes, 日本語 " * 9) for i in range(300)])
LONG = b"".join(bytes([byte]) * CHOOSE.choice([1, 3, 900]) for byte in CHOOSE.randbytes(1000)) + TEXT

SETTINGS = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=[isal_zlib, zlib], ids=["isal", "zlib"])
def fast(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(inflate, "fast", request.param)
    return request.param


def opener_of(data: bytes) -> Opener:
    return lambda stack: stack.enter_context(io.BytesIO(data))


def packed_of(data: bytes, wbits: int, level: int = 6) -> bytes:
    packer = zlib.compressobj(level, wbits=wbits)
    return packer.compress(data) + packer.flush()


def stream_of(packed: bytes, wbits: int, *, size: int = 10**9, checksum: int | None = None) -> Opener:
    """`packed` as a gzip, or as an entry of a ZIP."""
    if wbits == GZIP:
        return gunzipped(opener_of(packed))
    entry = zipfile.ZipInfo("x")
    entry.compress_type, entry.compress_size, entry.file_size = DEFLATED, len(packed), size
    if checksum is not None:
        entry.CRC = checksum
    return unpacked(opener_of(packed), entry)


def drained(opener: Opener, sizes: Iterator[int] | int = 16384) -> tuple[bytes, Exception | None]:
    """All that is given, and what is raised then; that it is raised again, and that nothing comes after the end."""
    data, failure = b"", None
    with ExitStack() as stack:
        stream = opener(stack)
        try:
            while piece := stream.read(sizes if isinstance(sizes, int) else next(sizes)):
                data += piece
        except DAMAGE as error:
            failure = error
        for _ in range(2):
            if failure is None:
                assert stream.read(1) == b""
            else:
                with pytest.raises(type(failure)):
                    stream.read(1)
        assert stream.read(0) == b""
    return data, failure


def by_zlib(packed: bytes, wbits: int) -> bytes:
    """All that zlib can give of one part."""
    unpacker, out = zlib.decompressobj(wbits), b""
    try:
        for at in range(len(packed)):
            out += unpacker.decompress(packed[at : at + 1])
    except zlib.error:
        pass
    return out


def texts() -> st.SearchStrategy[bytes]:
    """Of every length around the sizes of reading, packing well and badly."""
    of_long = st.tuples(st.integers(0, len(LONG)), st.integers(0, 200_000)).map(lambda at: LONG[at[0] : sum(at)])
    return st.binary(max_size=200) | of_long | of_long.map(bytes.hex).map(str.encode)


def levels() -> st.SearchStrategy[int]:
    return st.sampled_from([0, 1, 6, 9])


KINDS = st.sampled_from([GZIP, DEFLATE])


# --- what is good --------------------------------------------------------------------------------


@SETTINGS
@given(texts(), KINDS, levels(), st.lists(st.integers(1, 100_000), min_size=1))
def test_good_data_is_given_as_it_is(fast: Any, data: bytes, wbits: int, level: int, sizes: list[int]) -> None:
    opener = stream_of(packed_of(data, wbits, level), wbits, size=len(data), checksum=zlib.crc32(data))
    endless = (sizes[i % len(sizes)] for i in range(10**9))
    assert drained(opener, endless) == (data, None)
    with ExitStack() as stack:
        assert opener(stack).read() == data
    with ExitStack() as stack:
        assert io.BufferedReader(opener(stack), 1000).read() == data  # type: ignore[type-var]


@pytest.mark.parametrize("size", [1, 2, 7, 4096, 65535, 65536, 65537, 10**6])
def test_so_many_bytes_are_given_as_are_asked_for(fast: Any, size: int) -> None:
    data = LONG[: size * 3000]
    for wbits in (GZIP, DEFLATE):
        with ExitStack() as stack:
            stream = stream_of(packed_of(data, wbits), wbits)(stack)
            pieces = list(iter(lambda s=stream: s.read(size), b""))  # type: ignore[misc]
        assert {len(piece) for piece in pieces[:-1]} <= {size}
        assert b"".join(pieces) == data


@SETTINGS
@given(st.lists(st.tuples(texts(), levels(), st.sampled_from([0, 0, 1, 3, 20_000])), min_size=1, max_size=4))
def test_a_gzip_may_have_parts_with_zeros_between_and_after_them(
    fast: Any, parts: list[tuple[bytes, int, int]]
) -> None:
    packed = b"".join(packed_of(data, GZIP, level) + bytes(zeros) for data, level, zeros in parts)
    assert drained(gunzipped(opener_of(packed))) == (b"".join(data for data, _, _ in parts), None)
    assert gzip.decompress(packed) == b"".join(data for data, _, _ in parts)


def test_a_gzip_has_a_header_with_a_name(fast: Any) -> None:
    buffer = io.BytesIO()
    with gzip.GzipFile("conversations.json", "wb", fileobj=buffer, mtime=1) as stream:
        stream.write(TEXT)
    assert drained(gunzipped(opener_of(buffer.getvalue()))) == (TEXT, None)


@pytest.mark.parametrize("compression", [STORED, DEFLATED, BZIP2, LZMA])
def test_entries_of_every_method_are_unpacked(fast: Any, compression: int) -> None:
    archive = zipped({"1.zip": LONG, "2.zip": b"", "3.zip": TEXT}, compression)
    entries = entries_of_zip(opener_of(b"before it" + archive), "", Budget(0))
    assert [drained(entry.opener) for entry in entries] == [(LONG, None), (b"", None), (TEXT, None)]


def test_good_data_is_unpacked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zlib, "decompressobj", lambda *_: pytest.fail("unpacked again"))
    for wbits in (GZIP, DEFLATE):
        packer = isal_zlib.compressobj(wbits=wbits)
        assert drained(stream_of(packer.compress(LONG) + packer.flush(), wbits)) == (LONG, None)


def test_without_isal_there_is_zlib(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name.startswith("isal"):
            raise ImportError(name)
        return found(name, *more)

    with monkeypatch.context() as patched:
        patched.setattr(builtins, "__import__", without)
        importlib.reload(inflate)
        assert vars(inflate)["fast"] is zlib
    importlib.reload(inflate)
    assert vars(inflate)["fast"] is isal_zlib


# --- what is damaged -----------------------------------------------------------------------------


SMALL = st.sampled_from([1, 50, 1000, 16 * 1024, 64 * 1024])


@SETTINGS
@given(texts(), KINDS, levels(), st.data(), SMALL, SMALL)
def test_of_what_is_cut_off_all_is_given_that_zlib_gives(
    fast: Any, data: bytes, wbits: int, level: int, choose: st.DataObject, read: int, piece: int
) -> None:
    packed = packed_of(data, wbits, level)
    cut = packed[: choose.draw(st.integers(1, len(packed) - 1))]
    with mock.patch.multiple(inflate, READ_BYTES=read, PIECE_BYTES=piece):
        found, failure = drained(stream_of(cut, wbits, checksum=zlib.crc32(data)))
        assert wbits == GZIP or drained(stream_of(cut, wbits)) == (found, None)  # an entry whose checksum nobody knows
    assert found == by_zlib(cut, wbits)
    assert data.startswith(found)
    assert isinstance(failure, EOFError if wbits == GZIP else zipfile.BadZipFile) or (wbits != GZIP and found == data)


@SETTINGS
@given(texts(), KINDS, levels(), st.data(), SMALL, SMALL)
def test_of_what_is_damaged_all_is_given_that_zlib_gives(
    fast: Any, data: bytes, wbits: int, level: int, choose: st.DataObject, read: int, piece: int
) -> None:
    packed = bytearray(packed_of(data, wbits, level))
    packed[choose.draw(st.integers(0, len(packed) - 1))] ^= 1 << choose.draw(st.integers(0, 7))
    given, expected = bytes(packed), by_zlib(bytes(packed), wbits)
    with mock.patch.multiple(inflate, READ_BYTES=read, PIECE_BYTES=piece):
        found, failure = drained(stream_of(given, wbits, checksum=zlib.crc32(data)))
    assert found == expected or (fast is isal_zlib and found.startswith(expected))  # which takes what zlib refuses
    assert failure is not None or found == data
    assert failure is None or isinstance(failure, zlib.error | EOFError | zipfile.BadZipFile)


@SETTINGS
@given(st.binary(max_size=100), KINDS, st.booleans())
def test_whatever_there_is_nothing_else_is_raised(fast: Any, data: bytes, wbits: int, header: bool) -> None:
    drained(stream_of(packed_of(b"", GZIP)[:10] + data if header else data, wbits))


@pytest.mark.parametrize("place", [-8, -1], ids=["checksum", "size"])
def test_a_gzip_is_compared_with_its_checksum_and_size_when_it_is_given(fast: Any, place: int) -> None:
    packed = bytearray(packed_of(LONG, GZIP))
    packed[place] ^= 1
    data, failure = drained(gunzipped(opener_of(bytes(packed))))
    assert data == LONG
    assert isinstance(failure, zlib.error)


@pytest.mark.parametrize("compression", [STORED, DEFLATED])
def test_so_is_an_entry_with_its_checksum(fast: Any, compression: int) -> None:
    archive = zipped({"x.zip": LONG}, compression).replace(zlib.crc32(LONG).to_bytes(4, "little"), b"\1\2\3\4")
    (entry,) = entries_of_zip(opener_of(archive), "", Budget(0))
    data, failure = drained(entry.opener)
    assert data == LONG
    assert isinstance(failure, zipfile.BadZipFile)
    with pytest.raises(zipfile.BadZipFile), ExitStack() as stack:
        entry.opener(stack).read()  # who asks for all is not given less


def test_what_follows_a_gzip_is_told(fast: Any) -> None:
    data, failure = drained(gunzipped(opener_of(packed_of(LONG, GZIP) + b"\0\0junk")))
    assert data == LONG
    assert isinstance(failure, TrailingData)


@pytest.mark.parametrize("behind", [b"\n", b"\r\n", b"abc", b"\x1f", b"\0" * 70_000 + b"\x1fx"], ids=repr)
def test_gzip_is_whole_and_unpacked_once_when_something_else_follows_it(fast: Any, behind: bytes) -> None:
    opened: list[None] = []

    def opener(stack: ExitStack) -> BinaryIO:
        opened.append(None)
        return stack.enter_context(io.BytesIO(packed_of(LONG[:7], GZIP) + packed_of(LONG[7:], GZIP) + behind))

    data, failure = drained(gunzipped(opener))
    assert (data, type(failure), len(opened)) == (LONG, TrailingData, 1)


def test_gzip_is_damaged_when_what_follows_it_begins_like_one(fast: Any) -> None:
    data, failure = drained(gunzipped(opener_of(packed_of(LONG, GZIP) + b"\x1f\x8bxx")))
    assert data == LONG
    assert isinstance(failure, zlib.error | EOFError)
    assert not isinstance(failure, TrailingData)


@pytest.mark.parametrize("behind", [b"\n", b"something else"])
@pytest.mark.parametrize("name", ["x.json.gz", "x.zip.gz"])
def test_import_is_complete_and_tells_of_it_when_something_follows_a_gzip(
    tmp_path: Path, name: str, behind: bytes
) -> None:
    data = TEXT if name == "x.json.gz" else zipped({"conversations.json": TEXT})
    written(tmp_path / name, packed_of(data, GZIP) + behind)
    summary = Database(tmp_path / "chunks.db").imported(tmp_path / name)
    assert [(problem.kind, problem.harmless) for problem in summary.problems] == [("trailing_data", True)]
    assert (summary.status, summary.exit_code, summary.counts.imported) == ("complete", 0, 300)


@pytest.mark.parametrize("length", [0, 1, 1000, len(LONG) - 1])
@pytest.mark.parametrize("compression", [STORED, DEFLATED])
def test_no_more_is_given_than_an_entry_says(fast: Any, compression: int, length: int) -> None:
    with zipfile.ZipFile(io.BytesIO(zipped({"x": LONG}, compression))) as archive:
        entry = archive.getinfo("x")
    entry.file_size = length
    packed = LONG if compression == STORED else packed_of(LONG, DEFLATE)
    data, failure = drained(unpacked(opener_of(packed), entry))
    assert data == LONG[:length]
    assert isinstance(failure, zipfile.BadZipFile)


def test_a_gzip_in_a_damaged_gzip_gives_what_is_before_the_damage(fast: Any) -> None:
    inner = packed_of(LONG, GZIP)
    packed = packed_of(inner, GZIP)
    for cut in (packed[: len(packed) // 2], packed[:-3], packed[:40]):
        data, failure = drained(gunzipped(gunzipped(opener_of(cut))))
        assert data == by_zlib(by_zlib(cut, GZIP), GZIP)
        assert isinstance(failure, EOFError)


class FailingOnce(io.BytesIO):
    """A disk that cannot read a place, the first time."""

    failed = False

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 3000 and not FailingOnce.failed:
            FailingOnce.failed = True
            raise OSError("Input/output error")
        return super().read(size)


def test_a_disk_that_reads_the_second_time_has_read(fast: Any) -> None:
    def opener(stack: ExitStack) -> BinaryIO:
        return stack.enter_context(FailingOnce(packed_of(LONG, GZIP)))

    FailingOnce.failed = False
    assert drained(gunzipped(opener)) == (LONG, None)
    assert FailingOnce.failed


# --- entries that bz2 or lzma packed -------------------------------------------------------------


def entry_of(data: bytes, compression: int) -> tuple[bytes, zipfile.ZipInfo]:
    """The packed bytes of `data` as zipfile writes them, and their header."""
    archive = zipped({"x": data}, compression)
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        entry = opened.getinfo("x")
    start = 30 + len("x")
    return archive[start : start + entry.compress_size], entry


@settings(max_examples=40)
@given(texts(), st.sampled_from([BZIP2, LZMA]), st.lists(st.integers(1, 100_000), min_size=1), SMALL, SMALL)
def test_of_entry_gives_equal_bytes_when_zipfile_packed_them(
    data: bytes, compression: int, sizes: list[int], read: int, piece: int
) -> None:
    packed, entry = entry_of(data, compression)
    endless = (sizes[i % len(sizes)] for i in range(10**9))
    with mock.patch.multiple(inflate, READ_BYTES=read, PIECE_BYTES=piece):
        assert drained(unpacked(opener_of(packed), entry), endless) == (data, None)


def test_of_entry_gives_equal_bytes_when_lzma_has_other_properties_and_no_end_marker() -> None:
    settings_of_lzma = {"id": lzma.FILTER_LZMA1, "preset": 9, "dict_size": 1 << 20, "lc": 1, "lp": 2, "pb": 3}
    alone = lzma.compress(LONG, lzma.FORMAT_ALONE, filters=[settings_of_lzma])
    packed = b"\x09\x04\x05\x00" + alone[:5] + alone[13:]
    _, entry = entry_of(LONG, LZMA)
    assert drained(unpacked(opener_of(packed), entry)) == (LONG, None)
    whole_but_the_end_marker = packed[:-5]
    assert drained(unpacked(opener_of(whole_but_the_end_marker), entry)) == (LONG, None)


@pytest.mark.parametrize("dictionary_bytes", [0, 0xFFFFFFFF])
def test_of_entry_gives_no_lzma_dictionary_more_than_the_entry_when_its_header_claims_it(
    dictionary_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, original = [], lzma.LZMADecompressor

    def noted(kind: int, filters: list[dict[str, int]]) -> lzma.LZMADecompressor:
        chosen.append(filters[0]["dict_size"])
        return original(kind, filters=filters)

    monkeypatch.setattr(lzma, "LZMADecompressor", noted)
    packed, entry = entry_of(LONG[:4000], LZMA)
    claiming = packed[:5] + dictionary_bytes.to_bytes(4, "little") + packed[9:]
    assert drained(unpacked(opener_of(claiming), entry)) == (LONG[:4000], None)
    assert [size <= len(LONG[:4000]) + inflate.PIECE_BYTES for size in chosen] == [True]
    entry.file_size = 10**12
    drained(unpacked(opener_of(claiming), entry))
    assert max(chosen) <= inflate.MAX_DICTIONARY_BYTES


@pytest.mark.parametrize("length", [0, 1, 1000, len(LONG) - 1])
@pytest.mark.parametrize("compression", [BZIP2, LZMA])
def test_of_entry_ends_at_the_claim_when_there_is_more(compression: int, length: int) -> None:
    packed, entry = entry_of(LONG, compression)
    entry.file_size = length
    data, failure = drained(unpacked(opener_of(packed), entry))
    assert data == LONG[:length]
    assert isinstance(failure, zipfile.BadZipFile)


@pytest.mark.parametrize("compression", [BZIP2, LZMA])
def test_of_entry_gives_all_and_raises_when_the_checksum_is_wrong(compression: int) -> None:
    packed, entry = entry_of(LONG, compression)
    entry.CRC ^= 1
    data, failure = drained(unpacked(opener_of(packed), entry))
    assert data == LONG
    assert isinstance(failure, zipfile.BadZipFile)


def by_bytes(packed: bytes, unpacker: Any) -> bytes:
    """All that bz2 or lzma gives if it is fed byte by byte."""
    out = bytearray()
    with suppress(*DAMAGE):
        for at in range(len(packed)):
            out += unpacker.decompress(packed[at : at + 1])
    return bytes(out)


MANY_BLOCKS = b"".join(CHOOSE.randbytes(100_000).hex().encode() for _ in range(5))  # bz2 packs 900,000 bytes at a time


@pytest.mark.parametrize("place", [3, 12, 0.1, 0.5, 0.9, -1])
@pytest.mark.parametrize("compression", [BZIP2, LZMA])
@pytest.mark.parametrize("cut", [True, False], ids=["cut off", "damaged"])
def test_of_entry_gives_what_is_before_the_damage_when_bz2_or_lzma_packed_it(
    compression: int, place: float, cut: bool
) -> None:
    packed, entry = entry_of(MANY_BLOCKS, compression)
    at = int(place * len(packed)) if isinstance(place, float) else place % len(packed)
    bad = packed[:at] if cut else packed[:at] + bytes(byte ^ 0xFF for byte in packed[at : at + 9]) + packed[at + 9 :]
    expected = by_bytes(bad, bz2.BZ2Decompressor() if compression == BZIP2 else zipfile.LZMADecompressor())  # type: ignore[attr-defined]
    data, failure = drained(unpacked(opener_of(bad), entry))
    assert data[: len(expected)] == expected[: len(MANY_BLOCKS)]
    if cut:
        assert MANY_BLOCKS.startswith(data)
    assert (
        failure is None if data == MANY_BLOCKS else isinstance(failure, OSError | lzma.LZMAError | zipfile.BadZipFile)
    )


@pytest.mark.parametrize("method", [6, 9, 93, 97])
def test_of_entry_raises_damage_when_the_method_is_not_known(method: int) -> None:
    packed, entry = entry_of(LONG, DEFLATED)
    entry.compress_type = method
    data, failure = drained(unpacked(opener_of(packed), entry))
    assert data == b""
    assert isinstance(failure, NotImplementedError)


@pytest.mark.parametrize("compression", [BZIP2, LZMA])
@pytest.mark.parametrize("claim", [1000, 64_000_000])
@pytest.mark.parametrize("damaged", [False, True])
def test_of_entry_holds_a_piece_at_a_time_when_bz2_or_lzma_packed_a_bomb(
    compression: int, claim: int, damaged: bool
) -> None:
    packed, entry = entry_of(bytes(64_000_000), compression)
    entry.file_size = claim
    if damaged:
        packed = packed[:-5] + b"\xff" * 5
    tracemalloc.start()
    try:
        with ExitStack() as stack:
            stream, count = unpacked(opener_of(packed), entry)(stack), 0
            with suppress(*DAMAGE):
                while piece := stream.read(1000):
                    count += len(piece)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000  # of which lzma's dictionary is 8 MiB
    finally:
        tracemalloc.stop()
    assert min(claim, 60_000_000) <= count <= claim


# --- what it costs -------------------------------------------------------------------------------


@pytest.mark.parametrize("wbits", [GZIP, DEFLATE])
@pytest.mark.parametrize("damaged", [False, True])
def test_a_bomb_expands_by_a_piece_at_a_time(fast: Any, wbits: int, damaged: bool) -> None:
    packed = packed_of(bytes(100_000_000), wbits, 9)
    if damaged:
        packed = packed[:-20] + b"\xff" * 20
    tracemalloc.start()
    try:
        with ExitStack() as stack:
            stream, count = stream_of(packed, wbits)(stack), 0
            try:
                while piece := stream.read(1000):
                    count += len(piece)
            except DAMAGE:
                assert damaged
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert count > 99_000_000


def test_what_was_opened_is_closed(fast: Any) -> None:
    opened: list[BinaryIO] = []

    def opener(stack: ExitStack) -> BinaryIO:
        opened.append(stack.enter_context(io.BytesIO(packed_of(LONG, GZIP)[:-9])))
        return opened[-1]

    with ExitStack() as stack:
        gunzipped(opener)(stack).read(10)
    drained(gunzipped(opener))
    head_of(gunzipped(opener))
    assert [stream.closed for stream in opened] == [True] * 4


# --- an export -----------------------------------------------------------------------------------


def test_of_a_small_gzip_that_is_cut_off_the_conversations_arrive(tmp_path: Path) -> None:
    items = [conversation("a"), conversation("b")]
    for cut in range(1, 9):
        (member,) = open_export(written(tmp_path / "x.json.gz", gzip.compress(exported(items))[:-cut])).members
        read = list(read_conversations(member, ReadLimits()))
        whole = [item.data for item in read if isinstance(item, RawConversation)]
        assert whole == [exported([item])[1:-1] for item in items]
        assert len(read) > len(whole)


@pytest.mark.parametrize("compression", [DEFLATED, BZIP2])
def test_a_manifest_with_a_wrong_checksum_is_of_no_use(tmp_path: Path, compression: int) -> None:
    listing = b'{"files":["conversations-000.json","conversations-001.json"]}'
    archive = zipped({"conversations-000.json": TEXT, "export_manifest.json": listing}, compression)
    wrong = archive.replace(zlib.crc32(listing).to_bytes(4, "little"), b"\1\2\3\4")
    told, silent = (
        open_sources([written(tmp_path / "x.zip", data)], ReadLimits()).problems for data in (archive, wrong)
    )
    assert ([problem.kind for problem in told], silent) == (["missing_shard"], [])


def test_what_a_server_refuses_is_not_asked_for_again_as_damage_is() -> None:
    opened = []

    class Refused(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:  # noqa: ARG002 - of every stream
            raise SourceRefused("It is gone.")

    def opener(stack: ExitStack) -> BinaryIO:
        opened.append(stack)
        return Refused()

    with pytest.raises(SourceRefused):
        next(inflated(opener, GZIP))
    assert len(opened) == 1
