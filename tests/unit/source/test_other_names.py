"""Files that hold conversations under other names, and notes about those that are not read (extraction.md §1)."""

import gzip
import io
import json
import struct
import zipfile
from pathlib import Path

import orjson
import pytest

from ray_import.errors import NotAnExport, SourceError, UnsafeSource, UnsupportedFormat
from ray_import.pipeline.sources import Sources, open_sources
from ray_import.records import lacks
from ray_import.settings import ReadLimits
from ray_import.source import export, sniff, unpack_budget
from tests.unit.source.exports import Style, conversation, exported, written, zipped
from tests.unit.source.test_containers import METHOD, patched

CASES = Path(__file__).parent / "cases"


def talk(*names: str, style: Style = Style()) -> bytes:  # noqa: B008 - it is frozen
    return exported([conversation(name) for name in names], style)


def single(name: str, *, pretty: bool = False) -> bytes:
    return talk(name, style=Style("single", pretty))


def ids(sources: Sources) -> list[str]:
    return [json.loads(raw.data)["conversation_id"] for raw in sources.conversations()]


def notes(sources: Sources) -> list[str]:
    """Where the notes are; there is no other problem."""
    assert not lacks(sources.problems), sources.problems
    assert {problem.kind for problem in sources.problems} <= {"not_read"}
    return [problem.where for problem in sources.problems]


@pytest.fixture(params=["ZIP", "folder"])
def packing(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def source(tmp_path: Path, packing: str, members: dict[str, bytes]) -> Path:
    if packing == "ZIP":
        return written(tmp_path / "x.zip", zipped(members))
    for name, data in members.items():
        written(tmp_path / "f" / name, data)
    return tmp_path / "f"


def opened(path: Path) -> Sources:
    return open_sources([path], ReadLimits())


# --- conversations (N).json ------------------------------------------------------------------------


def test_open_sources_reads_the_highest_number_when_there_are_copies_alone(tmp_path: Path, packing: str) -> None:
    members = {f"d/conversations ({n}).json": talk(f"c{n}") for n in (2, 10, 9)}
    sources = opened(source(tmp_path, packing, members))
    assert ids(sources) == ["c10"]
    assert [where.rpartition("/")[2] for where in notes(sources)] == [
        "conversations (2).json",
        "conversations (9).json",
    ]


def test_open_sources_notes_copies_when_there_is_an_exact_name(tmp_path: Path, packing: str) -> None:
    members = {"conversations (1).json": talk("copy"), "a/conversations.json": talk("a")}
    sources = opened(source(tmp_path, packing, members))
    assert ids(sources) == ["a"]
    assert [where.rpartition("/")[2] for where in notes(sources)] == ["conversations (1).json"]


def test_open_sources_notes_copies_when_the_exact_name_is_in_an_archive_beside(tmp_path: Path) -> None:
    members = {"conversations (1).json": talk("copy"), "export.zip": zipped({"conversations.json": talk("a")})}
    sources = opened(source(tmp_path, "folder", members))
    assert ids(sources) == ["a"]
    assert notes(sources) == ["conversations (1).json"]


def test_open_sources_does_not_read_copies_when_the_exact_name_cannot_be_read(tmp_path: Path) -> None:
    members = {"conversations.json": talk("a"), "conversations (1).json": talk("copy")}
    with pytest.raises(UnsupportedFormat):
        opened(written(tmp_path / "x.zip", patched(zipped(members), "conversations.json", METHOD, "<H", 9)))


@pytest.mark.parametrize("name", ["conversations (1).json", "conversations(3).json", "a/conversations (2).json.gz"])
def test_open_sources_reads_a_copy_however_it_is_written(tmp_path: Path, packing: str, name: str) -> None:
    data = gzip.compress(talk("a")) if name.endswith(".gz") else talk("a")
    sources = opened(source(tmp_path, packing, {name: data, "user.json": b"{}"}))
    assert (ids(sources), notes(sources)) == (["a"], [])


def test_open_sources_reads_each_shards_newest_copy_when_shards_were_downloaded_twice(tmp_path: Path) -> None:
    members = {"conversations-000 (1).json": talk("a"), "conversations-001 (1).json": talk("b-old"),
               "conversations-001 (2).json": talk("b")}  # fmt: skip
    sources = opened(source(tmp_path, "folder", members))
    assert ids(sources) == ["a", "b"]
    assert notes(sources) == ["conversations-001 (1).json"]


def test_open_sources_misses_nothing_when_a_copy_stands_for_the_listed_file(tmp_path: Path) -> None:
    listing = b'{"files":["conversations.json"]}'
    sources = opened(source(tmp_path, "ZIP", {"conversations (1).json": talk("a"), "export_manifest.json": listing}))
    assert (ids(sources), notes(sources)) == (["a"], [])


# --- JSON of any name --------------------------------------------------------------------------------

BROWSER = {
    "ChatGPT-Wie geht es.json": single("a"),
    "more/北京的天气.json": single("b", pretty=True),
    "more/mark.json": b"\xef\xbb\xbf" + single("c"),
    "all of them.json": talk("d", "e"),
    "wrapped.json": talk("f", style=Style("wrapper")),
    "packed.json.gz": gzip.compress(single("g")),
    "lines.jsonl": single("h") + b"\n" + single("i"),
    "user.json": b'{"id":"u"}',
    "settings.json": b'{"webpack":{"mapping":{}}}',
    "shared_conversations.json": single("shared"),
    "sectioned_conversations.json": single("sectioned"),
    "__MACOSX/._x.json": single("mac"),
    "._x.json": single("mac"),
    "a.txt": single("text"),
    "broken": b"\0",
}


def test_open_sources_reads_every_json_with_a_mapping_when_there_is_no_usual_name(tmp_path: Path, packing: str) -> None:
    sources = opened(source(tmp_path, packing, BROWSER))
    assert sorted(ids(sources)) == list("abcdefghi")
    assert notes(sources) == []


def test_open_sources_reads_no_other_json_when_there_is_a_usual_name(tmp_path: Path, packing: str) -> None:
    for usual in ("conversations.json", "z/conversations-007.json", "conversations (4).json"):
        sources = opened(source(tmp_path / usual[0], packing, {**BROWSER, usual: talk("usual")}))
        assert (ids(sources), notes(sources)) == (["usual"], [])
        (tmp_path / usual[0] / "f" / usual).unlink(missing_ok=True)


def test_open_sources_reads_no_uploaded_json_when_an_archive_beside_has_the_conversations(tmp_path: Path) -> None:
    inner = {"Conversations__1.zip": zipped({"conversations.json": talk("a")}), "Files__1.zip": zipped(BROWSER)}
    sources = opened(written(tmp_path / "x.zip", zipped(inner)))
    assert (ids(sources), notes(sources)) == (["a"], [])


def test_open_sources_reads_other_json_when_it_lies_in_an_archive_in_an_archive(tmp_path: Path) -> None:
    data = zipped(
        {"one.zip": zipped({"a.json": single("a"), "b.json": single("b")}), "two.zip": zipped({"c.json": single("c")})}
    )
    sources = opened(written(tmp_path / "x.zip", data))
    assert sorted(ids(sources)) == ["a", "b", "c"]
    assert sources.problems == []


@pytest.mark.parametrize("before", [10_000, 900_000])
def test_open_sources_finds_a_mapping_when_it_comes_late(tmp_path: Path, before: int) -> None:
    data = json.dumps({"notes": "x" * before, **conversation("a")}).encode()
    assert ids(opened(source(tmp_path, "ZIP", {"a.json": data}))) == ["a"]


def test_open_sources_looks_no_further_than_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = json.dumps({"notes": "x" * 2 * sniff.LOOK_BYTES, **conversation("a")}).encode()
    with pytest.raises(NotAnExport, match="holds no conversations"):
        opened(source(tmp_path, "ZIP", {"a.json": data}))
    monkeypatch.setattr(unpack_budget, "RATIOS_MATTER_FROM_BYTES", 3 * sniff.LOOK_BYTES // 2)
    monkeypatch.setattr(unpack_budget, "MAX_RATIO", 0)
    with pytest.raises(UnsafeSource, match="unpacked so far"):
        opened(source(tmp_path, "ZIP", {"a.json": data, "b.json": data}))


def test_open_sources_names_what_was_looked_for_when_no_json_has_a_mapping(tmp_path: Path, packing: str) -> None:
    with pytest.raises(NotAnExport, match=r"no conversations\.json or conversations-000\.json was found"):
        opened(source(tmp_path, packing, {"a.json": b'{"x":[]}', "b.json": b"[1]", "c.json": b"text", "d.json": b""}))


@pytest.mark.parametrize("name", ["a.json", "conversations (1).json"])
def test_open_sources_tells_the_cut_when_a_json_of_another_name_is_cut_off(tmp_path: Path, name: str) -> None:
    sources = opened(source(tmp_path, "folder", {name: single("a")[:-30], "b.json": b"{}"}))
    assert [raw.damage for raw in sources.conversations()] == ["truncated"]
    assert [problem.kind for problem in sources.problems] == ["truncated"]


# --- group chats, archives beside --------------------------------------------------------------------


def test_open_sources_reads_group_chats_when_their_items_have_a_mapping(tmp_path: Path, packing: str) -> None:
    for chats in (
        b'{"chats":' + talk("g") + b"}",
        talk("g"),
        b'{"v":{"a":[]},"chats": [{"id":1},' + talk("g")[1:] + b"}",
    ):
        sources = opened(source(tmp_path, packing, {"conversations.json": talk("a"), "x/group_chats.json": chats}))
        found = [json.loads(raw.data).get("conversation_id") for raw in sources.conversations()]
        assert [one for one in found if one] == ["a", "g"]
        assert notes(sources) == []


def test_open_sources_reads_conversations_alone_when_a_file_also_has_chats(tmp_path: Path) -> None:
    sources = opened(written(tmp_path / "x.json", b'{"chats":[{"id":"g"}],"conversations":' + talk("a") + b"}"))
    assert (ids(sources), sources.problems) == (["a"], [])


def test_open_sources_reads_bare_and_gzipped_group_chats(tmp_path: Path) -> None:
    chats = b'{"chats":' + talk("g") + b"}"
    assert ids(opened(written(tmp_path / "group_chats.json", chats))) == ["g"]
    members = {"conversations.json": talk("a"), "group_chats.json.gz": gzip.compress(chats)}
    assert ids(opened(source(tmp_path, "ZIP", members))) == ["a", "g"]


def test_open_sources_is_no_error_when_a_copy_is_of_somebody_who_has_not_chatted_yet(tmp_path: Path) -> None:
    sources = opened(source(tmp_path, "ZIP", {"conversations (1).json": b"[]"}))
    assert ids(sources) == []
    sources.refuse_nothing_found(0, 0)


@pytest.mark.parametrize("chats", [b'{"chats":[]}', b"[]", b"{}", b"", b" \n", b"null", b'{"chats": [], "next": null}'])
def test_open_sources_notes_nothing_when_there_are_no_group_chats(tmp_path: Path, packing: str, chats: bytes) -> None:
    sources = opened(source(tmp_path, packing, {"conversations.json": talk("a"), "group_chats.json": chats}))
    assert (ids(sources), sources.problems) == (["a"], [])


@pytest.mark.parametrize(
    "chats",
    [b'{"chats":[{"id":"g","messages":[]}]}', b'[{"id":"g"}]', b'{"chats":{"g":{}}}', b'{"chats":[{"id"', b"text",
     b"\x1f\x8b broken", '{"chats":[{"id":"g"}]}'.encode("utf-16"), b'{"chats":[' + b'{"id":"g"},' * 200_000],
)  # fmt: skip
def test_open_sources_notes_group_chats_when_they_are_not_read(tmp_path: Path, packing: str, chats: bytes) -> None:
    sources = opened(source(tmp_path, packing, {"conversations.json": talk("a"), "group_chats.json": chats}))
    assert ids(sources) == ["a"]
    (where,) = notes(sources)
    assert where.endswith("group_chats.json")


def test_open_sources_notes_group_chats_when_their_method_is_not_read(tmp_path: Path) -> None:
    data = zipped({"conversations.json": talk("a"), "group_chats.json": b'{"chats":[{"id":"g"}]}'})
    sources = opened(written(tmp_path / "x.zip", patched(data, "group_chats.json", METHOD, "<H", 95)))
    (problem,) = sources.problems
    assert (problem.kind, problem.harmless) == ("not_read", True)
    assert "packed by xz" in problem.detail


def test_open_sources_notes_archives_when_they_lie_beside_conversations(tmp_path: Path, packing: str) -> None:
    old = zipped({"conversations.json": talk("old")})
    members = {"conversations.json": talk("a"), "old.zip": old, "b/older.tar.gz": b"x", "__MACOSX/x.zip": b"x"}
    sources = opened(source(tmp_path, packing, members))
    assert ids(sources) == ["a"]
    assert sorted(where.rpartition("/")[2] for where in notes(sources)) == ["old.zip", "older.tar.gz"]


def test_open_sources_names_20_files_when_more_are_not_read(tmp_path: Path) -> None:
    members = {"conversations.json": talk("a"), **{f"{n:03}.zip": b"x" for n in range(50)}}
    sources = opened(source(tmp_path, "ZIP", members))
    assert len(notes(sources)) == export.MAX_NAMED + 1
    assert sources.problems[-1].detail == "30 more files may hold chats and are not read"


# --- shards of several sources -----------------------------------------------------------------------

NAMES = [f"conversations-00{n}.json" for n in range(3)]
LISTING = orjson.dumps({"files": NAMES})


def test_open_sources_misses_no_shard_when_another_source_has_it(tmp_path: Path) -> None:
    first = written(tmp_path / "1.zip", zipped({NAMES[0]: talk("a"), "export_manifest.json": LISTING}))
    second = source(tmp_path, "folder", {f"d/{NAMES[1]}": talk("b")})
    third = written(tmp_path / f"{NAMES[2]}.gz", gzip.compress(talk("c")))
    sources = open_sources([first, second, third], ReadLimits())
    assert (ids(sources), sources.problems) == (["a", "b", "c"], [])
    (problem,) = open_sources([second, first], ReadLimits()).problems
    assert (problem.kind, problem.where) == ("missing_shard", str(first))
    assert problem.detail.startswith(NAMES[2])


def test_open_sources_misses_no_shard_when_another_archive_of_the_source_has_it(tmp_path: Path) -> None:
    first = zipped({NAMES[0]: talk("a"), "export_manifest.json": LISTING})
    second = zipped({NAMES[1]: talk("b"), f"x/{NAMES[2]}.gz": gzip.compress(talk("c"))})
    for packing in ("ZIP", "folder"):
        sources = opened(source(tmp_path, packing, {"0001.zip": first, "0002.zip": second}))
        assert (ids(sources), sources.problems) == (["a", "b", "c"], [])


def test_open_sources_misses_a_shard_when_only_a_copy_of_a_shard_is_there_beside_exact_names(tmp_path: Path) -> None:
    members = {NAMES[0]: talk("a"), "conversations-001 (1).json": talk("b"), "export_manifest.json": LISTING}
    assert sorted(problem.kind for problem in opened(source(tmp_path, "ZIP", members)).problems) == [
        "missing_shard", "missing_shard", "not_read",
    ]  # fmt: skip


# --- encodings and methods ---------------------------------------------------------------------------

WIDE = {
    f"{codec}{', mark' if mark else ''}": (mark + talk("a").decode()).encode(codec)
    for codec in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
    for mark in ("", "\ufeff")
}
PACKED = {
    "bare": lambda data: data,
    "gzip": gzip.compress,
    "ZIP": lambda data: zipped({"conversations.json": data}),
    "copy": lambda data: zipped({"conversations (1).json": data}),
    "other name": lambda data: zipped({"chat.json": data}),
    "ZIP in ZIP": lambda data: zipped({"x.zip": zipped({"conversations-000.json": data})}),
    "gzip in ZIP": lambda data: zipped({"conversations.json.gz": gzip.compress(data)}),
}


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("encoding", WIDE)
def test_open_sources_names_the_encoding_when_it_is_not_utf_8(tmp_path: Path, encoding: str, packed: str) -> None:
    with pytest.raises(SourceError) as caught:
        opened(written(tmp_path / "x", PACKED[packed](WIDE[encoding])))
    name = "UTF-16" if "16" in encoding else "UTF-32"
    assert f" is {name}, which is not read" in caught.value.message
    assert "UTF-8" in caught.value.hint
    assert "cut off" not in str(caught.value)


def test_open_sources_goes_on_when_one_shard_is_not_utf_8(tmp_path: Path, packing: str) -> None:
    members = {NAMES[0]: talk("a"), NAMES[1]: WIDE["utf-16-be"], NAMES[2]: talk("c")}
    sources = opened(source(tmp_path, packing, members))
    assert ids(sources) == ["a", "c"]
    (problem,) = sources.problems
    assert (problem.kind, problem.harmless) == ("unsupported", False)
    assert "UTF-16" in problem.detail
    assert "Save it as UTF-8" in problem.detail


METHODS = {9: "Deflate64", 95: "xz", 93: "Zstandard", 98: "PPMd", 6: "Implode", 77: "method 77"}


def of_method(name: str, data: bytes, method: int) -> bytes:
    """A ZIP whose entry is packed by `method`, as its header and its directory say."""
    archive = bytearray(patched(zipped({name: data}), name, METHOD, "<H", method))
    struct.pack_into("<H", archive, 8, method)
    return bytes(archive)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layout", ["ZIP", "no directory", "in a ZIP", "a ZIP", "in a gzip", "other name", "copy"])
def test_open_sources_names_the_method_when_it_is_not_read(tmp_path: Path, layout: str, method: int) -> None:
    plain = of_method("conversations.json", talk("a"), method)
    data = {
        "ZIP": plain,
        "no directory": plain[: plain.index(b"PK\x01\x02")],
        "in a ZIP": zipped({"Conversations__1.zip": plain}),
        "a ZIP": of_method("Conversations__1.zip", zipped({"conversations.json": talk("a")}), method),
        "in a gzip": gzip.compress(plain),
        "other name": of_method("chat.json", talk("a"), method),
        "copy": of_method("conversations (1).json", talk("a"), method),
    }[layout]
    with pytest.raises(SourceError) as caught:
        opened(written(tmp_path / "x.zip", data))
    told = str(caught.value)
    assert f"is packed by {METHODS[method]}, which is not read here" in told
    assert "First unpack it, then import the folder." in told


def test_open_sources_goes_on_when_one_members_method_is_not_read(tmp_path: Path) -> None:
    data = patched(zipped({NAMES[0]: talk("a"), NAMES[1]: talk("b")}), NAMES[1], METHOD, "<H", 9)
    sources = opened(written(tmp_path / "x.zip", data))
    assert ids(sources) == ["a"]
    (problem,) = sources.problems
    assert (problem.kind, problem.where) == ("unsupported", f"x.zip/{NAMES[1]}")
    assert "Deflate64" in problem.detail
    assert "First unpack it" in problem.detail


def test_open_sources_reads_lzma_and_bzip2_in_every_place(tmp_path: Path) -> None:
    for method in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        inner = zipped({"my chat.json": single("a")}, method)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.writestr("x.zip", inner)
        assert ids(opened(written(tmp_path / "x.zip", buffer.getvalue()))) == ["a"]


# --- files as they were met --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "seen", "noted"),
    [("jsonl.json", 2, []), ("group-chats-mapping.zip", 3, []),
     ("group-chats.zip", 2, ["group-chats.zip/group_chats.json"])],
)  # fmt: skip
def test_open_sources_reads_a_case_whole(name: str, seen: int, noted: list[str]) -> None:
    sources = opened(CASES / name)
    assert (len(ids(sources)), notes(sources)) == (seen, noted)


@pytest.mark.parametrize(("name", "told"), [("deflate64.zip", "Deflate64"), ("utf16le-nobom.json", "UTF-16")])
def test_open_sources_names_what_is_not_read_in_a_case(name: str, told: str) -> None:
    with pytest.raises(UnsupportedFormat, match=told) as caught:
        opened(CASES / name)
    assert caught.value.hint
