"""Manifests as people write them, and which of their users a run is over."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ray_import.errors import ConfigError
from ray_import.pipeline.users import (
    UserSource,
    not_older,
    only_those,
    read_manifest,
    read_user_ids,
    seconds_of,
    seen_bytes,
    unique,
)
from ray_import.settings import SourceRules
from tests.unit.source.exports import BYTE_ORDER_MARK, written

ANA, BEN = UserSource("ana", "exports/ana.zip"), UserSource("ben", "supabase://exports/ben.zip")
LINES = b'{"user_id":"ana","source":"exports/ana.zip"}\n{"user_id":"ben","source":"supabase://exports/ben.zip"}\n'
TABLE = b"user_id,source\nana,exports/ana.zip\nben,supabase://exports/ben.zip\n"
BOTH = pytest.mark.parametrize(("name", "data"), [("users.jsonl", LINES), ("users.csv", TABLE)], ids=["jsonl", "csv"])


def line(**record: Any) -> bytes:
    return json.dumps(record).encode() + b"\n"


def refused(path: Path) -> ConfigError:
    """The error with which a manifest is refused; it has a hint."""
    with pytest.raises(ConfigError) as caught:
        read_manifest(path)
    assert caught.value.hint
    return caught.value


# --- what is read --------------------------------------------------------------------------------


@BOTH
def test_users_come_in_the_order_of_the_file(tmp_path: Path, name: str, data: bytes) -> None:
    assert read_manifest(written(tmp_path / name, data)) == [ANA, BEN]


@BOTH
@pytest.mark.parametrize("mark", [b"", BYTE_ORDER_MARK], ids=["", "BOM"])
@pytest.mark.parametrize("ends", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("last", [True, False], ids=["", "no last newline"])
def test_how_lines_begin_and_end_does_not_matter(
    tmp_path: Path, name: str, data: bytes, mark: bytes, ends: bytes, last: bool
) -> None:
    text = mark + (data if last else data.rstrip(b"\n")).replace(b"\n", ends)
    assert read_manifest(written(tmp_path / name, text)) == [ANA, BEN]


@BOTH
def test_empty_lines_are_passed_over(tmp_path: Path, name: str, data: bytes) -> None:
    assert read_manifest(written(tmp_path / name, data.replace(b"\n", b"\n\n"))) == [ANA, BEN]


@pytest.mark.parametrize(
    ("name", "data"), [("users.jsonl", b""), ("users.csv", b""), ("users.csv", b"user_id,source\n")]
)
def test_a_manifest_of_nobody_is_no_error(tmp_path: Path, name: str, data: bytes) -> None:
    assert read_manifest(written(tmp_path / name, data)) == []


def test_a_table_is_known_by_its_ending_in_any_case(tmp_path: Path) -> None:
    assert read_manifest(written(tmp_path / "USERS.CSV", TABLE)) == [ANA, BEN]


def test_what_is_quoted_may_hold_commas_quotes_and_lines(tmp_path: Path) -> None:
    data = b'source,notes,user_id\n"a, ""b"".zip","two\nlines",ana\n'
    assert read_manifest(written(tmp_path / "users.csv", data)) == [UserSource("ana", 'a, "b".zip')]


def test_what_json_lets_a_text_hold_is_no_end_of_a_line(tmp_path: Path) -> None:
    """U+2028 and U+0085 end lines of Python's, not of JSON's."""
    data = '{"user_id":"ana","source":"a\u2028b\u0085c.zip"}\n'.encode()
    assert read_manifest(written(tmp_path / "users.jsonl", data)) == [UserSource("ana", "a\u2028b\u0085c.zip")]


def test_other_fields_are_nobodys_business(tmp_path: Path) -> None:
    data = line(user_id="ana", source="a.zip", plan={"name": "pro"}) + line(
        user_id="ben", source="b.zip", updated_at=""
    )
    assert read_manifest(written(tmp_path / "users.jsonl", data)) == [
        UserSource("ana", "a.zip"),
        UserSource("ben", "b.zip"),
    ]


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("1970-01-02", 86_400.0),
        ("1970-01-02T00:00:00", 86_400.0),
        ("1970-01-02T00:00:00Z", 86_400.0),
        ("1970-01-02 01:00:00+01:00", 86_400.0),
        ("1970-01-01T23:00:00.500-01:00", 86_400.5),
    ],
)
def test_times_are_in_utc_unless_they_say_otherwise(tmp_path: Path, time: str, seconds: float) -> None:
    assert seconds_of(time) == seconds
    user = UserSource("ana", "a.zip", seconds)
    assert read_manifest(written(tmp_path / "a.jsonl", line(user_id="ana", source="a.zip", updated_at=time))) == [user]
    table = f"user_id,source,updated_at\nana,a.zip,{time}\n".encode()
    assert read_manifest(written(tmp_path / "a.csv", table)) == [user]


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        pytest.param(b"{\n", "not a valid record", id="no JSON"),
        pytest.param(b"[" * 100_000 + b"\n", "not a valid record", id="deep JSON"),
        pytest.param(b'["ana","a.zip"]\n', "not a valid record", id="an array"),
        pytest.param(line(source="a.zip"), "user_id is missing", id="user_id is missing"),
        pytest.param(line(user_id=7, source="a.zip"), "user_id is not a string", id="a number as user_id"),
        pytest.param(line(user_id="", source="a.zip"), "user_id is missing", id="an empty user_id"),
        pytest.param(line(user_id="  ", source="a.zip"), "user_id is missing", id="a blank user_id"),
        pytest.param(line(user_id="a\0b", source="a.zip"), "non-printable", id="a user_id with NUL"),
        pytest.param(line(user_id="a\nb", source="a.zip"), "non-printable", id="a user_id of two lines"),
        pytest.param(line(user_id="a\ud800", source="a.zip"), "non-printable", id="a user_id that is no UTF-8"),
        pytest.param(line(user_id="a" * 256, source="a.zip"), "longer than 255", id="a long user_id"),
        pytest.param(line(user_id="ana"), "source is missing", id="source is missing"),
        pytest.param(line(user_id="ana", source=""), "source is missing", id="an empty source"),
        pytest.param(line(user_id="ana", source=" "), "source is missing", id="a blank source"),
        pytest.param(line(user_id="ana", source=["a.zip"]), "source is missing", id="two sources"),
        pytest.param(line(user_id="ana", source="a.zip", updated_at="soon"), "not a valid time", id="no time"),
        pytest.param(line(user_id="ana", source="a.zip", updated_at=1_700_000_000), "valid", id="a number as time"),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, bad: bytes, what: str) -> None:
    path = written(tmp_path / "users.jsonl", LINES + b"\n" + bad + line(user_id="eve", source="e.zip"))
    error = refused(path)
    assert f"{path}, line 4" in error.message
    assert what in error.message


@pytest.mark.parametrize(
    ("data", "number", "what"),
    [
        pytest.param(b"user_id,source\nana,a.zip\n,b.zip\n", 3, "user_id is missing", id="user_id is missing"),
        pytest.param(b"user_id,source\nana\n", 2, "source is missing", id="source is missing"),
        pytest.param(b"user_id,source\nana,\n", 2, "source is missing", id="an empty source"),
        pytest.param(b"ana,a.zip\nben,b.zip\n", 1, "column user_id is missing", id="no header"),
        pytest.param(b"user_id;source\nana;a.zip\n", 1, "column user_id is missing", id="semicolons"),
        pytest.param(b"user_id,source\nana,%s\n" % (b"x" * 200_000), 2, "not a valid", id="a field without an end"),
        pytest.param(b"user_id,path\nana,a.zip\n", 1, "column source is missing", id="no column of sources"),
        pytest.param(LINES, 1, "column user_id is missing", id="JSON lines"),
        pytest.param(b"user_id,source,updated_at\nana,a.zip,1.5.2026\n", 2, "not a valid time", id="no time"),
    ],
)
def test_a_bad_line_of_a_table_is_named_by_its_number(tmp_path: Path, data: bytes, number: int, what: str) -> None:
    path = written(tmp_path / "users.csv", data)
    error = refused(path)
    assert f"{path}, line {number}" in error.message
    assert what in error.message


@pytest.mark.parametrize("data", [None, b"\xff\xfe{\x00}\x00"], ids=["nothing there", "UTF-16"])
@pytest.mark.parametrize("name", ["users.jsonl", "users.csv"])
def test_what_cannot_be_read_is_refused(tmp_path: Path, name: str, data: bytes | None) -> None:
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    assert (f"There is no file {path}" if data is None else f"{path} cannot be read") in refused(path).message


# --- who is meant --------------------------------------------------------------------------------


def test_a_user_who_is_named_again_is_there_once() -> None:
    assert unique([ANA, BEN, ANA]) == [ANA, BEN]


def test_of_a_user_who_is_named_again_the_later_time_counts() -> None:
    old, new = UserSource("ana", "a.zip", 1.0), UserSource("ana", "a.zip", 2.0)
    for users in ([old, new], [new, old]):
        assert unique(users) == [new]
    assert unique([new, UserSource("ana", "a.zip")]) == [UserSource("ana", "a.zip")], "it may be newer yet"


def test_a_user_with_two_sources_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "users.jsonl", LINES + line(user_id="ana", source="other.zip"))
    assert "ana is listed with two sources" in refused(path).message


OLD, NEW, UNKNOWN = (
    UserSource(name, f"{name}.zip", time) for name, time in (("old", 10.0), ("new", 20.0), ("x", None))
)
ALL = [OLD, NEW, UNKNOWN]


def test_users_are_chosen_by_name_in_the_order_of_the_manifest() -> None:
    assert only_those(ALL, ()) == ALL
    assert only_those(ALL, ("x", "old")) == [OLD, UNKNOWN]


def test_a_user_who_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="the user 'nobody' is not among the 3"):
        only_those(ALL, ["old", "nobody"])


@pytest.mark.parametrize(
    ("since", "limit", "chosen", "unknown"),
    [
        pytest.param(20.0, None, [NEW, UNKNOWN], 1, id="what is as old, and what nobody knows"),
        pytest.param(20.0, 1, [NEW], 0, id="a limit of what is left"),
        pytest.param(21.0, 1, [UNKNOWN], 1, id="only what nobody knows"),
        pytest.param(0.0, 9, ALL, 1, id="a limit beyond all"),
    ],
)
def test_users_are_chosen_by_the_age_of_their_exports(
    since: float, limit: int | None, chosen: list[UserSource], unknown: int
) -> None:
    assert not_older(ALL, since, limit) == (chosen, unknown)


def test_a_file_of_this_machine_tells_how_old_it_is_where_the_manifest_does_not(tmp_path: Path) -> None:
    old, new, folder = tmp_path / "old.zip", tmp_path / "new.zip", tmp_path / "folder"
    folder.mkdir()
    for path, seconds in ((old, 10), (new, 20), (folder / "a.json", 10), (folder / "b.json", 20)):
        path.touch()
        os.utime(path, (seconds, seconds))
    users = [UserSource(str(path), str(path)) for path in (old, new, folder, tmp_path / "missing.zip")]
    said = UserSource("said", str(old), 30.0)
    assert not_older([*users, said], 20.0, None) == ([*users[1:], said], 1)


def test_seen_bytes_is_the_size_of_a_file_or_a_folder_when_it_may_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    for name in ("a.json", "export/b.json", "export/c.json"):
        (tmp_path / name).write_bytes(b"12345")
    assert seen_bytes(UserSource("ana", str(tmp_path / "a.json"))) == 5
    assert seen_bytes(UserSource("ana", str(tmp_path / "export"))) == 10
    assert seen_bytes(UserSource("ana", str(tmp_path / "gone.json"))) == 0
    elsewhere = SourceRules(files_under=(str(tmp_path / "export"),))
    assert seen_bytes(UserSource("ana", str(tmp_path / "a.json")), elsewhere) == 0


def test_seen_bytes_is_what_the_list_knows_when_the_export_is_on_a_server() -> None:
    assert seen_bytes(UserSource("ana", "supabase://exports/ana.zip", size_bytes=7)) == 7
    assert seen_bytes(UserSource("ana", "https://host.example/ana.zip")) is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("users.jsonl", '{"user_id": "ben"}\n\n{"user_id": "ana", "source": "x.zip"}\n{"user_id": "ben"}\n'),
        ("users.csv", "user_id\nben\nana\nben\n"),
    ],
)
def test_user_ids_are_read_once_and_in_order_when_no_source_is_named(tmp_path: Path, name: str, text: str) -> None:
    assert read_user_ids(written(tmp_path / name, text.encode())) == ["ben", "ana"]


def test_user_ids_name_the_line_when_one_is_missing(tmp_path: Path) -> None:
    path = written(tmp_path / "users.jsonl", b'{"user_id": "ben"}\n{"source": "x.zip"}\n')
    with pytest.raises(ConfigError, match="line 2: user_id is missing"):
        read_user_ids(path)
    with pytest.raises(ConfigError, match="the column user_id is missing"):
        read_user_ids(written(tmp_path / "users.csv", b"id\n1\n"))
