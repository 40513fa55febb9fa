"""What is stored of an export grows with its bytes, whatever it repeats in each row (extraction.md §2)."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from ray_import.chatgpt.extract import as_key
from tests.unit.pipeline.runs import Database

BRANCHES = 2_000
BYTES_A_CHUNK = 600
"""For a row's ids, times and keys of indexes."""


def branching(title: str, key_of: Callable[[int], str], conversation_id: str = "c", branches: int = BRANCHES) -> bytes:
    """A conversation of which every message but the first is a branch of its own."""

    def node(i: int) -> dict[str, Any]:
        message = {"author": {"role": "user"}, "content": {"parts": [f"Branch {i}."]}, "create_time": 1_700_000_000 + i}
        return {"message": message, "parent": key_of(0) if i else None}

    mapping = {key_of(i): node(i) for i in range(branches)}
    return orjson.dumps([{"conversation_id": conversation_id, "title": title, "mapping": mapping}])


@pytest.mark.parametrize(
    "export",
    [
        pytest.param(branching("t" * 1_000_000, str), id="a title of 1 MB"),
        pytest.param(branching("é" * 500_000, str), id="a title of 1 MB that is no ASCII"),
        pytest.param(branching("t", str, "c" * 1_000_000), id="a conversation's id of 1 MB"),
        pytest.param(branching("t", lambda i: "k" * 1_000_000 if i == 1 else str(i)), id="a key of 1 MB"),
        pytest.param(branching("t", lambda i: f"{i:0500}"), id="keys of 500 bytes"),
    ],
)
def test_a_database_is_at_most_three_times_the_export_and_so_much_a_chunk(tmp_path: Path, export: bytes) -> None:
    path = tmp_path / "conversations.json"
    path.write_bytes(export)
    summary = Database(tmp_path / "chunks.db").imported(path)
    with closing(sqlite3.connect(tmp_path / "chunks.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert summary.counts.kept == summary.counts.chunks_written + 1 == BRANCHES
    assert (tmp_path / "chunks.db").stat().st_size <= 3 * len(export) + BYTES_A_CHUNK * BRANCHES


def test_a_node_that_begins_a_long_thread_gives_its_key_to_no_chunk_when_it_is_long(tmp_path: Path) -> None:
    """All of a side thread's chunks are called like its first node."""
    key = "k" * 500_000
    nodes = {
        "root": {"message": said("The shown way."), "parent": None},
        key: {"message": said("word " * 400_000), "parent": "root"},
    }
    path = tmp_path / "conversations.json"
    path.write_bytes(orjson.dumps([{"id": "c", "title": "t", "current_node": "root", "mapping": nodes}]))
    database = Database(tmp_path / "chunks.db")
    summary = database.imported(path)
    assert summary.counts.chunks_written > 200
    assert database.rows("SELECT DISTINCT thread FROM conversation_chunks ORDER BY 1") == [("main",), (as_key(key),)]
    assert (tmp_path / "chunks.db").stat().st_size <= 3 * path.stat().st_size


def said(text: str) -> dict[str, Any]:
    return {"author": {"role": "user"}, "content": {"parts": [text]}}
