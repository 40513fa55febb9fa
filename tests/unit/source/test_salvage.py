"""A ZIP whose directory is lost, mostly by a download that broke off: all that lies before the cut is in."""

import gzip
import io
import os
import random
import struct
import tempfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ray_import.chatgpt.files import missing_shards
from ray_import.errors import NotAnExport, SourceError, UnsafeArchive, UnsafeSource
from ray_import.reader.conversations import read_conversations
from ray_import.records import Problem, RawConversation
from ray_import.settings import ReadLimits
from ray_import.source import salvage, unpack_budget
from ray_import.source.archives import entries_of_zip
from ray_import.source.export import Export
from ray_import.source.open_export import open_export
from ray_import.source.salvage import salvaged_entries
from ray_import.source.streams import DAMAGE, Opener, file
from ray_import.source.unpack_budget import Budget
from tests.unit.source.exports import conversation, exported, written, zipped

CHOOSE = random.Random(1)
CONVERSATIONS = [
    [conversation(f"{shard}-{i}", CHOOSE.randbytes(60).hex(), "yes " * 20) for i in range(5)] for shard in "ab"
]
A, B = map(exported, CONVERSATIONS)
ITEMS = {
    "a": [exported([item])[1:-1] for item in CONVERSATIONS[0]],
    "b": [exported([x])[1:-1] for x in CONVERSATIONS[1]],
}
MEMBERS = {
    "file-0.dat": CHOOSE.randbytes(500), "x/conversations-000.json": A, "x/": b"", "chat.html": b"<html>" * 60,
    "x/conversations-001.json": B, "é.png": b"PK\x07\x08" * 40, "empty.dat": b"",
}  # fmt: skip
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


class Unseekable(io.RawIOBase):
    """As a ZIP is written that is streamed to its reader: sizes follow the data."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self.data += bytes(data)
        return len(data)


def made(members: dict[str, bytes], compression: int, *, streamed: bool = False, large: bool = False) -> bytes:
    stream: Any = Unseekable() if streamed else io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in members.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = compression
            with archive.open(entry, "w", force_zip64=large) as writing:
                writing.write(data)
    return stream.data if streamed else stream.getvalue()


Maker = Callable[[dict[str, bytes]], bytes]
MAKERS: dict[str, Maker] = {
    f"{'streamed ' if streamed else ''}{'ZIP64 ' if large else ''}{'stored' if compression == STORED else 'packed'}": (
        lambda members, c=compression, s=streamed, z=large: made(members, c, streamed=s, large=z)  # type: ignore[misc]
    )
    for compression in (STORED, DEFLATED)
    for streamed in (False, True)
    for large in (False, True)
}
MADE = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def there_is(archive: bytes, length: int) -> dict[str, bytes]:
    """What of each member can be had from the first bytes of `archive`, by its directory."""
    found = {}
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        for entry in opened.infolist():
            lengths = struct.unpack_from("<HH", archive, entry.header_offset + 26)
            start = entry.header_offset + 30 + sum(lengths)
            packed = archive[start : min(start + entry.compress_size, length)]
            unpacker = zlib.decompressobj(-15)
            stored = entry.compress_type == STORED
            found[entry.filename] = packed if stored else unpacker.decompress(packed) + unpacker.flush()
    return found


def whole_in(data: bytes, items: list[bytes]) -> list[bytes]:
    return [item for item in items if item in data]


def read(export: Export) -> tuple[list[bytes], list[Problem]]:
    """The whole conversations, and all problems."""
    conversations, problems = [], [*export.problems, *missing_shards(export.path, export.listed, export.shards)]
    for member in export.members:
        for item in read_conversations(member, ReadLimits()):
            if isinstance(item, RawConversation):
                conversations += [] if item.damage else [item.data]
            else:
                problems.append(item)
    return conversations, problems


def salvaged(path: Path) -> tuple[list[bytes], list[Problem]]:
    """What is read; nothing where it is an error."""
    try:
        return read(open_export(path))
    except SourceError as error:
        return [], [Problem("error", "", error.message)]


def cuts(archive: bytes, step: int) -> list[int]:
    """Many places, and all around every signature."""
    marks = [at for at in range(len(archive)) if archive.startswith(b"PK", at)]
    near = {at + by for at in marks for by in (-1, 0, 1, 2, 4, 12, 16, 24, 29, 30, 40, 60)}
    return sorted(at for at in near | set(range(0, len(archive), step)) if 0 <= at < len(archive))


def kept_at_every_cut(tmp_path: Path, archive: bytes, expected: Callable[[int], list[bytes]], step: int) -> None:
    for length in cuts(archive, step):
        conversations, problems = salvaged(written(tmp_path / "x.zip", archive[:length]))
        assert conversations == expected(length), length
        assert {problem.kind for problem in problems} & {"truncated", "error"}, length
        assert not conversations or "truncated" in {problem.kind for problem in problems}, length


# --- what is before the cut ----------------------------------------------------------------------


@MADE
def test_wherever_a_zip_is_cut_off_all_before_the_cut_arrives_and_it_is_told(tmp_path: Path, make: Maker) -> None:
    archive = make(MEMBERS)

    def expected(length: int) -> list[bytes]:
        there = there_is(archive, length)
        return whole_in(there["x/conversations-000.json"], ITEMS["a"]) + whole_in(
            there["x/conversations-001.json"], ITEMS["b"]
        )

    kept_at_every_cut(tmp_path, archive, expected, 37)
    assert salvaged(written(tmp_path / "x.zip", archive)) == (ITEMS["a"] + ITEMS["b"], [])


@pytest.mark.parametrize("outer", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("inner", [MAKERS["packed"], MAKERS["streamed stored"]], ids=["packed", "streamed stored"])
def test_so_it_does_from_zips_in_a_zip(tmp_path: Path, outer: Maker, inner: Maker) -> None:
    first, second = inner({"file.dat": b"x" * 50, "conversations.json": A}), inner({"conversations.json": B})
    archive = outer(
        {"report.html": b"<html>", "u/Chats__1.zip": first, "u/Chats__2.zip": second, "Ads.zip": zipped({})}
    )

    def expected(length: int) -> list[bytes]:
        there = there_is(archive, length)
        one = there_is(first, len(there["u/Chats__1.zip"]))["conversations.json"]
        two = there_is(second, len(there["u/Chats__2.zip"]))["conversations.json"]
        return whole_in(one, ITEMS["a"]) + whole_in(two, ITEMS["b"])

    kept_at_every_cut(tmp_path, archive, expected, 61)


@MADE
def test_where_only_the_directory_is_damaged_everything_arrives(tmp_path: Path, make: Maker) -> None:
    archive = make(MEMBERS).replace(b"PK\x01\x02", b"XX\x01\x02")
    conversations, problems = salvaged(written(tmp_path / "x.zip", archive))
    assert conversations == ITEMS["a"] + ITEMS["b"]
    assert [(problem.kind, problem.where) for problem in problems] == [("truncated", "x.zip")]


@MADE
def test_names_sizes_and_bytes_are_those_of_the_directory(make: Maker) -> None:
    members = {name: data for name, data in MEMBERS.items() if not name.endswith("/")}
    archive = make(MEMBERS)
    cut = archive[: archive.index(b"PK\x01\x02") + 10]
    listed = entries_of_zip(opener_of(archive), "x.zip", Budget(0))
    found = salvaged_entries(opener_of(cut), "x.zip", Budget(0))
    assert [(entry.name, entry.size) for entry in found] == [(entry.name, entry.size) for entry in listed]
    for entry in found:
        for opener in (entry.opener, entry.anywhere()):
            with ExitStack() as stack:
                assert opener(stack).read() == members[entry.name]


def test_a_descriptor_may_have_no_signature_and_sizes_may_stand_before_it_too(tmp_path: Path) -> None:
    archive = MAKERS["streamed packed"](MEMBERS)
    bare = archive[: archive.index(b"PK\x01\x02")]
    with zipfile.ZipFile(io.BytesIO(archive)) as whole:
        listed = whole.infolist()
    for entry in listed:
        descriptor = struct.pack("<III", entry.CRC, entry.compress_size, entry.file_size)
        bare = bare.replace(b"PK\x07\x08" + descriptor, descriptor)
    assert salvaged(written(tmp_path / "x.zip", bare))[0] == ITEMS["a"] + ITEMS["b"]
    told = bytearray(archive[: archive.index(b"PK\x01\x02")])
    for entry in listed:
        struct.pack_into("<II", told, entry.header_offset + 18, entry.compress_size, entry.file_size)
    assert salvaged(written(tmp_path / "x.zip", bytes(told)))[0] == ITEMS["a"] + ITEMS["b"]


def test_a_shard_that_was_after_the_cut_is_told_by_the_manifest(tmp_path: Path) -> None:
    listing = b'{"files":["conversations-000.json","conversations-001.json"]}'
    archive = zipped({"export_manifest.json": listing, "conversations-000.json": A, "conversations-001.json": B})
    path = written(tmp_path / "x.zip", archive[: archive.index(b"conversations-001", 300)])
    assert {problem.kind for problem in salvaged(path)[1]} == {"truncated", "missing_shard"}


def test_in_a_folder_the_others_are_read_as_ever(tmp_path: Path) -> None:
    written(tmp_path / "f" / "1.zip", zipped({"conversations.json": A})[:-30])
    written(tmp_path / "f" / "2.zip", zipped({"conversations.json": B}))
    written(tmp_path / "f" / "3.zip", zipped({"picture.png": B})[:-30])
    conversations, problems = salvaged(tmp_path / "f")
    assert conversations == ITEMS["a"] + ITEMS["b"]
    assert [(problem.kind, problem.where) for problem in problems] == [
        ("truncated", "1.zip"),
        ("truncated", "3.zip"),
    ]


@pytest.mark.parametrize("members", [{"chat.html": b"<html>" * 99}, {"Ads__1.zip": zipped({"ads.json": b"[]"})}])
def test_without_conversations_it_is_an_error_with_a_hint(tmp_path: Path, members: dict[str, bytes]) -> None:
    for archive in (zipped(members), zipped(members, STORED)):
        for length in (4, 20, len(archive) // 2, len(archive) - 30):
            with pytest.raises(SourceError, match=r"x\.zip is damaged or cut off") as caught:
                open_export(written(tmp_path / "x.zip", archive[:length]))
            assert "Download the export again" in caught.value.hint
            assert not isinstance(caught.value, NotAnExport)


# --- what it costs -------------------------------------------------------------------------------


class Counting(io.BytesIO):
    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def opener_of(data: bytes | io.BytesIO) -> Opener:
    return lambda _: cast("BinaryIO", data if isinstance(data, io.BytesIO) else io.BytesIO(data))


def test_data_whose_size_is_known_is_not_read() -> None:
    picture = os.urandom(5_000_000)
    archive = zipped({"1.zip": picture, "conversations.json": A, "2.zip": picture, "3.zip": picture})[:-6_000_000]
    stream = Counting(archive)
    found = salvaged_entries(opener_of(stream), "", Budget(0))
    assert [entry.name for entry in found] == ["1.zip", "conversations.json", "2.zip"]
    assert stream.count < 1000


def test_of_a_good_zip_the_headers_are_not_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        pytest.fail("salvaged")

    monkeypatch.setattr("ray_import.source.finder.salvaged_entries", never)
    assert salvaged(written(tmp_path / "x.zip", zipped(MEMBERS)))[0] == ITEMS["a"] + ITEMS["b"]
    with pytest.raises(NotAnExport, match="holds no conversations"):
        open_export(written(tmp_path / "x.zip", zipped({})))


def test_conversations_may_lie_beyond_4_gib(tmp_path: Path) -> None:
    """After a hole in the file, which takes no room and is not read."""
    large = zipfile.ZipInfo("film.mp4")
    large.file_size = large.compress_size = 5 * 2**30
    large.CRC = 0
    with (tmp_path / "x.zip").open("wb") as sparse:
        sparse.write(large.FileHeader(zip64=True))
        sparse.seek(5 * 2**30, os.SEEK_CUR)
        sparse.write(zipped({"conversations.json": A})[:-30])
    assert salvaged(tmp_path / "x.zip")[0] == ITEMS["a"]


@pytest.mark.parametrize("compression", [STORED, DEFLATED])
def test_memory_is_bounded(tmp_path: Path, compression: int) -> None:
    picture = os.urandom(1000) * 30_000
    path = written(
        tmp_path / "x.zip", made({"1.bmp": picture, "conversations.json": A}, compression, streamed=True)[:-30]
    )
    del picture
    tracemalloc.start()
    try:
        assert [entry.name for entry in salvaged_entries(file(path), "", Budget(0))] == ["conversations.json"]
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.95])
def test_no_temporary_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: float) -> None:
    files: list[Any] = []
    make = tempfile.TemporaryFile

    def noted(**more: Any) -> Any:
        files.append(make(**more))
        return files[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", noted)
    archive = zipped({"a.zip": zipped(MEMBERS), "b.zip": zipped({"conversations.json": b"[" + os.urandom(3000)})})
    assert salvaged(written(tmp_path / "x.zip", archive[: int(len(archive) * kept)]))[1]
    assert files
    assert all(made.closed for made in files)
    assert [*tmp_path.iterdir()] == [tmp_path / "x.zip"]


# --- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["stored", "streamed stored", "packed", "streamed packed", "ZIP64 packed"])
def test_a_checksum_is_compared(tmp_path: Path, name: str) -> None:
    data = exported([conversation(f"c{i}", os.urandom(300).hex()) for i in range(100)])
    archive = MAKERS[name]({"conversations.json": data})
    checksum = struct.pack("<I", zlib.crc32(data))
    wrong = archive[: archive.index(b"PK\x01\x02")].replace(checksum, b"\0\1\2\3")
    assert {problem.kind for problem in salvaged(written(tmp_path / "x.zip", wrong))[1]} >= {"truncated", "damaged"}
    (entry,) = salvaged_entries(opener_of(wrong), "", Budget(0))
    with pytest.raises(zipfile.BadZipFile), ExitStack() as stack:
        entry.opener(stack).read()


@MADE
@pytest.mark.parametrize("method", [1, 9, 12, 14, 99])
def test_packing_that_is_not_known_is_an_error_or_passed_by(tmp_path: Path, make: Maker, method: int) -> None:
    archive = bytearray(make({"conversations-000.json": A, "conversations-001.json": B})[:-30])
    struct.pack_into("<H", archive, 8, method)
    conversations, problems = salvaged(written(tmp_path / "x.zip", bytes(archive)))
    assert conversations in ([], ITEMS["b"])
    assert {problem.kind for problem in problems} <= {"truncated", "damaged", "unsupported", "error", "not_json"}


# --- traps ---------------------------------------------------------------------------------------


def test_an_encrypted_entry_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    for name, read_too in (("packed", ITEMS["b"]), ("streamed packed", [])):  # of which nothing tells where it ends
        archive = bytearray(MAKERS[name]({"conversations-000.json": A, "conversations-001.json": B})[:-30])
        archive[6] |= 1
        conversations, problems = salvaged(written(tmp_path / "x.zip", bytes(archive)))
        assert conversations == read_too
        assert "encrypted" in "".join(problem.detail for problem in problems) or not read_too
    archive = bytearray(zipped({"conversations.json": A})[:-30])
    archive[6] |= 1
    (entry,) = salvaged_entries(opener_of(bytes(archive)), "x.zip", Budget(0))
    assert "is encrypted" in str(entry.refused)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("kept", [0.9, 0.5])
def test_a_bomb_is_refused_and_not_unpacked(streamed: bool, kept: float) -> None:
    archive = made({"conversations.json": b"[" + b" " * 80_000_000 + b"]"}, DEFLATED, streamed=streamed)
    stream = Counting(archive[: int(len(archive) * kept)])
    (entry,) = salvaged_entries(opener_of(stream), "x.zip", Budget(0))
    assert stream.count < 40_000
    assert isinstance(entry.refused, UnsafeArchive)
    assert entry.size < 40_000_000
    with ExitStack() as stack:
        assert len(entry.opener(stack).read()) < 40_000_000


@pytest.mark.parametrize("size", [0, 1, len(A) - 1, len(A) + 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("field", [18, 22], ids=["packed size", "size"])
@MADE
def test_a_size_that_lies_is_no_fault_of_ours(tmp_path: Path, make: Maker, field: int, size: int) -> None:
    archive = bytearray(make({"conversations-000.json": A, "conversations-001.json": B})[:-30])
    struct.pack_into("<I", archive, field, size)
    conversations, problems = salvaged(written(tmp_path / "x.zip", bytes(archive)))
    assert set(conversations) <= {*ITEMS["a"], *ITEMS["b"]}
    assert problems


@pytest.mark.parametrize("sizes", [(2**64 - 1, 2**64 - 1), (10, 2**64 - 1), (2**64 - 1, 10), (2**63, 2**63)])
def test_a_zip64_size_may_be_any_number(tmp_path: Path, sizes: tuple[int, int]) -> None:
    header = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 45, 0, 0, 0, 0, 0, 2**32 - 1, 2**32 - 1, 18, 20)
    data = header + b"conversations.json" + struct.pack("<HHQQ", 1, 16, *sizes) + A
    conversations, problems = salvaged(written(tmp_path / "x.zip", data))
    assert len(conversations) in (0, 5)
    assert problems
    (entry,) = salvaged_entries(opener_of(data), "", Budget(0))
    assert entry.size <= max(32 * 2**20, 200 * len(data))


def test_headers_without_data_are_taken_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack_budget, "MAX_ENTRIES", 1000)
    header = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"x"
    with pytest.raises(UnsafeSource, match="more than 1,000 files"):
        salvaged_entries(opener_of(header * 1001), "x.zip", Budget(0))


@pytest.mark.parametrize("name", ["../../conversations.json", "/etc/conversations.json", "C:\\x\\conversations.json"])
def test_a_name_is_no_path(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "deep" / "er" / "x.zip", zipped({name: A})[:-30])
    assert salvaged(path)[0] == ITEMS["a"]
    assert [*tmp_path.rglob("*.json")] == []


def test_names_are_shown_without_what_steers_a_terminal(tmp_path: Path) -> None:
    archive = zipped({"\x1b[31m/conversations.json": A})[:-30]
    (member,) = open_export(written(tmp_path / "x.zip", archive)).members
    assert member.name.isprintable()


def test_what_is_packed_without_end_is_refused(tmp_path: Path) -> None:
    data = zipped({"conversations.json": A})
    for _ in range(12):
        data = zipped({"again.zip": data}, STORED)
    with pytest.raises(SourceError):
        open_export(written(tmp_path / "x.zip", data[:-200]))
    with pytest.raises(SourceError):
        open_export(written(tmp_path / "x.zip.gz", gzip.compress(data[:-200])))


WHOLE = [make(MEMBERS) for make in MAKERS.values()]
EVERYTHING = {*ITEMS["a"], *ITEMS["b"]}


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    archive=st.sampled_from(WHOLE),
    cut=st.integers(0, 9999),
    changes=st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 255)), max_size=4),
)
def test_however_it_is_damaged_and_cut_off_nothing_else_is_raised(
    tmp_path: Path, archive: bytes, cut: int, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(archive[: max(4, cut % len(archive))])
    for place, byte in changes:
        data[4 + place % max(1, len(data) - 4) if len(data) > 4 else 0] = byte
    _, problems = salvaged(written(tmp_path / "x.zip", bytes(data)))
    assert problems


@settings(max_examples=500)
@given(data=st.binary(max_size=300))
@example(data=struct.pack("<HHHHHIIIHH", 0, 8, 0, 0, 0, 0, 0, 0, 0, 0))
@example(data=struct.pack("<HHHHHIIIHH", 0, 8, 8, 0, 0, 0, 0, 0, 0, 4) + b"\1\0\xff\xff")
def test_whatever_follows_a_signature_is_damage_or_entries(data: bytes) -> None:
    try:
        entries = salvaged_entries(opener_of(b"PK\x03\x04" + data), "x", Budget(0))
    except DAMAGE:
        return
    for entry in entries:
        try:
            with ExitStack() as stack:
                assert len(entry.opener(stack).read()) <= entry.size
        except DAMAGE:
            pass


@pytest.mark.parametrize("large", [False, True])
def test_a_descriptor_is_found_wherever_reading_is_interrupted(large: bool) -> None:
    for size in range(salvage.PIECE_BYTES - 40, salvage.PIECE_BYTES + 30):
        archive = made(
            {"1.zip": b"PK\x07\x08".ljust(size, b"x"), "conversations.json": A}, STORED, streamed=True, large=large
        )
        assert [entry.size for entry in salvaged_entries(opener_of(archive), "", Budget(0))] == [size, len(A)]


def test_a_zip_that_is_cut_off_after_one_that_is_stored_in_it_is_not_taken_for_that_one(tmp_path: Path) -> None:
    """zipfile looks for a directory in the last 64 KB, and finds the inner one's."""
    inner = zipped({"conversations.json": B})
    archive = zipped({"1.zip": zipped({"conversations.json": A}), "2.zip": inner, "3.dat": b"x" * 9000}, STORED)
    for length in (archive.index(inner) + len(inner), archive.index(inner) + len(inner) + 5000):
        conversations, problems = salvaged(written(tmp_path / "x.zip", archive[:length]))
        assert conversations == ITEMS["a"] + ITEMS["b"]
        assert [problem.kind for problem in problems] == ["truncated"]


def test_a_folder_that_announces_a_size_and_has_none_is_passed_by(tmp_path: Path) -> None:
    archive = bytearray(zipped({"x/": b"", "x/conversations.json": A}, STORED)[:-30])
    archive[6] |= 8
    assert salvaged(written(tmp_path / "x.zip", bytes(archive)))[0] == ITEMS["a"]


def test_a_name_without_a_flag_is_in_the_code_page_of_dos() -> None:
    archive = zipped({"xx.zip": A}).replace(b"xx.zip", b"\x82x.zip")
    assert [entry.name for entry in salvaged_entries(opener_of(archive), "", Budget(0))] == ["éx.zip"]


def test_what_packs_well_is_measured_to_its_last_byte() -> None:
    archive = made({"conversations.json": b"yes, " * 40_000 + A}, DEFLATED, streamed=True)
    for length in range(60, len(archive) - 80, 3):
        (entry,) = salvaged_entries(opener_of(archive[:length]), "", Budget(0))
        assert entry.size == len(there_is(archive, length)["conversations.json"]), length
