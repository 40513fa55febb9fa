from pathlib import Path
from typing import Any

import orjson
import pytest

from ray_import.chatgpt.files import listed_shards, missing_shards, shard_name
from ray_import.pipeline.sources import open_sources
from ray_import.settings import ReadLimits
from tests.unit.source.exports import conversation, exported, written, zipped

SHARDS = ["conversations-000.json", "conversations-001.json", "conversations-002.json"]


def as_logical_files(shards: list[str]) -> Any:
    return {"version": 1, "logical_files": {"conversations.json": {"files": shards, "sharded": True}}}


def as_export_files(shards: list[str]) -> Any:
    sizes = [{"path": shard, "size_bytes": 12} for shard in ["user.json", *shards]]
    return {"export_files": sizes, "logical_files": {}}


def as_named_shards(shards: list[str]) -> Any:
    return {"version": 1, "files": [{"name": "conversations.json", "shards": [{"name": shard} for shard in shards]}]}


def missing(manifest: bytes, present: list[str]) -> list[str]:
    """The shards that are reported as missing."""
    problems = missing_shards("x.zip", listed_shards(manifest), {shard_name(name) for name in present})
    return [problem.detail.split(" ")[0] for problem in problems]


ALL_SHAPES = pytest.mark.parametrize("shape", [as_logical_files, as_export_files, as_named_shards])


@ALL_SHAPES
@pytest.mark.parametrize(
    ("present", "lost"),
    [
        (SHARDS, []),
        (SHARDS[:2], SHARDS[2:]),
        (SHARDS[1:2], [SHARDS[0], SHARDS[2]]),
        (["export/" + shard for shard in SHARDS], []),
        (["conversations.json"], SHARDS),
    ],
)
def test_a_listed_shard_that_is_not_there_is_missing(shape: Any, present: list[str], lost: list[str]) -> None:
    assert missing(orjson.dumps(shape(SHARDS)), present) == lost


@ALL_SHAPES
def test_the_listing_may_name_folders(shape: Any) -> None:
    listing = orjson.dumps(shape(["sites/" + shard for shard in SHARDS]))
    assert missing(listing, SHARDS[:1]) == SHARDS[1:]


@pytest.mark.parametrize("shape", [as_logical_files, as_export_files])
def test_an_export_in_one_file_lacks_nothing(shape: Any) -> None:
    assert missing(orjson.dumps(shape(["conversations.json"])), ["conversations.json"]) == []
    assert missing(orjson.dumps(shape(["conversations.json"])), ["conversations-000.json"]) == ["conversations.json"]


def test_other_files_than_conversations_are_nobodys_loss() -> None:
    listing = orjson.dumps(as_export_files([*SHARDS, "shared_conversations.json", "file-1.dat"]))
    assert missing(listing, SHARDS) == []


@pytest.mark.parametrize(
    "listing",
    [b"", b"null", b"[]", b"{}", b'{"logical_files":', b"\xff\xfe", b'{"files":"none"}', b"[" * 100_000, b"17"],
)
def test_a_manifest_that_says_nothing_is_no_error(listing: bytes) -> None:
    assert missing(listing, SHARDS) == []


def test_a_manifest_may_nest_as_deep_as_it_can_be_read() -> None:
    deep = b'{"a":' * 900 + b'["conversations-003.json"]' + b"}" * 900
    assert missing(deep, SHARDS) == ["conversations-003.json"]


def test_of_a_path_with_backslashes_only_the_name_counts() -> None:
    """As ZIPs made on Windows have them; whatever else a manifest may hold before it is not told on."""
    listing = orjson.dumps(["words\0 of a user\n\\conversations-001.json", "export\\conversations-000.json"])
    assert missing(listing, ["export\\conversations-000.json"]) == ["conversations-001.json"]


def test_open_export_names_20_missing_shards_when_a_manifest_lists_more(tmp_path: Path) -> None:
    names = [f"conversations-{number:05}.json" for number in range(5_000)] + [f"conversations-{'9' * 100_000}.json"]
    shard = {"conversations-00000.json": exported([conversation("a")])}
    listing = orjson.dumps(as_export_files(names[:2_500])), orjson.dumps(as_export_files(names[2_500:]))
    listings = {"export_manifest.json": listing[0], "again/export_manifest.json": listing[1]}
    problems = open_sources([written(tmp_path / "x.zip", zipped({**shard, **listings}))], ReadLimits()).problems
    assert [problem.kind for problem in problems] == ["missing_shard"] * 21
    assert problems[0].detail == "conversations-00001.json is listed in the export's manifest but missing"
    assert problems[20].detail == "4,980 more files are listed in the export's manifest but missing"


def test_open_export_cuts_the_name_when_that_of_a_missing_shard_is_long(tmp_path: Path) -> None:
    listing = orjson.dumps(as_export_files(["conversations-1.json", f"conversations-{'9' * 100_000}.json"]))
    members = {"conversations-1.json": exported([conversation("a")]), "export_manifest.json": listing}
    (problem,) = open_sources([written(tmp_path / "x.zip", zipped(members))], ReadLimits()).problems
    assert problem.detail.startswith("conversations-999")
    assert len(problem.detail) < 200
