"""A folder as one file: a tar, mostly gzipped (extraction.md §1)."""

import gzip
import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ray_import.errors import NotAnExport, SourceError, UnsafeArchive
from ray_import.pipeline.sources import open_sources
from ray_import.reader.conversations import read_conversations
from ray_import.records import RawConversation
from ray_import.settings import ReadLimits
from ray_import.source import archives
from ray_import.source.open_export import open_export
from tests.unit.source.exports import conversation, exported, written, zipped

A, B = exported([conversation("a")]), exported([conversation("b")])


def tarred(members: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def names_and_bytes(path: Path) -> dict[str, bytes]:
    found = {}
    for member in open_export(path).members:
        with member.open() as stream:
            found[member.name] = stream.read()
    return found


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["tar", "tar.gz"])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_folder_in_a_tar_is_read_as_the_folder(tmp_path: Path, form: int, packed: Callable[[bytes], bytes]) -> None:
    members = {
        "export/conversations-001.json": B, "export/conversations-000.json": A, "export/chat.html": b"<html>",
        "export/shared_conversations.json": b"[]", "export/._conversations.json": b"mac",
    }  # fmt: skip
    path = written(tmp_path / "export.any", packed(tarred(members, form)))
    assert names_and_bytes(path) == {"export/conversations-000.json": A, "export/conversations-001.json": B}


def test_its_members_may_be_open_at_the_same_time(tmp_path: Path) -> None:
    path = written(tmp_path / "x.tar.gz", gzip.compress(tarred({"1/conversations.json": A, "2/conversations.json": B})))
    first, second = open_export(path).members
    with first.open() as one, second.open() as two, first.open() as again:
        assert (one.read(5), two.read(), again.read(), one.read()) == (A[:5], B, A, A[5:])


def test_a_zip_and_a_gzip_in_a_tar_are_looked_into(tmp_path: Path) -> None:
    path = written(tmp_path / "x.tar", tarred({"f/export.zip": zipped({"conversations.json": A}), "f/a.png": b"x"}))
    assert names_and_bytes(path) == {"f/export.zip/conversations.json": A}
    path = written(tmp_path / "y.tar", tarred({"conversations.json": gzip.compress(B)}))
    assert names_and_bytes(path) == {"conversations.json": B}


def test_its_manifest_is_compared(tmp_path: Path) -> None:
    manifest = b'{"version":1,"files":[{"name":"c","shards":["conversations-000.json","conversations-001.json"]}]}'
    path = written(tmp_path / "x.tar", tarred({"conversations-000.json": A, "export_manifest.json": manifest}))
    assert [problem.kind for problem in open_sources([path], ReadLimits()).problems] == ["missing_shard"]


def test_links_and_devices_are_no_members_and_names_are_no_paths(tmp_path: Path) -> None:
    buffer = io.BytesIO(tarred({"../../conversations.json": A}))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
            entry = tarfile.TarInfo("conversations.json")
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
    path = written(tmp_path / "x.tar", buffer.getvalue())
    assert names_and_bytes(path) == {"../../conversations.json": A}
    assert list(tmp_path.iterdir()) == [path]


def test_without_conversations_it_is_no_export(tmp_path: Path) -> None:
    with pytest.raises(NotAnExport, match=r"no conversations\.json"):
        open_export(written(tmp_path / "x.tar", tarred({"a.png": b"x"})))


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["tar", "tar.gz"])
def test_cut_off_it_is_an_error_or_the_cut_is_told(tmp_path: Path, packed: Callable[[bytes], bytes]) -> None:
    data = packed(tarred({"conversations-000.json": A, "conversations-001.json": B}))
    for length in range(600, len(data) - 600, 97):
        path = written(tmp_path / "x.tar", data[:length])
        try:
            export = open_export(path)
        except SourceError:
            continue
        read = [item for member in export.members for item in read_conversations(member, ReadLimits())]
        whole = [item for item in read if isinstance(item, RawConversation) and not item.damage]
        assert len(whole) == 2 or len(read) > len(whole) or export.problems, length


def test_one_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "RATIO_MATTERS_FROM_BYTES", 1_000_000)
    path = written(tmp_path / "x.tar.gz", gzip.compress(tarred({"conversations.json": b"[" + b" " * 5_000_000 + b"]"})))
    with pytest.raises(UnsafeArchive, match="unpacks to more than 1,0"):
        open_export(path)


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["tar", "tar.gz"])
def test_cut_off_within_a_file_all_before_the_cut_arrives(tmp_path: Path, packed: Callable[[bytes], bytes]) -> None:
    items = [conversation(f"c{i}", random.Random(i).randbytes(999).hex()) for i in range(20)]
    tar = tarred({"a.png": b"x" * 9, "conversations-000.json": A, "conversations-001.json": exported(items)})
    data = packed(tar)
    export = open_export(written(tmp_path / "x.tar", data[: len(data) // 2]))
    read = [item for member in export.members for item in read_conversations(member, ReadLimits())]
    whole = [item.data for item in read if isinstance(item, RawConversation) and not item.damage]
    assert whole[0] == A[1:-1]
    assert whole[1:] == [exported([item])[1:-1] for item in items][: len(whole) - 1]
    assert len(whole) > 5
    assert "truncated" in {problem.kind for problem in export.problems}


def test_cut_off_before_its_conversations_it_is_told_that_it_is_cut_off(tmp_path: Path) -> None:
    data = tarred({"a.png": b"x" * 2000, "conversations.json": A})
    for length in (1000, 2048, 2600):
        with pytest.raises(SourceError, match="damaged or cut off") as caught:
            open_export(written(tmp_path / "x.tar", data[:length]))
        assert not isinstance(caught.value, NotAnExport)


def test_a_damaged_header_costs_what_follows_and_is_told(tmp_path: Path) -> None:
    data = bytearray(tarred({"conversations-000.json": A, "conversations-001.json": B}))
    data[data.index(b"conversations-001") + 150] ^= 1
    export = open_export(written(tmp_path / "x.tar", bytes(data)))
    assert [member.name for member in export.members] == ["conversations-000.json"]
    assert [problem.kind for problem in export.problems] == ["truncated"]


def test_a_tar_in_a_gzip_whose_checksum_is_wrong_is_read_and_it_is_told(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(tarred({"conversations.json": A})))
    data[-6] ^= 1
    export = open_export(written(tmp_path / "x.tar.gz", bytes(data)))
    with export.members[0].open() as stream:
        assert stream.read() == A
    assert [problem.kind for problem in export.problems] == ["damaged"]
