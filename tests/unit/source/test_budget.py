import gc
import gzip
import io
import json
import os
import resource
import struct
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ray_import.errors import NotAnExport, ResourcesExhausted, SourceError, UnsafeArchive, UnsafeSource
from ray_import.pipeline.sources import Sources, open_sources
from ray_import.reader.conversations import read_conversations
from ray_import.settings import ReadLimits, SourceRules
from ray_import.source import archives, unpack_budget
from ray_import.source.address import HttpAddress
from ray_import.source.export import Export
from ray_import.source.files import permitted
from ray_import.source.http import Answer, Client
from ray_import.source.open_export import open_export
from ray_import.source.patience import RetryPolicy
from ray_import.source.remote import downloaded
from tests.unit.source.exports import conversation, exported, written, zipped

STORED = zipfile.ZIP_STORED
JSON = exported([conversation("a")])
BLANKS = b"[" + b" " * 5_000_000 + b"]"


class TemporaryFiles:
    """The temporary files that are made, in order, and how much is written to all of them."""

    def __init__(self) -> None:
        self.made: list[Any] = []
        self.written_bytes = 0
        self._make = tempfile.TemporaryFile

    def make(self, *args: Any, **more: Any) -> Any:
        file = self._make(*args, **more)
        write = file.write

        def counted(data: Any) -> int:
            self.written_bytes += len(data)
            return int(write(data))

        file.write = counted
        self.made.append(file)
        return file

    @property
    def open(self) -> int:
        return sum(not file.closed for file in self.made)


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> TemporaryFiles:
    files = TemporaryFiles()
    monkeypatch.setattr(tempfile, "TemporaryFile", files.make)
    return files


def cloned(data: bytes, name: str, count: int, *, shared: bool = False) -> bytes:
    """A ZIP with `count` entries of the same packed `data`, which is packed once; `shared`, it lies there once, too."""
    one = zipped({name.format(0): data})
    start = struct.unpack_from("<I", one, len(one) - 6)[0]
    local, central = one[:start], one[start:-22]
    locals_ = [local.replace(name.format(0).encode(), name.format(i).encode()) for i in range(1 if shared else count)]
    directory = bytearray()
    for i in range(count):
        header = bytearray(central.replace(name.format(0).encode(), name.format(i).encode()))
        struct.pack_into("<I", header, 42, 0 if shared else i * start)
        directory += header
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(locals_) * start, 0)
    return b"".join(locals_) + directory + end


def contents(export: Export) -> dict[str, bytes]:
    found = {}
    for member in export.members:
        with member.open() as stream:
            found[member.name] = stream.read()
    return found


# --- bytes ---------------------------------------------------------------------------------------


def test_open_export_refuses_a_source_when_its_nested_zips_unpack_to_gigabytes(
    tmp_path: Path, temporary: TemporaryFiles
) -> None:
    inner = zipped({"a.dat": bytes(33_500_000), "conversations.json": JSON}, STORED)
    data = cloned(inner, "{:03}.zip", 99)
    assert 3_000_000 < len(data) < 3_300_000
    assert 99 * len(inner) > 3_000_000_000
    with pytest.raises(UnsafeSource, match="no export compresses that well") as caught:
        open_export(written(tmp_path / "x.zip", data))
    assert caught.value.hint
    assert temporary.written_bytes == 0


def test_open_export_refuses_a_source_when_copies_of_its_archives_exceed_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temporary: TemporaryFiles
) -> None:
    monkeypatch.setattr(unpack_budget, "RATIOS_MATTER_FROM_BYTES", 0)
    inner = gzip.compress(tarred(["conversations.json", *(f"{i}.png" for i in range(400))], {}))
    data = zipped({"a.png": os.urandom(30_000), **{f"{i}.tar.gz": inner for i in range(9)}}, STORED)
    with pytest.raises(UnsafeSource, match="bytes of archives were unpacked"):
        open_export(written(tmp_path / "x.zip", data))
    assert 1_000_000 < temporary.written_bytes < 50 * len(data)
    assert temporary.open == 0


def test_open_export_refuses_a_folder_when_one_archive_in_it_exceeds_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack_budget, "RATIOS_MATTER_FROM_BYTES", 1_000_000)
    inner = zipped({"a.dat": bytes(400_000), "conversations.json": JSON}, STORED)
    written(tmp_path / "1.zip", zipped({"conversations.json": JSON}))
    written(tmp_path / "2.zip", zipped({f"{i}.zip": inner for i in range(9)}))
    with pytest.raises(UnsafeSource):
        open_export(tmp_path)


def test_open_export_refuses_entries_when_they_share_their_data(tmp_path: Path) -> None:
    data = cloned(BLANKS, "{:03}/conversations.json", 100, shared=True)
    assert len(data) < 20_000
    with pytest.raises(UnsafeSource):
        open_export(written(tmp_path / "x.zip", data))
    assert len(open_export(written(tmp_path / "x.zip", cloned(JSON, "{:03}/conversations.json", 100))).members) == 100


@pytest.mark.parametrize("times", [1, 2])
def test_a_gzip_is_refused_while_it_is_read_when_it_exceeds_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    data = BLANKS
    for _ in range(times):
        data = gzip.compress(data)
    monkeypatch.setattr(unpack_budget, "RATIOS_MATTER_FROM_BYTES", 1_000_000)
    (member,) = open_export(written(tmp_path / "conversations.json.gz", data)).members
    with pytest.raises(UnsafeSource), member.open() as stream:
        stream.read()
    with pytest.raises(UnsafeSource):
        open_sources([tmp_path / "conversations.json.gz"], ReadLimits())


def test_a_gzip_is_counted_once_when_it_is_read_several_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack_budget, "RATIOS_MATTER_FROM_BYTES", 6_000_000)
    export = open_export(written(tmp_path / "conversations.json.gz", gzip.compress(BLANKS)))
    for _ in range(4):
        assert [*contents(export).values()] == [BLANKS]


def test_a_zip_without_its_directory_is_refused_when_measuring_its_entries_exceeds_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack_budget, "RATIOS_MATTER_FROM_BYTES", 6_000_000)

    class Unseekable(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    buffer = Unseekable()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(5):
            archive.writestr(f"{i}.dat", bytes(2_000_000))
        archive.writestr("conversations.json", JSON)
    with pytest.raises(UnsafeSource):
        open_export(written(tmp_path / "x.zip", buffer.getvalue()[:-30]))


def test_a_manifest_is_counted_when_many_share_their_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack_budget, "RATIOS_MATTER_FROM_BYTES", 20_000_000)
    manifests = cloned(BLANKS, "{:03}/export_manifest.json", 9, shared=True)
    outer = {"conversations.json": JSON, "inner.zip": manifests}
    assert len(open_export(written(tmp_path / "x.zip", zipped(outer))).members) == 1
    buffer = io.BytesIO(manifests)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("conversations.json", JSON)
    with pytest.raises(UnsafeSource):
        open_export(written(tmp_path / "x.zip", buffer.getvalue()))


# --- copies --------------------------------------------------------------------------------------


def portal(count: int) -> tuple[bytes, dict[str, bytes]]:
    """A ZIP with packed exports in it, and what its members hold."""
    exports = {f"{i:02}.zip": exported([conversation(f"c{i}")]) for i in range(count)}
    packed = zipped({name: zipped({"conversations.json": data, "a.dat": b"x"}) for name, data in exports.items()})
    return packed, {f"{name}/conversations.json": data for name, data in exports.items()}


def test_conversations_close_each_copy_when_its_last_member_was_read(tmp_path: Path, temporary: TemporaryFiles) -> None:
    sources = open_sources([written(tmp_path / "x.zip", portal(4)[0])], ReadLimits())
    open_when = [temporary.open for _ in sources.conversations()]
    assert open_when == [4, 3, 2, 1]
    assert temporary.open == 0
    assert len(temporary.made) == 4


def test_open_export_keeps_few_copies_open_when_there_are_many(tmp_path: Path, temporary: TemporaryFiles) -> None:
    data, members = portal(unpack_budget.MAX_OPEN_COPIES + 5)
    export = open_export(written(tmp_path / "x.zip", data))
    assert temporary.open == unpack_budget.MAX_OPEN_COPIES
    assert contents(export) == members
    assert temporary.open == unpack_budget.MAX_OPEN_COPIES


def test_members_can_be_read_again_when_their_copies_were_closed(tmp_path: Path) -> None:
    data, members = portal(3)
    export = open_export(written(tmp_path / "x.zip", data))
    for _ in range(2):
        assert [member.name for member in export.reading()] == [*members]
        assert contents(export) == members


def twins(archives: int, shards: int) -> bytes:
    """A ZIP with so many packed exports in it, all of one name, with so many shards each."""
    exports = [
        {f"conversations-{i}.json": exported([conversation(f"{name}-{i}")]) for i in reversed(range(shards))}
        for name in range(archives)
    ]
    with warnings.catch_warnings(action="ignore"):  # of names that are there already
        return zipped([("a.zip", zipped(members)) for members in exports])


def read_ids(sources: Sources) -> list[str]:
    return [json.loads(raw.data)["conversation_id"] for raw in sources.conversations()]


@pytest.mark.parametrize("outer", [1, 2])
def test_conversations_copy_each_archive_at_most_once_when_many_have_the_same_name(
    tmp_path: Path, temporary: TemporaryFiles, outer: int
) -> None:
    archives, shards = unpack_budget.MAX_OPEN_COPIES + 4, 3
    data = twins(archives, shards)
    if outer > 1:
        with warnings.catch_warnings(action="ignore"):
            data = zipped([("o.zip", data)] * outer)
    sources = open_sources([written(tmp_path / "x.zip", data)], ReadLimits())
    before = len(temporary.made)
    ids = read_ids(sources)
    assert len(temporary.made) - before <= outer * archives + (outer if outer > 1 else 0)
    assert ids == [f"{name}-{i}" for name in range(archives) for i in range(shards)] * outer
    assert sources.problems == []


def test_conversations_copy_an_archive_once_when_it_is_the_only_one(tmp_path: Path, temporary: TemporaryFiles) -> None:
    sources = open_sources([written(tmp_path / "x.zip", twins(1, 20))], ReadLimits())
    assert read_ids(sources) == [f"0-{i}" for i in range(20)]
    assert len(temporary.made) == 1


def test_a_member_is_refused_when_making_its_copies_again_exceeds_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temporary: TemporaryFiles
) -> None:
    monkeypatch.setattr(unpack_budget, "RATIOS_MATTER_FROM_BYTES", 0)
    data, members = portal(unpack_budget.MAX_OPEN_COPIES + 1)
    export = open_export(written(tmp_path / "x.zip", data))
    for _ in range(5):
        assert contents(export) == members
    with pytest.raises(UnsafeSource, match="bytes of archives were unpacked"):
        [contents(export) for _ in range(2 * unpack_budget.MAX_COPIED_RATIO)]
    assert temporary.written_bytes <= unpack_budget.MAX_COPIED_RATIO * len(data)


# --- how many ------------------------------------------------------------------------------------


def test_open_export_refuses_a_source_when_it_has_too_many_archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack_budget, "MAX_ARCHIVES", 5)
    data, members = portal(5)
    assert contents(open_export(written(tmp_path / "x.zip", data))).keys() == members.keys()
    with pytest.raises(UnsafeSource, match="more than 5 archives"):
        open_export(written(tmp_path / "x.zip", portal(6)[0]))


def test_open_export_takes_any_number_of_archives_when_they_are_files_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack_budget, "MAX_ARCHIVES", 2)
    for i in range(9):
        written(tmp_path / f"{i}.zip", zipped({"conversations.json": JSON}))
    assert len(open_export(tmp_path).members) == 9


def tarred(names: list[str], headers: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(JSON), headers
            tar.addfile(info, io.BytesIO(JSON))
    return buffer.getvalue()


@pytest.mark.parametrize("pack", ["zip", "tar"])
def test_open_export_refuses_a_source_when_it_lists_too_many_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: str
) -> None:
    monkeypatch.setattr(unpack_budget, "MAX_ENTRIES", 30)
    for count in (29, 30):
        names = [*(f"{i}.png" for i in range(count)), "conversations.json"]
        data = tarred(names, {}) if pack == "tar" else zipped(dict.fromkeys(names, JSON))
        path = written(tmp_path / "x", data)
        if count == 29:
            assert len(open_export(path).members) == 1
        else:
            with pytest.raises(UnsafeSource, match="more than 30 files"):
                open_export(path)


def test_a_zip_is_refused_unread_when_its_directory_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_DIRECTORY_BYTES", 5_000)
    names = ["conversations.json", *(f"{i}.png" for i in range(200))]
    with pytest.raises(UnsafeArchive, match=r"directory of x\.zip is larger than 5,000 bytes"):
        open_export(written(tmp_path / "x.zip", zipped(dict.fromkeys(names, JSON))))
    assert len(open_export(written(tmp_path / "x.zip", zipped({"conversations.json": JSON}))).members) == 1


def test_a_tar_is_refused_when_a_header_in_it_is_too_large(tmp_path: Path) -> None:
    names = ["conversations-000.json", "conversations-001.json"]
    assert len(open_export(written(tmp_path / "x.tar", tarred(names, {"comment": "x" * 600_000}))).members) == 2
    with pytest.raises(UnsafeArchive, match=r"header in x\.tar"):
        open_export(written(tmp_path / "x.tar", tarred(names, {"comment": "x" * 1_100_000})))


# --- file descriptors ----------------------------------------------------------------------------


@contextmanager
def files_left(count: int) -> Iterator[None]:
    """So many files may be opened in here."""
    gc.collect()  # files that other tests left open would be closed in here at any time
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        held = [os.dup(0) for _ in range(100)]  # the holes between descriptors are filled by these
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(held) + 1, limits[1]))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        for descriptor in held[count:]:
            stack.callback(os.close, descriptor)
        for descriptor in held[:count]:
            os.close(descriptor)
        yield


@pytest.mark.parametrize(
    ("name", "data", "left"),
    [
        ("x.json", JSON, 0),
        ("x.zip", zipped({"conversations.json": JSON}), 0),
        ("x.zip", portal(1)[0], 1),
        ("folder/conversations.json", JSON, 0),
    ],
    ids=["file", "zip", "zip in zip", "folder"],
)
def test_open_export_says_so_when_no_more_files_may_be_opened(
    tmp_path: Path, name: str, data: bytes, left: int
) -> None:
    source = tmp_path / name.split("/", maxsplit=1)[0]
    written(tmp_path / name, data)
    open_export(source)  # imports what it needs
    with files_left(left), pytest.raises(ResourcesExhausted, match=r"this process may open \d+ at a time") as caught:
        open_export(source)
    assert "ulimit -n" in caught.value.hint


def test_reading_a_member_says_so_when_no_more_files_may_be_opened(tmp_path: Path) -> None:
    (member,) = open_export(written(tmp_path / "x.zip", zipped({"conversations.json": JSON}))).members
    assert [*read_conversations(member, ReadLimits())]
    with files_left(0), pytest.raises(ResourcesExhausted):
        [*read_conversations(member, ReadLimits())]


def test_a_zip_of_many_zips_needs_few_files_when_it_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "x.zip", portal(60)[0])
    open_export(written(tmp_path / "y.zip", portal(1)[0]))
    with files_left(unpack_budget.MAX_OPEN_COPIES + 4):
        sources = open_sources([path], ReadLimits())
        assert len([*sources.conversations()]) == 60
    assert sources.problems == []


def test_open_export_names_the_reason_when_a_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    path = written(tmp_path / "x.json", JSON)
    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(SourceError, match=r"x\.json cannot be read \(Input/output error\)"):
        open_export(path)


def test_open_export_tells_another_product_when_only_names_of_its_files_are_known(tmp_path: Path) -> None:
    with pytest.raises(NotAnExport, match="Grok"):
        open_export(written(tmp_path / "x.zip", zipped({"ttl/prod-grok-backend.json": b"{}", "a.png": b""})))


def test_opening_a_permitted_file_says_so_when_no_more_files_may_be_opened(tmp_path: Path) -> None:
    path = written(tmp_path / "x.json", JSON)
    opener = permitted(path, SourceRules((str(tmp_path),))).open_file(path)
    with files_left(1), ExitStack() as stack, pytest.raises(ResourcesExhausted):
        opener(stack)


def test_client_says_so_when_no_more_files_may_be_opened() -> None:
    waits: list[float] = []
    client = Client(
        HttpAddress("127.0.0.1/x.json", "x.json", "http://127.0.0.1:9/x.json"), RetryPolicy(sleep=waits.append)
    )
    with files_left(0), pytest.raises(ResourcesExhausted, match=r"this process may open \d+ at a time"):
        client.patience.persist(client.get)
    client.close()
    assert waits == []


def test_downloaded_says_so_when_no_more_files_may_be_opened() -> None:
    client = Client(HttpAddress("127.0.0.1/x.json", "x.json", "http://127.0.0.1:9/x.json"), RetryPolicy())
    first = Answer(0, len(JSON), len(JSON), "", is_part=False, pieces=iter([JSON]))
    with files_left(0), pytest.raises(ResourcesExhausted, match=r"this process may open \d+ at a time"):
        downloaded(client, first, 10**6)
    client.close()
