import gzip
import json
import os
import stat
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ray_import.errors import ConfigError, ImporterError, NotAnExport, SourceError, UnsafeArchive
from ray_import.pipeline.sources import open_sources
from ray_import.reader.conversations import read_conversations
from ray_import.records import Problem, RawConversation
from ray_import.settings import ReadLimits
from ray_import.source.export import Export
from ray_import.source.open_export import open_export
from tests.unit.source.exports import conversation, exported, written, zipped

JSON = exported([conversation("c1")])
OTHER_JSON = exported([conversation("c2")])

# Where fields lie in a ZIP's central directory, counted from an entry's signature.
FLAGS, METHOD, CHECKSUM, COMPRESSED_SIZE, SIZE, NAME = 8, 10, 16, 20, 24, 46


def contents(export: Export) -> dict[str, bytes]:
    """Every member's bytes by its name, in order."""
    found = {}
    for member in export.members:
        with member.open() as stream:
            found[member.name] = stream.read()
    return found


def opened(tmp_path: Path, data: bytes, name: str = "export.zip") -> Export:
    return open_export(written(tmp_path / name, data))


def patched(archive: bytes, name: str, field: int, kind: str, value: int) -> bytes:
    """`archive` with a field of the central directory's entry `name` set to `value`."""
    data = bytearray(archive)
    entry = data.index(name.encode(), data.index(b"PK\x01\x02")) - NAME
    while data[entry : entry + 4] != b"PK\x01\x02":
        entry = data.index(name.encode(), entry + NAME + 1) - NAME
    struct.pack_into(kind, data, entry + field, value)
    return bytes(data)


# --- what is read --------------------------------------------------------------------------------


def folder_of(path: Path, members: dict[str, bytes]) -> Path:
    for name, data in members.items():
        written(path / name, data)
    return path


CLASSIC = {
    "conversations.json": JSON,
    "user.json": b'{"id":"user-1","email":"a@example.org"}',
    "chat.html": b"<html>var jsonData = " + JSON + b"</html>",
    "message_feedback.json": b"[]",
    "shared_conversations.json": b'[{"id":"s","conversation_id":"c1","title":"shared"}]',
    "sectioned_conversations.json": b"[]",
    "myconversations.json": OTHER_JSON,
    "__MACOSX/._conversations.json": b"\0\5\x16\7",
    "._conversations.json": b"\0\5\x16\7",
    "__MACOSX/conversations.json": OTHER_JSON,
    "file-1.dat": b"\x89PNG",
    "Files__1.zip": zipped({"conversations.json": OTHER_JSON}),
}


def test_of_a_zip_the_conversations_alone_are_read(tmp_path: Path) -> None:
    export = opened(tmp_path, zipped(CLASSIC))
    assert contents(export) == {"conversations.json": JSON}
    assert [member.size for member in export.members] == [len(JSON)]
    assert [(problem.kind, problem.where) for problem in export.problems] == [("not_read", "export.zip/Files__1.zip")]


def test_of_a_folder_the_conversations_alone_are_read(tmp_path: Path) -> None:
    export = open_export(folder_of(tmp_path / "export", CLASSIC))
    assert contents(export) == {"conversations.json": JSON}
    assert [member.size for member in export.members] == [len(JSON)]


@pytest.mark.parametrize("name", ["conversations.json", "my chats.json", "renamed.txt", "no suffix"])
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b" \r\n\t", b"\xef\xbb\xbf\n"])
def test_a_bare_json_is_known_by_its_first_bytes(tmp_path: Path, name: str, before: bytes) -> None:
    export = opened(tmp_path, before + JSON, name)
    assert contents(export) == {name: before + JSON}


@pytest.mark.parametrize("blanks", [64, 5000])
def test_white_space_before_the_json_may_be_long(tmp_path: Path, blanks: int) -> None:
    data = b"\n" * blanks + JSON
    assert contents(opened(tmp_path, data, "x.json")) == {"x.json": data}


@pytest.mark.parametrize("name", ["conversations.json.gz", "export.zip", "x.json"])
def test_a_gzip_of_json_is_known_by_its_first_bytes_and_its_size_is_unknown(tmp_path: Path, name: str) -> None:
    export = opened(tmp_path, gzip.compress(JSON), name)
    assert contents(export) == {name: JSON}
    assert [member.size for member in export.members] == [None]


def test_a_gzip_in_several_parts_is_one_json(tmp_path: Path) -> None:
    data = gzip.compress(JSON[:50]) + gzip.compress(JSON[50:])
    assert contents(opened(tmp_path, data, "x.gz")) == {"x.gz": JSON}


def test_a_gzip_of_a_zip_is_read(tmp_path: Path) -> None:
    data = gzip.compress(zipped({"a/conversations.json": JSON}))
    assert contents(opened(tmp_path, data, "export.zip.gz")) == {"a/conversations.json": JSON}


def test_a_gzip_in_a_zip_and_in_a_folder_is_read(tmp_path: Path) -> None:
    members = {"conversations-000.json.gz": gzip.compress(JSON)}
    assert contents(opened(tmp_path, zipped(members))) == {"conversations-000.json.gz": JSON}
    assert contents(open_export(folder_of(tmp_path / "f", members))) == {"conversations-000.json.gz": JSON}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_may_be_packed_in_every_usual_way(tmp_path: Path, compression: int) -> None:
    assert contents(opened(tmp_path, zipped({"conversations.json": JSON}, compression))) == {"conversations.json": JSON}


def test_a_zip_may_begin_with_something_else_or_have_a_comment(tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    path.write_bytes(zipped({"conversations.json": JSON}))
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"made by somebody"
    assert contents(open_export(path)) == {"conversations.json": JSON}


def test_a_zip_that_gives_its_sizes_after_the_data_is_read(tmp_path: Path) -> None:
    class Unseekable:
        """As a ZIP is written that is streamed to its reader."""

        def __init__(self) -> None:
            self.data = b""

        def write(self, data: bytes) -> int:
            self.data += bytes(data)
            return len(data)

        def flush(self) -> None:
            pass

    stream: Any = Unseekable()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conversations.json", JSON)
    assert contents(opened(tmp_path, stream.data)) == {"conversations.json": JSON}


def test_shards_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = [f"conversations-{number}.json" for number in (10, 9, 100, 0)]
    shards = {name: exported([conversation(name)]) for name in names}
    ordered = [f"conversations-{number}.json" for number in (0, 9, 10, 100)]
    assert list(contents(opened(tmp_path, zipped(shards)))) == ordered
    assert list(contents(open_export(folder_of(tmp_path / "f", shards)))) == ordered
    wrapped = {f"0a-2026-07-29/{name}": data for name, data in shards.items()}
    assert list(contents(opened(tmp_path, zipped(wrapped)))) == [f"0a-2026-07-29/{name}" for name in ordered]
    assert list(contents(open_export(folder_of(tmp_path / "w", wrapped)))) == [f"0a-2026-07-29/{n}" for n in ordered]


def test_a_path_may_be_a_link(tmp_path: Path) -> None:
    folder_of(tmp_path / "export", {"conversations.json": JSON})
    (tmp_path / "link").symlink_to(tmp_path / "export")
    (tmp_path / "link.json").symlink_to(tmp_path / "export" / "conversations.json")
    assert contents(open_export(tmp_path / "link")) == {"conversations.json": JSON}
    assert contents(open_export(tmp_path / "link.json")) == {"link.json": JSON}


def test_a_member_may_be_opened_again(tmp_path: Path) -> None:
    export = opened(tmp_path, gzip.compress(zipped({"conversations.json": JSON})))
    assert contents(export) == contents(export)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_both_read(tmp_path: Path) -> None:
    export = opened(tmp_path, zipped([("conversations.json", JSON), ("conversations.json", OTHER_JSON)]))
    read = []
    for member in export.members:
        with member.open() as stream:
            read.append(stream.read())
    assert sorted(read) == sorted([JSON, OTHER_JSON])


@pytest.mark.parametrize("inner", [False, True], ids=["ZIP", "ZIP in ZIP"])
def test_conversations_may_lie_beyond_4_gib(tmp_path: Path, inner: bool) -> None:
    """As in exports with tens of gigabytes of pictures; what lies before is a hole in the file, which takes no room."""
    path = tmp_path / "export.zip"
    data = zipped({"conversations.json": JSON}) if inner else JSON
    name = "Conversations__1.zip" if inner else "conversations.json"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("file-1.dat", b"x")
        archive.start_dir = 5 * 2**30
        archive.writestr(name, data)
    assert path.stat().st_size > 5 * 2**30
    assert [*contents(open_export(path)).values()] == [JSON]


def test_a_zip_made_on_windows_may_have_backslashes_in_its_names(tmp_path: Path) -> None:
    export = opened(tmp_path, zipped({"export\\conversations.json": JSON}))
    assert list(contents(export).values()) == [JSON]


# --- ZIP in ZIP ----------------------------------------------------------------------------------


def portal(*chats: bytes) -> dict[str, bytes]:
    """The privacy portal's download, with so many inner exports (format.md §1.1)."""
    inner = {f"User Online Activity/Conversations__u1-chatgpt-{i:04}.zip": chat for i, chat in enumerate(chats, 1)}
    return {
        "report.html": b"<html></html>",
        "Financial/payments.csv": b"a,b\n",
        **inner,
        "User Online Activity/Files__u1-0001.zip": zipped({"file-1.dat": b"\x89PNG"}),
        "Ads__u1.zip": zipped({"ads.json": b"[]"}),
    }


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_of_the_portals_download_the_inner_exports_are_read(tmp_path: Path, compression: int) -> None:
    first = zipped({"conversations-000.json": JSON, "chat.html": b"<html>"})
    second = zipped({"x/conversations-001.json": OTHER_JSON})
    only_files = zipped({"file-2.dat": b"RIFF"})
    expected = {
        "User Online Activity/Conversations__u1-chatgpt-0001.zip/conversations-000.json": JSON,
        "User Online Activity/Conversations__u1-chatgpt-0002.zip/x/conversations-001.json": OTHER_JSON,
    }
    members = portal(first, second, only_files)
    export = opened(tmp_path, zipped(members, compression))
    assert contents(export) == expected
    assert export.problems == ()
    unpacked = open_export(folder_of(tmp_path / "unpacked", members))
    assert [*contents(unpacked).values()] == [JSON, OTHER_JSON]


def test_open_export_sorts_members_by_name_when_some_archives_are_packed_and_some_stored(tmp_path: Path) -> None:
    shards = {f"conversations-{number}.json": JSON for number in (10, 9)}
    packed = dict.fromkeys(("d.zip", "b.zip"), zipfile.ZIP_DEFLATED)
    stored = dict.fromkeys(("c.zip", "a.zip"), zipfile.ZIP_STORED)
    entries = []
    for name, compression in (packed | stored).items():
        info = zipfile.ZipInfo(name)
        info.compress_type = compression
        entries.append((info, zipped(shards)))
    names = [member.name for member in opened(tmp_path, zipped(entries)).members]
    assert names == [f"{name}.zip/conversations-{number}.json" for name in "abcd" for number in (9, 10)]


def test_open_export_keeps_an_archives_members_together_when_another_has_its_name(tmp_path: Path) -> None:
    exports = [{f"conversations-{i}.json": exported([conversation(f"{name}{i}")]) for i in (10, 9)} for name in "ab"]
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = zipped([("x.zip", zipped(members)) for members in exports])
    read = []
    for member in opened(tmp_path, data).members:
        with member.open() as stream:
            read.append(json.load(stream)[0]["conversation_id"])
    assert read == ["a9", "a10", "b9", "b10"]


def test_an_inner_zip_that_is_damaged_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    good, bad = zipped({"conversations.json": JSON}), zipped({"conversations.json": OTHER_JSON})[:20]
    export = opened(tmp_path, zipped(portal(bad, good)))
    assert [*contents(export).values()] == [JSON]
    assert [(problem.kind, problem.where) for problem in export.problems] == [
        ("damaged", "export.zip/User Online Activity/Conversations__u1-chatgpt-0001.zip")
    ]


def test_a_zip_in_a_folder_that_is_damaged_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    good, bad = zipped({"conversations.json": JSON}), zipped({"conversations.json": OTHER_JSON})[:20]
    export = open_export(folder_of(tmp_path / "f", {"1.zip": bad, "2.zip": good}))
    assert [*contents(export).values()] == [JSON]
    assert [problem.kind for problem in export.problems] == ["damaged"]


def test_where_every_inner_zip_is_damaged_the_error_says_so(tmp_path: Path) -> None:
    bad = zipped({"conversations.json": JSON})[:20]
    with pytest.raises(SourceError) as caught:
        opened(tmp_path, zipped({"Conversations__1.zip": bad}))
    assert not isinstance(caught.value, NotAnExport)
    assert "damaged" in str(caught.value)


def test_inner_zips_without_conversations_are_no_export(tmp_path: Path) -> None:
    with pytest.raises(NotAnExport, match="holds no conversations"):
        opened(tmp_path, zipped(portal(zipped({"file-1.dat": b"x"}))))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_zip_may_be_packed_again(tmp_path: Path, depth: int) -> None:
    data = zipped({"conversations.json": JSON})
    for _ in range(depth - 1):
        data = zipped({"again.zip": data})
    assert [*contents(opened(tmp_path, data)).values()] == [JSON]


def test_a_gzip_of_a_zip_of_a_zip_of_a_gzip_is_read(tmp_path: Path) -> None:
    """The deepest that is promised (`MAX_DEPTH`)."""
    inner = zipped({"conversations.json.gz": gzip.compress(JSON)})
    data = gzip.compress(zipped({"Conversations__1.zip": inner}))
    assert [*contents(opened(tmp_path, data)).values()] == [JSON]


def test_a_gzip_of_a_gzip_is_read(tmp_path: Path) -> None:
    assert [*contents(opened(tmp_path, gzip.compress(gzip.compress(JSON)))).values()] == [JSON]


@pytest.mark.parametrize("pack", [lambda data: zipped({"again.zip": data}), gzip.compress], ids=["ZIP", "gzip"])
def test_what_is_packed_without_end_is_refused(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    data = zipped({"conversations.json": JSON})
    for _ in range(12):
        data = pack(data)
    with pytest.raises(UnsafeArchive) as caught:
        opened(tmp_path, data)
    assert caught.value.hint


# --- shards that are missing or bad --------------------------------------------------------------

SHARDS = {f"conversations-00{i}.json": exported([conversation(f"c{i}")]) for i in range(3)}
LISTING = orjson.dumps(
    {"version": 1, "logical_files": {"conversations.json": {"files": list(SHARDS), "sharded": True}}}
)


@pytest.mark.parametrize("packed", [True, False], ids=["ZIP", "folder"])
@pytest.mark.parametrize("top", ["", "a folder/"])
def test_a_shard_that_the_manifest_lists_and_that_is_not_there_is_told(tmp_path: Path, top: str, packed: bool) -> None:
    members = {f"{top}{name}": data for name, data in SHARDS.items() if "001" not in name}
    members[f"{top}export_manifest.json"] = LISTING
    path = written(tmp_path / "export.zip", zipped(members)) if packed else folder_of(tmp_path / "f", members)
    assert len(contents(open_export(path))) == 2
    (problem,) = open_sources([path], ReadLimits()).problems
    assert problem.kind == "missing_shard"
    assert "conversations-001.json" in problem.detail


@pytest.mark.parametrize("packed", [True, False], ids=["ZIP", "folder"])
def test_an_export_with_all_its_shards_has_no_problem(tmp_path: Path, packed: bool) -> None:
    members = SHARDS | {"export_manifest.json": LISTING}
    export = opened(tmp_path, zipped(members)) if packed else open_export(folder_of(tmp_path / "f", members))
    assert (len(export.members), export.problems) == (3, ())
    assert export.listed == export.shards == set(SHARDS)


@pytest.mark.parametrize("packed", [True, False], ids=["ZIP", "folder"])
def test_a_manifest_decides_nothing_but_what_is_missing(tmp_path: Path, packed: bool) -> None:
    """A shard that it does not list is read, and what it lists beside is not."""
    listing = orjson.dumps({"files": ["conversations-001.json", "chat.json"]})
    members = {"export_manifest.json": listing, "chat.json": OTHER_JSON} | SHARDS
    export = opened(tmp_path, zipped(members)) if packed else open_export(folder_of(tmp_path / "f", members))
    assert (list(contents(export)), export.problems) == (list(SHARDS), ())


@pytest.mark.parametrize("packed", [True, False], ids=["ZIP", "folder"])
@pytest.mark.parametrize("bad", [b"", b"\0\0\0\0", b"<html>", b"text"])
def test_a_shard_that_is_no_json_is_told_and_the_others_are_read(tmp_path: Path, bad: bytes, packed: bool) -> None:
    """A file that a broken download or a full disk left empty must not cost the other shards."""
    members = SHARDS | {"conversations-001.json": bad}
    export = opened(tmp_path, zipped(members)) if packed else open_export(folder_of(tmp_path / "f", members))
    assert list(contents(export)) == ["conversations-000.json", "conversations-002.json"]
    (problem,) = export.problems
    assert "conversations-001.json" in problem.where + problem.detail


def test_a_shard_whose_header_is_damaged_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    data = bytearray(zipped(SHARDS))
    data[data.index(b"PK\x03\x04", 10)] = 0
    export = opened(tmp_path, bytes(data))
    assert list(contents(export)) == ["conversations-000.json", "conversations-002.json"]
    assert [problem.kind for problem in export.problems] == ["damaged"]


@pytest.mark.parametrize("field", [CHECKSUM, FLAGS], ids=["checksum", "encrypted"])
def test_a_manifest_that_cannot_be_read_costs_nothing_but_its_use(tmp_path: Path, field: int) -> None:
    data = patched(zipped(SHARDS | {"export_manifest.json": LISTING}), "export_manifest.json", field, "<H", 1)
    assert len(contents(opened(tmp_path, data))) == 3


# --- damage --------------------------------------------------------------------------------------


def items(export: Export) -> tuple[list[RawConversation], list[Problem]]:
    found: tuple[list[RawConversation], list[Problem]] = ([], [])
    for member in export.members:
        for item in read_conversations(member, ReadLimits()):
            if isinstance(item, Problem):
                found[1].append(item)
            else:
                found[0].append(item)
    return found


MANY = exported([conversation(f"c{i}", os.urandom(300).hex()) for i in range(200)])


@pytest.mark.parametrize("cut", [1, 10, 30, 200, 5000])
def test_a_zip_that_is_cut_off_gives_what_is_before_the_cut_and_it_is_told(tmp_path: Path, cut: int) -> None:
    conversations, problems = items(export := opened(tmp_path, zipped({"conversations.json": MANY})[:-cut]))
    assert len([item for item in conversations if not item.damage]) > (150 if cut >= 200 else 199)
    assert "truncated" in {problem.kind for problem in [*problems, *export.problems]}


@pytest.mark.parametrize("left", [4, 20, 40, 60])
def test_a_zip_of_which_nothing_is_left_is_an_error_with_a_hint(tmp_path: Path, left: int) -> None:
    with pytest.raises(SourceError, match="damaged or cut off") as caught:
        opened(tmp_path, zipped({"chat.html": MANY, "conversations.json": MANY})[:left])
    assert caught.value.hint


def test_a_directory_of_a_zip_that_is_overwritten_is_done_without_and_it_is_told(tmp_path: Path) -> None:
    data = zipped({"conversations.json": MANY}).replace(b"PK\x01\x02", b"XX\x01\x02")
    conversations, problems = items(export := opened(tmp_path, data))
    assert (len(conversations), problems) == (200, [])
    assert [problem.kind for problem in export.problems] == ["truncated"]


def test_where_the_checksum_is_wrong_what_is_before_it_arrives_and_it_is_told(tmp_path: Path) -> None:
    """It is compared when the last piece is read: no more than that piece may go with it."""
    data = patched(zipped({"conversations.json": MANY}), "conversations.json", CHECKSUM, "<I", 12345)
    conversations, problems = items(opened(tmp_path, data))
    assert len(conversations) > 150
    assert "damaged" in {problem.kind for problem in problems}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_where_the_data_is_damaged_what_is_before_arrives_and_it_is_told(tmp_path: Path, compression: int) -> None:
    data = bytearray(zipped({"conversations.json": MANY}, compression))
    middle = len(data) // 2
    data[middle : middle + 40] = b"\xff" * 40
    conversations, problems = items(opened(tmp_path, bytes(data)))
    assert len([item for item in conversations if not item.damage and item.data in MANY]) > 50
    assert "damaged" in {problem.kind for problem in problems}


def test_a_gzip_that_is_cut_off_gives_what_is_before_the_cut_and_it_is_told(tmp_path: Path) -> None:
    data = gzip.compress(MANY)
    conversations, problems = items(opened(tmp_path, data[: len(data) // 2], "x.gz"))
    assert len(conversations) > 50
    assert {problem.kind for problem in problems} == {"truncated", "damaged"}


@pytest.mark.parametrize("size", [0, 1, 1000, 10_000, len(MANY) - 1])
def test_a_size_that_is_too_small_is_told(tmp_path: Path, size: int) -> None:
    data = patched(zipped({"conversations.json": MANY}), "conversations.json", SIZE, "<I", size)
    try:
        _, problems = items(opened(tmp_path, data))
    except SourceError:
        return
    assert "damaged" in {problem.kind for problem in problems}


@pytest.mark.parametrize("size", [len(MANY) + 1, len(MANY) * 3, 10_000_000])
def test_a_size_that_is_too_large_costs_nothing(tmp_path: Path, size: int) -> None:
    data = patched(zipped({"conversations.json": MANY}), "conversations.json", SIZE, "<I", size)
    conversations, problems = items(opened(tmp_path, data))
    assert (len(conversations), problems) == (200, [])


def test_packing_that_is_not_known_is_an_error(tmp_path: Path) -> None:
    """Deflate64, as Windows packs what is large: Python's zipfile does not know it."""
    data = patched(zipped({"conversations.json": JSON}), "conversations.json", METHOD, "<H", 9)
    with pytest.raises(SourceError) as caught:
        opened(tmp_path, data)
    assert "unpack" in caught.value.hint


ARCHIVE = zipped(SHARDS | {"export_manifest.json": LISTING, "a.png": b"x"})
NESTED = zipped({"Conversations__1.zip": ARCHIVE}, zipfile.ZIP_STORED)


@settings(max_examples=1500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    archive=st.sampled_from([ARCHIVE, NESTED]),
    changes=st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 255)), min_size=1, max_size=3),
)
@example(archive=ARCHIVE, changes=[(ARCHIVE.rindex(b"a.png"), 0)])
@example(archive=ARCHIVE, changes=[(ARCHIVE.rindex(b"export_manifest.json") - NAME + FLAGS, 1)])
def test_however_a_zip_is_damaged_it_is_read_or_an_error_of_ours(
    tmp_path: Path, archive: bytes, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(archive)
    for place, byte in changes:
        data[place % len(data)] = byte
    try:
        export = opened(tmp_path, bytes(data))
        conversations, problems = items(export)
    except SourceError:
        return
    assert conversations or problems or export.problems or export.listed - export.shards


# --- traps ---------------------------------------------------------------------------------------


def test_an_encrypted_member_is_refused_with_a_way_out(tmp_path: Path) -> None:
    data = patched(zipped({"conversations.json": JSON}), "conversations.json", FLAGS, "<H", 1)
    with pytest.raises(UnsafeArchive, match="encrypted") as caught:
        opened(tmp_path, data)
    assert "password" in caught.value.hint


def test_an_archive_in_which_all_is_encrypted_is_refused_with_a_way_out(tmp_path: Path) -> None:
    data = zipped(SHARDS | {"export_manifest.json": LISTING})
    for name in [*SHARDS, "export_manifest.json"]:
        data = patched(data, name, FLAGS, "<H", 1)
    with pytest.raises(UnsafeArchive, match="encrypted"):
        opened(tmp_path, data)


def test_an_encrypted_inner_zip_is_refused(tmp_path: Path) -> None:
    data = zipped({"Conversations__1.zip": zipped({"conversations.json": JSON})})
    with pytest.raises(UnsafeArchive, match="encrypted"):
        opened(tmp_path, patched(data, "Conversations__1.zip", FLAGS, "<H", 1))


def test_encryption_of_what_is_not_read_does_not_matter(tmp_path: Path) -> None:
    data = patched(zipped({"conversations.json": JSON, "file.dat": b"x"}), "file.dat", FLAGS, "<H", 1)
    assert contents(opened(tmp_path, data)) == {"conversations.json": JSON}


@pytest.mark.parametrize("name", ["conversations.json", "inner.zip"])
def test_a_member_that_claims_to_be_a_bomb_is_refused_unread(tmp_path: Path, name: str) -> None:
    data = patched(zipped({name: JSON}), name, SIZE, "<I", 2**32 - 2)
    with pytest.raises(UnsafeArchive, match="claims to unpack to 4,294,967,294 bytes") as caught:
        opened(tmp_path, data)
    assert caught.value.hint


def test_a_member_that_is_a_bomb_is_refused(tmp_path: Path) -> None:
    data = zipped({"conversations.json": b"[" + b" " * 40_000_000 + b"]"})
    assert len(data) < 100_000
    with pytest.raises(UnsafeArchive):
        opened(tmp_path, data)


def test_small_members_may_be_packed_well(tmp_path: Path) -> None:
    data = b"[" + b" " * 2_000_000 + b"]"
    assert contents(opened(tmp_path, zipped({"conversations.json": data}))) == {"conversations.json": data}


def test_links_in_a_zip_are_not_followed(tmp_path: Path) -> None:
    secret = written(tmp_path / "secret" / "conversations.json", OTHER_JSON)
    link = zipfile.ZipInfo("conversations.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(NotAnExport):
        opened(tmp_path, zipped([(link, str(secret).encode())]))
    link.filename = "conversations-000.json"
    export = opened(tmp_path, zipped([(link, str(secret).encode()), ("conversations-001.json", JSON)]))
    assert contents(export) == {"conversations-001.json": JSON}


def test_links_in_a_folder_are_not_followed(tmp_path: Path) -> None:
    outside = folder_of(tmp_path / "outside", {"conversations-005.json": OTHER_JSON})
    folder = folder_of(tmp_path / "export", {"conversations-000.json": JSON})
    (folder / "conversations-001.json").symlink_to(outside / "conversations-005.json")
    (folder / "more").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    (folder / "conversations-002.json").symlink_to(tmp_path / "nothing")
    assert contents(open_export(folder)) == {"conversations-000.json": JSON}


def test_what_is_no_file_in_a_folder_is_not_opened(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "export", {"conversations-000.json": JSON})
    os.mkfifo(folder / "conversations-001.json")  # opening it would wait for a writer for ever
    (folder / "conversations-002.json").mkdir()
    assert contents(open_export(folder)) == {"conversations-000.json": JSON}


@pytest.mark.parametrize(
    "name",
    ["../../conversations.json", "/etc/conversations.json", "a/../../../conversations.json", "C:/x/conversations.json"],
)
def test_a_name_made_for_traversal_is_read_and_nothing_outside_is_touched(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    path = written(tmp_path / "deep" / "er" / "export.zip", zipped({name: JSON}))
    written(tmp_path / "conversations.json", OTHER_JSON)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    assert [*contents(open_export(path)).values()] == [JSON]
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == before


# --- what is not an export ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "what"),
    [
        pytest.param(b"", "is empty", id="nothing"),
        pytest.param(b" \n ", "is empty", id="blanks"),
        pytest.param(b"<!DOCTYPE html><html>", "is a web page", id="a web page"),
        pytest.param(b"  <html>", "is a web page", id="a web page after blanks"),
        pytest.param(b"Dear Sir or Madam", "is not an export: expected a ZIP, a gzip, a tar, or JSON", id="text"),
        pytest.param(b"\x89PNG\r\n\x1a\n", "is not an export", id="a picture"),
        pytest.param(b"7z\xbc\xaf\x27\x1c", "is not an export", id="another archive"),
        pytest.param(b'"text"', "is not an export", id="a JSON string"),
    ],
)
@pytest.mark.parametrize("packed", [False, True], ids=["bare", "gzip"])
def test_what_is_no_export_is_called_what_it_is(tmp_path: Path, data: bytes, what: str, packed: bool) -> None:
    with pytest.raises(NotAnExport, match=what):
        opened(tmp_path, gzip.compress(data) if packed else data, "x.json")


@pytest.mark.parametrize("packed", [True, False], ids=["ZIP", "folder"])
@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"user.json": b"{}", "chat.html": b"<html>"}, "no conversations.json or conversations-000.json"),
        ({"ttl/prod-grok-backend.json": b"{}"}, "looks like a Grok export"),
        ({"Takeout/My Activity/Gemini Apps/MyActivity.json": b"[]"}, "looks like a Gemini export"),
        ({"Files.zip": zipped({"a.png": b"x"})}, "holds no conversations"),
    ],
)
def test_an_archive_without_conversations_is_told_what_was_looked_for(
    tmp_path: Path, members: dict[str, bytes], what: str, packed: bool
) -> None:
    path = written(tmp_path / "x.zip", zipped(members)) if packed else folder_of(tmp_path / "f", members)
    with pytest.raises(NotAnExport, match=what):
        open_export(path)


def test_an_empty_archive_and_an_empty_folder_are_no_export(tmp_path: Path) -> None:
    for path in (written(tmp_path / "x.zip", zipped({})), tmp_path / "empty"):
        if not path.exists():
            path.mkdir()
        with pytest.raises(NotAnExport, match="holds no conversations"):
            open_export(path)


@pytest.mark.parametrize("name", ["nothing", "no/such/folder/x.zip", "x" * 300])
def test_where_there_is_nothing_it_is_the_options_fault(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        open_export(tmp_path / name)


def test_an_error_tells_names_and_never_what_is_in_a_file(tmp_path: Path) -> None:
    secret = b"my doctor said"
    for i, data in enumerate((secret, b"<p>" + secret, b"PK\x03\x04" + secret, b"\x1f\x8b" + secret)):
        with pytest.raises(ImporterError) as caught:
            opened(tmp_path, data, f"{i}.json")
        assert "doctor" not in f"{caught.value} {caught.value.args}"
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


# --- pipes ---------------------------------------------------------------------------------------


@contextmanager
def pipe_of(path: Path, data: bytes) -> Iterator[Path]:
    """A FIFO at `path` through which `data` comes once."""

    def write() -> None:
        with suppress(BrokenPipeError):  # the reader may refuse the rest
            path.write_bytes(data)

    os.mkfifo(path)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield path
    finally:
        writer.join(60)


@pytest.mark.parametrize("data", [JSON, zipped({"conversations.json": JSON}), gzip.compress(JSON)])
def test_open_export_reads_a_pipe_as_often_as_a_file_when_its_writer_has_ended(tmp_path: Path, data: bytes) -> None:
    with pipe_of(tmp_path / "pipe", data) as pipe:
        export = open_export(pipe)
    assert list(contents(export).values()) == list(contents(export).values()) == [JSON]


def test_open_export_leaves_nothing_in_tmpdir_when_a_pipe_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with pipe_of(tmp_path / "pipe", JSON) as pipe:
        contents(open_export(pipe))
    assert list(folder.iterdir()) == []


def test_open_export_refuses_a_pipe_when_more_than_the_limit_comes(tmp_path: Path) -> None:
    with pipe_of(tmp_path / "pipe", JSON) as pipe, pytest.raises(SourceError, match="more than the limit of 10 bytes"):
        open_export(pipe, ReadLimits(max_download_bytes=10))
