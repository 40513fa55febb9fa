import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.generate import write_export, write_zip
from tests.support.synthetic.prose import EMOJI

MEGABYTES = 2
LARGEST_LAST_CONVERSATION = 300_000


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("export") / "x.json"
    write_export(path, MEGABYTES)
    return path.read_bytes()


@pytest.fixture(scope="module")
def conversations(export: bytes) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = orjson.loads(export)
    return items


def messages(conversations: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for conversation in conversations:
        yield from (node["message"] for node in conversation["mapping"].values() if node["message"])


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(tmp_path: Path, export: bytes) -> None:
    write_export(tmp_path / "same.json", MEGABYTES)
    write_export(tmp_path / "other.json", MEGABYTES, seed=1)
    assert (tmp_path / "same.json").read_bytes() == export
    assert (tmp_path / "other.json").read_bytes() != export


@pytest.mark.parametrize("megabytes", [0, 0.1, 2, 20])
def test_size_is_as_asked_and_the_facts_are_those_of_the_file(tmp_path: Path, megabytes: float) -> None:
    path = tmp_path / "x.json"
    facts = write_export(path, megabytes)
    items = orjson.loads(path.read_bytes())
    assert facts.bytes == path.stat().st_size
    assert facts.conversations == len(items)
    assert facts.messages == sum(1 for _ in messages(items))
    assert 0.95 * megabytes * 1e6 <= facts.bytes <= 1.05 * megabytes * 1e6 + LARGEST_LAST_CONVERSATION


def test_every_item_is_a_conversation_with_ids_of_its_own(conversations: list[dict[str, Any]]) -> None:
    keys = [key for conversation in conversations for key in conversation["mapping"]]
    own = [key for key in keys if key != "client-created-root"]
    assert len(set(own)) == len(own)
    assert len({conversation["conversation_id"] for conversation in conversations}) == len(conversations)
    assert all(conversation["current_node"] in conversation["mapping"] for conversation in conversations)


def test_parents_and_children_agree(conversations: list[dict[str, Any]]) -> None:
    for conversation in conversations:
        mapping = conversation["mapping"]
        for key, node in mapping.items():
            assert node["id"] == key
            assert all(mapping[child]["parent"] == key for child in node["children"])
            assert node["parent"] is None or key in mapping[node["parent"]]["children"]


def test_what_real_exports_hold_occurs(export: bytes, conversations: list[dict[str, Any]]) -> None:
    nodes = [node for conversation in conversations for node in conversation["mapping"].values()]
    assert any(len(node["children"]) > 1 for node in nodes), "forks"
    types = {message["content"]["content_type"] for message in messages(conversations)}
    assert types >= {
        "text", "multimodal_text", "code", "execution_output", "tether_quote", "tether_browsing_display",
        "thoughts", "reasoning_recap", "user_editable_context",
    }  # fmt: skip
    assert {message["author"]["role"] for message in messages(conversations)} == {
        "system", "user", "assistant", "tool",
    }  # fmt: skip
    text = export.decode()
    for mark in (
        "\ue200cite\ue202",
        "†source】",
        "```python",
        "audio_transcription",
        "attachments",
        "、",
        "is_user_system_message",
    ):
        assert mark in text, mark
    assert any(emoji in text for emoji in EMOJI)
    assert b"\n" not in export


def test_offsets_of_references_count_code_points(conversations: list[dict[str, Any]]) -> None:
    checked = 0
    for message in messages(conversations):
        for reference in message["metadata"].get("content_references", []):
            text = message["content"]["parts"][0]
            assert text[reference["start_idx"] : reference["end_idx"]] == reference["matched_text"]
            checked += 1
    assert checked


def test_the_slim_shape_lacks_what_it_lacks(tmp_path: Path) -> None:
    write_export(tmp_path / "slim.json", MEGABYTES, shape="slim")
    slim = orjson.loads((tmp_path / "slim.json").read_bytes())
    nodes = [node for conversation in slim for node in conversation["mapping"].values()]
    assert all(node.keys() == {"id", "parent", "message"} for node in nodes)
    allowed = {"id", "author", "create_time", "content", "metadata"}
    assert all(message.keys() <= allowed for message in messages(slim))
    assert any("metadata" not in message for message in messages(slim))


def test_a_zip_holds_the_same_json_and_is_the_same_each_time(tmp_path: Path, export: bytes) -> None:
    for name in ("a.zip", "b.zip"):
        write_zip(tmp_path / name, MEGABYTES)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.read("conversations.json") == export
        assert "user.json" in archive.namelist()
    assert 3.5 < len(export) / (tmp_path / "a.zip").stat().st_size < 8
