import errno
import gzip
import io
import random
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from ray_import.errors import NotAnExport, SourceError, UnsafeArchive
from ray_import.source import archives, streams
from ray_import.source.open_export import open_export
from ray_import.source.streams import Opener, entry_of_zip, file, gunzipped
from ray_import.source.temporary_copies import Copy, zip_in_zip
from ray_import.source.unpack_budget import Budget
from tests.unit.source.exports import conversation, exported, written, zipped

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
ASSET = random.Random(7).randbytes(4_000_000)
SHARDS = {
    f"conversations-{number:03}.json": exported([conversation(f"c{number}-{i}") for i in range(200)])
    for number in range(6)
}
INNER = zipped({"file-1.dat": ASSET, **SHARDS, "file-2.dat": ASSET[::-1]})
LITTLE = 1_000_000


class Counting(io.BytesIO):
    """Adds what is read from it to `counts`."""

    def __init__(self, data: bytes, counts: list[int]) -> None:
        super().__init__(data)
        self.counts = counts

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.counts.append(len(data))
        return data

    def readinto(self, buffer: Any, /) -> int:
        length = super().readinto(buffer)
        self.counts.append(length)
        return length


class FullDisk(io.BytesIO):
    """Takes half of what is written, and then no more."""

    def write(self, data: Any, /) -> int:
        if self.tell():
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data[: len(data) // 2])


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def temporary_files(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The temporary files that are made, in order."""
    made: list[Any] = []
    make = tempfile.TemporaryFile

    def noted(*args: Any, **more: Any) -> Any:
        made.append(make(*args, **more))
        return made[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", noted)
    return made


def counted(data: bytes) -> tuple[Opener, list[int]]:
    """An opener of `data`, and what has been read through it."""
    counts: list[int] = []
    return (lambda stack: cast("BinaryIO", stack.enter_context(Counting(data, counts)))), counts


def entry_in(data: bytes, name: str) -> zipfile.ZipInfo:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.getinfo(name)


def zip_in(compression: int, inner: bytes = INNER, before: bytes = b"junk before the ZIP") -> tuple[Opener, list[int]]:
    data = before + zipped({"readme.txt": b"hello", "inner.zip": inner}, compression)
    outer, counts = counted(data)
    return zip_in_zip(outer, entry_in(data, "inner.zip"), "export.zip/inner.zip", Budget(len(data))), counts


def zip_in_gzip() -> tuple[Opener, list[int]]:
    outer, counts = counted(gzip.compress(INNER, 1))
    return Copy(gunzipped(outer), "export.zip.gz", None, Budget(len(INNER))), counts


PACKED: dict[str, Callable[[], tuple[Opener, list[int]]]] = {
    "stored": lambda: zip_in(STORED),
    "deflated": lambda: zip_in(DEFLATED),
    "bzip2": lambda: zip_in(zipfile.ZIP_BZIP2),
    "gzip": zip_in_gzip,
}


def whole(opener: Opener) -> bytes:
    with ExitStack() as stack:
        return opener(stack).read()


@pytest.mark.parametrize("packed", PACKED)
def test_members_that_are_read_in_turns_give_their_own_bytes(packed: str, temporary: Path) -> None:
    opener, _ = PACKED[packed]()
    names = ["file-1.dat", "conversations-003.json", "file-2.dat"]
    read = dict.fromkeys(names, b"")
    with ExitStack() as stack:
        opened = {name: entry_of_zip(opener, entry_in(INNER, name))(stack) for name in names}
        while any(parts := {name: stream.read(300_007) for name, stream in opened.items()}.values()):
            for name, part in zip(names, parts, strict=True):
                read[name] += part
        assert [*temporary.iterdir()] == []
    assert read == {"file-1.dat": ASSET, "conversations-003.json": SHARDS[names[1]], "file-2.dat": ASSET[::-1]}
    assert [*temporary.iterdir()] == []


@pytest.mark.parametrize("packed", PACKED)
def test_a_stream_goes_back_and_forth_like_a_file(packed: str) -> None:
    opener, _ = PACKED[packed]()
    choose = random.Random(3)
    with ExitStack() as stack:
        stream, other = opener(stack), opener(stack)
        expected = io.BytesIO(INNER)
        for _ in range(200):
            at, length = choose.randrange(len(INNER) + 9000), choose.choice([1, 30, 8192, 100_000])
            assert stream.seek(at) == expected.seek(at)
            assert stream.read(length) == expected.read(length)
            assert stream.tell() == expected.tell()
        assert stream.seek(-22, 2) == len(INNER) - 22
        assert stream.seek(5, 1) == len(INNER) - 17
        assert stream.read() == INNER[-17:]
        assert other.tell() == 0
        with pytest.raises(OSError, match="Invalid argument"):
            stream.seek(-1)
        with pytest.raises(OSError, match="Invalid argument"):
            stream.seek(-len(INNER) - 1, 2)


def test_of_a_stored_zip_only_what_is_asked_for_is_read() -> None:
    opener, counts = zip_in(STORED)
    for name, data in SHARDS.items():
        assert whole(entry_of_zip(opener, entry_in(INNER, name))) == data
    assert sum(counts) < LITTLE < len(ASSET)


def test_a_stored_zip_may_be_longer_and_lie_further_than_4_gib(tmp_path: Path) -> None:
    far, long, header = 5 * 2**30, 6 * 2**30, zipped({"inner.zip": b""}, STORED)[: 30 + len("inner.zip")]
    path = tmp_path / "sparse.zip"
    with path.open("wb") as sparse:
        sparse.seek(far)
        sparse.write(header)
        sparse.seek(far + len(header) + long - len(INNER))
        sparse.write(INNER + b"what follows")
    entry = zipfile.ZipInfo("inner.zip")
    entry.header_offset, entry.compress_size, entry.file_size = far, long, long
    with ExitStack() as stack, zipfile.ZipFile(zip_in_zip(file(path), entry, "inner.zip", Budget(0))(stack)) as archive:
        assert archive.read("file-2.dat") == ASSET[::-1]


@pytest.mark.parametrize("packed", ["deflated", "bzip2", "gzip"])
def test_a_packed_zip_is_unpacked_once(packed: str) -> None:
    opener, counts = PACKED[packed]()
    assert counts == []
    for name, data in SHARDS.items():
        assert whole(entry_of_zip(opener, entry_in(INNER, name))) == data
    assert 2 * len(ASSET) < sum(counts) < 2 * len(ASSET) + LITTLE


@pytest.mark.parametrize("compression", [STORED, DEFLATED])
def test_an_export_in_a_packed_zip_in_a_zip_is_read(tmp_path: Path, temporary: Path, compression: int) -> None:
    outermost = zipped({"all.zip": zipped({"inner.zip": INNER}, compression)}, compression)
    export = open_export(written(tmp_path / "export.zip", outermost))
    for member in export.members:
        with member.open() as stream:
            assert stream.read() == SHARDS[Path(member.name).name]
    assert len(export.members) == len(SHARDS)
    assert [*temporary.iterdir()] == []


@pytest.mark.parametrize(
    "data",
    [
        zipped(SHARDS),
        gzip.compress(SHARDS["conversations-000.json"]),
        zipped({"conversations-000.json.gz": gzip.compress(SHARDS["conversations-000.json"])}),
        zipped({"inner.zip": zipped(SHARDS)}, STORED),
    ],
    ids=["zip", "gzip", "gzip in zip", "stored zip in zip"],
)
def test_no_other_export_makes_a_temporary_file(tmp_path: Path, temporary_files: list[Any], data: bytes) -> None:
    for member in open_export(written(tmp_path / "export.zip", data)).members:
        with member.open() as stream:
            assert stream.read() in SHARDS.values()
    assert temporary_files == []


def test_the_temporary_file_is_gone_with_the_export(tmp_path: Path, temporary_files: list[Any]) -> None:
    export = open_export(written(tmp_path / "export.zip", zipped({"inner.zip": zipped(SHARDS)})))
    assert [made.closed for made in temporary_files] == [False]
    del export
    assert [made.closed for made in temporary_files] == [True]


def test_a_stream_outlives_its_opener(temporary_files: list[Any]) -> None:
    with ExitStack() as stack:
        stream = zip_in(DEFLATED)[0](stack)
        assert [made.closed for made in temporary_files] == [False]
        assert stream.read() == INNER
    del stream
    assert [made.closed for made in temporary_files] == [True]


def test_a_zip_without_conversations_is_let_go_before_the_next_is_unpacked(
    tmp_path: Path, temporary_files: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    make = tempfile.TemporaryFile
    open_before: list[int] = []

    def noted(*args: Any, **more: Any) -> Any:
        open_before.append(sum(not made.closed for made in temporary_files))
        return make(*args, **more)

    monkeypatch.setattr(tempfile, "TemporaryFile", noted)
    files, damaged = zipped({"file-1.dat": b"x" * 100}), zipped(SHARDS)[:20]
    inner = {"1.zip": files, "2.zip": damaged, "3.zip": files, "4.zip": zipped(SHARDS)}
    export = open_export(written(tmp_path / "export.zip", zipped(inner)))
    assert len(export.members) == len(SHARDS)
    assert open_before == [0, 0, 0, 0]


# --- what goes wrong -----------------------------------------------------------------------------


def test_a_stored_entry_without_its_header_is_damaged() -> None:
    data = bytearray(zipped({"inner.zip": INNER}, STORED))
    entry = entry_in(bytes(data), "inner.zip")
    data[entry.header_offset + 1] ^= 1
    with pytest.raises(zipfile.BadZipFile, match="magic"):
        whole(zip_in_zip(counted(bytes(data))[0], entry, "inner.zip", Budget(0)))


@pytest.mark.parametrize("left", [3, 40, 5000])
def test_a_stored_entry_that_is_cut_off_is_damaged(left: int) -> None:
    data = zipped({"inner.zip": INNER}, STORED)
    opener = zip_in_zip(counted(data[:left])[0], entry_in(data, "inner.zip"), "inner.zip", Budget(0))
    with pytest.raises(streams.DAMAGE), ExitStack() as stack:
        zipfile.ZipFile(opener(stack))


def test_a_packed_zip_that_is_damaged_leaves_nothing_open(temporary_files: list[Any]) -> None:
    data = bytearray(zipped({"inner.zip": INNER}))
    data[len(data) // 2] ^= 0xFF
    opener = zip_in_zip(counted(bytes(data))[0], entry_in(bytes(data), "inner.zip"), "inner.zip", Budget(0))
    with pytest.raises(streams.DAMAGE):
        whole(opener)
    assert [made.closed for made in temporary_files] == [True]


def test_an_empty_zip_in_a_zip_holds_nothing(tmp_path: Path) -> None:
    for compression in (STORED, DEFLATED):
        data = zipped({"inner.zip": zipped({})}, compression)
        with pytest.raises(NotAnExport, match="holds no conversations"):
            open_export(written(tmp_path / "export.zip", data))


@pytest.mark.parametrize("pack", [lambda inner: zipped({"inner.zip": inner}), gzip.compress], ids=["zip", "gzip"])
def test_a_full_temporary_folder_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    full, inner = FullDisk(), zipped(SHARDS)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full)
    with pytest.raises(SourceError, match=rf"{len(inner):,} bytes in TMPDIR \(No space left on device\)") as caught:
        open_export(written(tmp_path / "export.zip", pack(inner)))
    assert "damaged" not in str(caught.value)
    assert full.closed


def test_a_missing_temporary_folder_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(SourceError, match="bytes in TMPDIR"):
        open_export(written(tmp_path / "export.zip", zipped({"inner.zip": zipped(SHARDS)})))


def test_a_gzip_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, temporary_files: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "RATIO_MATTERS_FROM_BYTES", 1_000_000)
    bomb = gzip.compress(b"PK\x03\x04" + bytes(20_000_000))
    with pytest.raises(UnsafeArchive, match="unpacks to more than"):
        open_export(written(tmp_path / "export.zip.gz", bomb))
    assert [made.closed for made in temporary_files] == [True]
