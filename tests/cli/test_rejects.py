"""`ray-import rejects` and `retry-rejects`, as a person uses them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ray_import.chatgpt.extract import content_hash, hash_digits
from tests.cli.commands import ray_import, started
from tests.unit.pipeline.runs import Database
from tests.unit.source.exports import conversation, exported, written

SECRET = "my-most-private-words"
BAD = b'{"title":"' + SECRET.encode() + b'","mapping":{},"x":NaN,"conversation_id":"c-1"}'
MENDED = exported([conversation("c-2", "Now it is read.")])[1:-1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`chunks.db` holds two rejects, one of which is good by now."""
    written(tmp_path / "x.json", exported([conversation("a")])[:-1] + b"," + BAD + b"," + BAD.replace(b"c-1", b"c-2"))
    Database(tmp_path / "chunks.db").imported(tmp_path / "x.json", user_id="local")
    with closing(sqlite3.connect(tmp_path / "chunks.db")) as db, db:
        db.execute(
            "UPDATE import_rejects SET raw = ?, raw_hash = ? WHERE conversation_id = 'c-2'",
            (MENDED, content_hash(MENDED)),
        )
    return tmp_path


def test_a_person_sees_which_conversations_and_why_but_none_of_their_words(folder: Path) -> None:
    result = ray_import(folder, "rejects")
    assert (result.code, result.err) == (0, "")
    lines = result.out.decode().splitlines()
    assert lines[0].split() == ["reject", "reason", "conversation", "file,", "item", "size"]
    assert lines[1].split() == [
        hash_digits(content_hash(BAD))[:12],
        "invalid_json",
        "c-1",
        "x.json,",
        "item",
        "1",
        str(len(BAD)),
        "bytes",
    ]
    assert "c-2" in lines[2]
    assert SECRET not in result.out.decode()


def test_as_json_it_has_all_but_the_bytes(folder: Path) -> None:
    first, second = ray_import(folder, "rejects", "--json").json["rejects"]
    assert (first["raw_hash"], first["reason"], first["position"]) == (content_hash(BAD), "invalid_json", 1)
    assert (second["user_id"], second["conversation_id"], second["member"]) == ("local", "c-2", "x.json")
    assert ray_import(folder, "rejects", "--json", "--user-id", "another").json == {"rejects": []}


@pytest.mark.parametrize("name", [hash_digits(content_hash(BAD))[:12], content_hash(BAD)[:19], content_hash(BAD)])
def test_the_bytes_of_one_are_printed_as_they_are(folder: Path, name: str) -> None:
    assert ray_import(folder, "rejects", "--raw", name).out == BAD


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["rejects", "--raw", "no-hash"], "no reject"),
        (["rejects", "--raw", ""], "The argument after --raw is empty"),
        (["rejects", "--to", "sqlite:///missing.db"], "There is no database"),
        (["retry-rejects", "--to", "sqlite:///missing.db"], "There is no database"),
        (["retry-rejects", "--workers", "0"], "--workers 0"),
    ],
)
def test_what_cannot_be_meant_is_an_error(folder: Path, arguments: list[str], what: str) -> None:
    result = ray_import(folder, *arguments)
    assert (result.code, result.out) == (2, b"")
    assert result.err.startswith("error: ")
    assert what in result.err
    assert not (folder / "missing.db").exists()


@pytest.mark.parametrize("command", ["rejects", "retry-rejects", "status"])
def test_asked_for_json_an_error_is_an_object(folder: Path, command: str) -> None:
    result = ray_import(folder, command, "--json", "--to", "sqlite:///missing.db")
    assert (result.code, result.json["status"]) == (2, "failed")
    assert "There is no database" in result.json["error"]


@pytest.mark.parametrize("command", ["rejects", "retry-rejects", "status"])
def test_an_error_that_nobody_reads_is_an_error_all_the_same(folder: Path, command: str) -> None:
    process = started(folder, command, "--json", "--to", "sqlite:///missing.db")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(60) == 2


def test_where_there_are_none_nothing_is_started(folder: Path) -> None:
    result = ray_import(folder, "retry-rejects", "--user-id", "another")
    assert (result.code, result.out) == (0, b"")
    assert result.err_lines == ["There are no rejects of the user another."]
    assert ray_import(folder, "retry-rejects", "--user-id", "another", "--json").json == {"imports": []}


@pytest.mark.ray
def test_tried_again_on_ray_what_passes_is_in_and_gone_from_the_list(folder: Path) -> None:
    Database(folder / "chunks.db", imports=1).imported(folder / "x.json", user_id="ana")
    result = ray_import(folder, "retry-rejects", "--json")
    assert result.code == 1, result
    of_ana, of_local = result.json["imports"]
    assert (of_ana["user_id"], of_ana["conversations"]["rejected"]) == ("ana", 2)
    assert of_local["user_id"] == "local"
    assert of_local["conversations"] | {"seen": 2, "imported": 1, "rejected": 1} == of_local["conversations"]
    (left,) = ray_import(folder, "rejects", "--json", "--user-id", "local").json["rejects"]
    assert (left["conversation_id"], left["raw_hash"]) == ("c-1", content_hash(BAD))
    with closing(sqlite3.connect(folder / "chunks.db")) as db:
        found = db.execute("SELECT content FROM conversation_chunks WHERE conversation_id = 'c-2'").fetchall()
    assert len(found) == 1
    assert "Now it is read." in found[0][0]
    newest, _ = ray_import(folder, "status", "--json", "--user-id", "local").json["jobs"]
    assert newest["source"] == "rejects of earlier imports"
