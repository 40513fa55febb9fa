import gzip
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from ray_import.chunks.rows import ImportJob
from ray_import.destinations.sqlite.sink import SqliteSink
from tests.cli.commands import Ended, ended, environment, ray_import, started
from tests.unit.pipeline.webhook import webhook
from tests.unit.source.exports import conversation, exported, written, zipped
from tests.unit.source.test_products import CLAUDE, DEEPSEEK, GEMINI, GROK

SECRET = "xyzzy-my-doctor-said"
FOLDER = {"title": "a folder"}

GOOD = exported(
    [conversation("a", "One.", "Two."), conversation("b", f"{SECRET} é\n日\u2028本", "Yes.", "No."), FOLDER]
)
CUT_OFF = GOOD[:-100]
BAD_ITEM = b"[" + exported([conversation("a")])[1:-1] + b',{"title":"' + SECRET.encode() + b'","mapping":{},"x":NaN}]'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    written(tmp_path / "good.json", GOOD)
    written(tmp_path / "cut-off.json", CUT_OFF)
    written(tmp_path / "bad item.json", BAD_ITEM)
    written(tmp_path / "page.json", f"<html>{SECRET}</html>".encode())
    written(tmp_path / "text.txt", SECRET.encode())
    written(tmp_path / "empty.json", b"")
    written(tmp_path / "user.json", orjson.dumps({"id": "user-1", "email": SECRET}))
    written(tmp_path / "no chats.zip", zipped({"user.json": b"{}", "chat.html": b"<html>"}))
    written(tmp_path / "cut off.zip", zipped({"conversations.json": GOOD})[:-40])
    written(tmp_path / "cut off early.zip", zipped({"conversations.json": GOOD})[:40])
    (tmp_path / "a folder").mkdir()
    return tmp_path


def is_an_error(result: Ended, code: int) -> bool:
    """Whether it ended as errors of ours do: with its code, in one or two lines, without a traceback."""
    return (
        result.code == code
        and 1 <= len(result.err_lines) <= 2
        and result.err.startswith("error: ")
        and "Traceback" not in result.err
        and "fault" not in result.err
    )


# --- exit codes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "source", "code"),
    [
        ("inspect", "good.json", 0),
        ("inspect", "cut-off.json", 1),
        ("inspect", "cut off.zip", 1),
        ("inspect", "bad item.json", 1),
        ("extract", "good.json", 0),
        ("extract", "cut-off.json", 1),
        ("extract", "missing.json", 2),
        ("extract", "page.json", 3),
    ],
)
def test_the_exit_code_tells_whether_all_some_or_nothing_could_be_read(
    folder: Path, command: str, source: str, code: int
) -> None:
    result = ray_import(folder, command, source)
    assert result.code == code
    assert "Traceback" not in result.err
    assert (result.out == b"") == (code > 1)


@pytest.mark.parametrize(
    ("source", "code", "what"),
    [
        pytest.param("missing.json", 2, "There is no file or folder missing.json", id="missing"),
        pytest.param("x" * 300, 2, "", id="a name too long to be one"),
        pytest.param("empty.json", 3, "empty.json is empty", id="empty"),
        pytest.param("page.json", 3, "page.json is a web page", id="web page"),
        pytest.param("text.txt", 3, "text.txt is not an export: expected", id="text"),
        pytest.param("user.json", 3, "holds no conversations", id="JSON without conversations"),
        pytest.param("no chats.zip", 3, "holds no conversations: no conversations.json", id="other ZIP"),
        pytest.param("a folder", 3, "a folder holds no conversations", id="empty folder"),
        pytest.param("cut off early.zip", 3, "cut off early.zip is damaged or cut off", id="cut off ZIP"),
    ],
)
def test_what_is_no_export_is_an_error_that_says_what_it_is(folder: Path, source: str, code: int, what: str) -> None:
    result = ray_import(folder, "inspect", source)
    assert is_an_error(result, code), result
    assert what in result.err
    assert result.out == b""


@pytest.mark.parametrize(
    ("sources", "code", "what"),
    [
        (["missing.json"], 2, "There is no file or folder missing.json"),
        (["page.json"], 3, "page.json is a web page"),
        (["no chats.zip"], 3, "holds no conversations"),
        (["missing.json", "page.json"], 2, "missing.json"),
    ],
)
def test_where_no_source_is_good_a_run_ends_before_ray_is_started_or_anything_is_made(
    folder: Path, sources: list[str], code: int, what: str
) -> None:
    before = sorted(folder.rglob("*"))
    result = ray_import(folder, "run", *sources)
    assert is_an_error(result, code), result
    assert what in result.err
    assert "starting Ray" not in result.err
    assert (result.out, sorted(folder.rglob("*"))) == (b"", before)


@pytest.mark.parametrize(
    ("command", "item", "product"),
    [
        ("inspect", CLAUDE, "Claude"),
        ("inspect", DEEPSEEK, "DeepSeek"),
        ("extract", GROK, "Grok"),
        ("run", GEMINI, "Gemini"),
    ],
)
def test_another_products_export_is_named(folder: Path, command: str, item: Any, product: str) -> None:
    written(folder / "other.zip", zipped({"conversations.json": exported([item])}))
    result = ray_import(folder, command, "other.zip")
    assert is_an_error(result, 3)
    assert f"looks like a {product} export; only ChatGPT exports are supported" in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["inspect", "good.json", "--chunk-tokens", "49"], id="chunks too small"),
        pytest.param(["inspect", "good.json", "--overlap-tokens", "1001"], id="overlap too large"),
        pytest.param(["run", "good.json", "--batch-bytes", "0"], id="no batches"),
        pytest.param(["run", "good.json", "--batch-bytes", "33554433"], id="batches too large"),
        pytest.param(["run", "good.json", "--workers", "0"], id="no workers"),
        pytest.param(["run", "good.json", "--user-id", ""], id="empty user"),
        pytest.param(["run", "good.json", "--user-id", " \t"], id="blank user"),
        pytest.param(["run", "good.json", "--user-id", "a\nb"], id="user of two lines"),
        pytest.param(["run", "good.json", "--to", "chunks.db"], id="a path alone"),
        pytest.param(["run", "good.json", "--to", "sqlite://chunks.db"], id="two slashes"),
        pytest.param(["run", "good.json", "--to", "sqlite:///"], id="no path"),
        pytest.param(["run", "good.json", "--to", "sqlite:///:memory:"], id="in memory"),
        pytest.param(["run", "good.json", "--to", "mysql://host/db"], id="another database"),
        pytest.param(["run", "good.json", "--to", "sqlite:///a folder"], id="a folder"),
        pytest.param(["run", "good.json", "--to", "sqlite:///~nobody-of-that-name/chunks.db"], id="nobody's home"),
        pytest.param(["run", ""], id="empty source"),
        pytest.param(["run", "good.json", " "], id="blank source"),
        pytest.param(["extract", ""], id="extract of an empty source"),
        pytest.param(["run", "good.json", "--to", ""], id="empty destination"),
        pytest.param(["run", "good.json", "--to="], id="empty destination after an equals sign"),
        pytest.param(["run", "good.json", "--profile-table", ""], id="empty table"),
        pytest.param(["run", "good.json", "--profile-pending"], id="later steps without a table"),
        pytest.param(["status", "--to", " "], id="blank destination"),
        pytest.param(["status", "--user-id", ""], id="status of an empty user"),
        pytest.param(["retry-rejects", "--user-id", ""], id="rejects of an empty user"),
        pytest.param(["reimport", "--users", ""], id="empty list of users"),
        pytest.param(["reimport", "--users", "users.jsonl", "--only", ""], id="only an empty user"),
        pytest.param(["status", "--to", "sqlite:///missing.db"], id="status of nothing"),
        pytest.param(["status"], id="status of nothing by default"),
    ],
)
def test_what_cannot_be_meant_is_an_error_before_anything_is_done(folder: Path, arguments: list[str]) -> None:
    before = sorted(folder.rglob("*"))
    result = ray_import(folder, *arguments)
    assert is_an_error(result, 2), result
    assert result.out == b""
    assert "starting Ray" not in result.err
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect"],
        ["inspect", "good.json", "--chunk-tokens", "many"],
        ["inspect", "good.json", "--branches", "some"],
        ["no-such-command"],
    ],
)
def test_what_is_no_command_line_has_the_same_exit_code(folder: Path, arguments: list[str]) -> None:
    result = ray_import(folder, *arguments)
    assert (result.code, result.out) == (2, b"")
    assert "Traceback" not in result.err


@pytest.mark.parametrize("to", ["sqlite:///theirs.db", "sqlite:///good.json", "sqlite:///no/folder/chunks.db"])
def test_a_destination_that_cannot_be_is_an_error_before_ray_is_started(folder: Path, to: str) -> None:
    with closing(sqlite3.connect(folder / "theirs.db")) as db:
        db.execute("CREATE TABLE notes (text)")
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    result = ray_import(folder, "run", "good.json", "--to", to)
    assert is_an_error(result, 3)
    assert len(result.err_lines) == 2, "there is a hint"
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before


def test_run_shows_what_it_would_read_when_it_is_a_dry_run(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    sources = ("good.json", "cut off.zip", "https://127.0.0.1:9/export.zip?token=secret")
    result = ray_import(folder, "run", *sources, "--dry-run", "--json", "--user-id", "ana", "--workers", "3")
    assert result.code == 0, result.err
    assert [(user["user_id"], user["state"], user["size_bytes"]) for user in result.json["users"]] == [
        ("ana", "read", (folder / "good.json").stat().st_size),
        ("ana", "read", (folder / "cut off.zip").stat().st_size),
        ("ana", "read", None),
    ]
    assert (result.json["unknown_sizes"], result.json["estimate"]["workers"]) == (1, 3)
    assert b"secret" not in result.out
    shown = ray_import(folder, "run", "good.json", "missing.json", "--dry-run")
    assert shown.code == 1
    assert b"missing" in shown.out
    assert sorted(folder.rglob("*")) == before


# --- JSON ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "problems"), [("good.json", []), ("cut-off.json", ["truncated", "reject"])])
def test_inspect_prints_one_json_object(folder: Path, source: str, problems: list[str]) -> None:
    result = ray_import(folder, "inspect", source, "--json")
    assert result.code == bool(problems)
    assert result.err == ""
    found = result.json
    assert list(found) == [
        "source", "conversations", "nodes", "messages", "threads", "dates", "chunks", "notes", "problems",
    ]  # fmt: skip
    assert found["source"] == source
    assert [problem["kind"] for problem in found["problems"]] == problems
    counts = found["conversations"]
    assert counts.pop("seen") == sum(counts.values()) > 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["missing.json"], 2),
        (["page.json"], 3),
        (["good.json", "--to", "x"], 2),
        (["good.json", "--to", "sqlite:///no/folder/x.db"], 3),
        (["good.json", "--chunk-tokens", "1"], 2),
    ],
)
def test_a_run_that_failed_prints_one_json_object_too(folder: Path, arguments: list[str], code: int) -> None:
    result = ray_import(folder, "run", "--json", *arguments)
    assert is_an_error(result, code)
    assert result.json["status"] == "failed"
    assert result.json["error"].splitlines() == [result.err_lines[0].removeprefix("error: "), *result.err_lines[1:]]


def test_status_prints_the_imports_newest_first(folder: Path) -> None:
    with closing(SqliteSink(folder / "chunks.db")) as sink:
        for i, (status, error) in enumerate((("complete", None), ("failed", "The disk is full."), ("partial", None))):
            sink.start_job(ImportJob(f"import-{i}", "u1", 1_790_000_000.0 + i), f"/exports/[{i}].zip", "host/1")
            sink.update_job(f"import-{i}", {"conversations": {"imported": 7}}, status, error)  # type: ignore[arg-type]
    shown = ray_import(folder, "status")
    assert (shown.code, shown.err) == (0, "")
    lines = shown.out.decode().splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["import-2", "import-1", "import-0"]
    assert "failed: The disk is full." in lines[2]
    assert "/exports/[1].zip" in lines[2]

    as_json = ray_import(folder, "status", "--to", "sqlite:///chunks.db", "--json")
    assert (as_json.code, as_json.err) == (0, "")
    assert [job["id"] for job in as_json.json["jobs"]] == ["import-2", "import-1", "import-0"]
    assert list(as_json.json["jobs"][0]) == [
        "id", "user_id", "source", "status", "counts", "error", "started_at", "updated_at", "finished_at",
    ]  # fmt: skip


def test_status_tells_the_newest_and_that_there_are_more(folder: Path) -> None:
    with closing(SqliteSink(folder / "chunks.db")) as sink:
        for number, user in enumerate(("ana", "ben", "ana")):
            sink.start_job(ImportJob(f"import-{number}", user, 1_790_000_000.0 + number), "x", "host/1")
            sink.update_job(f"import-{number}", {}, "complete")
    newest = ray_import(folder, "status", "--json", "--limit", "2")
    assert [job["id"] for job in newest.json["jobs"]] == ["import-2", "import-1"]
    assert "the newest 2" in newest.err
    of_ana = ray_import(folder, "status", "--json", "--limit", "2", "--user-id", "ana")
    assert ([job["id"] for job in of_ana.json["jobs"]], of_ana.err) == (["import-2", "import-0"], "")


def test_status_of_a_destination_without_imports_says_so(folder: Path) -> None:
    SqliteSink(folder / "chunks.db").close()
    assert ray_import(folder, "status").out == b"No imports yet.\n"
    assert ray_import(folder, "status", "--json").json == {"jobs": []}


def test_status_changes_nothing(folder: Path) -> None:
    with closing(SqliteSink(folder / "chunks.db")) as sink:
        sink.start_job(ImportJob("import-1", "u1", 1_790_000_000.0), "x", "host/1")
    before = (folder / "chunks.db").read_bytes()
    assert ray_import(folder, "status").code == 0
    assert (folder / "chunks.db").read_bytes() == before


# --- extract -------------------------------------------------------------------------------------


def test_extract_prints_one_message_a_line_with_its_keys_in_order(folder: Path) -> None:
    result = ray_import(folder, "extract", "good.json")
    lines = result.out.split(b"\n")
    assert lines.pop() == b""
    messages = [orjson.loads(line) for line in lines]
    assert {tuple(message) for message in messages} == {
        (
            "conversation_id", "title", "node_id", "parent_id", "thread", "on_active_path", "position", "role",
            "create_time", "model", "quoted", "text", "attachments",
        )
    }  # fmt: skip
    assert [(m["conversation_id"], m["role"], m["text"]) for m in messages] == [
        ("a", "user", "One."),
        ("a", "assistant", "Two."),
        ("b", "user", f"{SECRET} é\n日\u2028本"),
        ("b", "assistant", "Yes."),
        ("b", "user", "No."),
    ]
    assert "日".encode() in result.out


def test_extract_prints_one_copy_when_a_file_holds_two(folder: Path) -> None:
    copies = [
        conversation("a", "New."),
        conversation("a", "Old.") | {"update_time": "2020-01-01T00:00:05Z"},
        conversation("b", "Other."),
    ]
    written(folder / "copies.json", exported(copies))
    result = ray_import(folder, "extract", "copies.json")
    lines = [orjson.loads(line) for line in result.out.splitlines()]
    assert [(line["conversation_id"], line["text"]) for line in lines] == [("a", "New."), ("b", "Other.")]
    assert result.code == 0


def test_extract_prints_the_same_when_the_export_comes_through_standard_input(folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ray_import", "extract", "/dev/stdin"],
        cwd=folder, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = process.communicate((folder / "good.json").read_bytes(), timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert out == ray_import(folder, "extract", "good.json").out != b""


def test_extract_escapes_control_characters_on_a_terminal(folder: Path) -> None:
    text = "é\x7f\x85\x9b2J"
    written(folder / "controls.json", exported([conversation("a", text)]))
    ours, its = os.openpty()
    with os.fdopen(ours, "rb") as terminal, os.fdopen(its, "wb") as end:
        command = [sys.executable, "-m", "ray_import", "extract", "controls.json"]
        subprocess.run(command, cwd=folder, env=environment(), stdout=end, timeout=60, check=True)
        line = terminal.readline().decode()
    assert orjson.loads(line)["text"] == text
    assert [character for character in line.rstrip() if not character.isprintable()] == []
    assert text in ray_import(folder, "extract", "controls.json").out.decode()


def test_extract_tells_problems_on_standard_error_alone(folder: Path) -> None:
    result = ray_import(folder, "extract", "bad item.json")
    assert [orjson.loads(line)["conversation_id"] for line in result.out.splitlines()] == ["a", "a"]
    assert result.err == "reject: bad item.json, item 1: invalid_json\n"


def test_extract_gives_all_branches_or_the_active_one(folder: Path) -> None:
    item = conversation("a", "Where?", "Here.")
    again = orjson.loads(orjson.dumps(item["mapping"]["a-1"])) | {"id": "again"}
    again["message"]["content"]["parts"] = ["There."]
    item["mapping"]["again"] = again
    written(folder / "branches.json", exported([item]))
    texts = {
        branches: [orjson.loads(line)["text"] for line in ray_import(folder, "extract", *chosen).out.splitlines()]
        for branches, chosen in {
            "default": ["branches.json"],
            "active": ["branches.json", "--branches", "active"],
        }.items()
    }
    assert texts == {"default": ["Where?", "Here.", "There."], "active": ["Where?", "Here."]}


def test_sources_may_be_packed(folder: Path) -> None:
    plain = ray_import(folder, "extract", "good.json").out
    written(folder / "x.zip", zipped({"conversations.json": GOOD}))
    written(folder / "x.gz", gzip.compress(GOOD))
    written(folder / "unpacked" / "conversations.json", GOOD)
    assert [ray_import(folder, "extract", source).out for source in ("x.zip", "x.gz", "unpacked")] == [plain] * 3


# --- pipes and signals ---------------------------------------------------------------------------


@pytest.fixture
def long_export(folder: Path) -> str:
    written(folder / "long.json", exported([conversation(f"c{i}", "x" * 20_000) for i in range(200)]))
    return "long.json"


def test_a_pipe_whose_reader_has_gone_is_no_error(folder: Path, long_export: str) -> None:
    """As with `ray-import extract … | head -1`."""
    process = started(folder, "extract", long_export)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith(b'{"conversation_id":"c0"')
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_conversation_over_the_bytes_that_are_allowed_is_a_reject_with_a_reason(folder: Path) -> None:
    """`run` and `reimport` hand the same option down; they need Ray."""
    export = exported([conversation("a", "x" * 5000), conversation("b", "Short.")])
    written(folder / "large.json", export)
    for command in ("inspect", "extract"):
        result = ray_import(folder, command, "large.json", "--max-conversation-bytes", "4000")
        assert result.code == 1
        assert "reject: large.json, item 0: too_large" in (result.err + result.out.decode())
        assert ray_import(folder, command, "large.json").code == 0
    (left,) = map(
        orjson.loads, ray_import(folder, "extract", "large.json", "--max-conversation-bytes", "4000").out.splitlines()
    )
    assert left["conversation_id"] == "b"


@pytest.mark.parametrize(
    "command", [["run", "good.json"], ["inspect", "good.json"], ["extract", "good.json"], ["reimport", "--users", "u"]]
)
def test_so_many_bytes_of_a_conversation_that_cannot_be_are_an_error(folder: Path, command: list[str]) -> None:
    result = ray_import(folder, *command, "--max-conversation-bytes", "0")
    assert is_an_error(result, 2)
    assert "--max-conversation-bytes 0 is too small: the minimum is 1" in result.err


@pytest.mark.parametrize("arguments", [["inspect", "good.json"], ["inspect", "good.json", "--json"]])
def test_a_pipe_that_nobody_reads_is_no_error(folder: Path, arguments: list[str]) -> None:
    process = started(folder, *arguments)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()  # long before the first line
    assert process.wait(60) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


def test_an_interruption_is_told_in_a_word(folder: Path, long_export: str) -> None:
    process = started(folder, "extract", long_export)
    assert process.stdout is not None
    process.stdout.readline()  # from here on it waits for its reader
    process.send_signal(signal.SIGINT)
    result = ended(process)
    assert (result.code, result.err) == (3, "interrupted\n")


# --- words and names -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "good.json"],
        ["inspect", "cut-off.json", "--json"],
        ["inspect", "bad item.json", "--json"],
        ["inspect", "user.json"],
        ["extract", "text.txt"],
        ["run", "--json", "text.txt", "page.json"],
        ["run", "other.json"],
    ],
)
def test_nothing_but_extract_ever_says_what_a_user_wrote(folder: Path, arguments: list[str]) -> None:
    written(folder / "other.json", exported([CLAUDE | {"name": SECRET}]))
    result = ray_import(folder, *arguments)
    assert SECRET not in result.err
    assert SECRET.encode() not in result.out


def test_debugging_shows_the_traceback(folder: Path) -> None:
    result = ray_import(folder, "--debug", "inspect", "page.json")
    assert result.code == 3
    assert "Traceback" in result.err
    assert "NotAnExport" in result.err


@pytest.mark.parametrize("name", ["[bold]x[/bold].json", "[/b].json", "a [red] b.json", "{x} %s.json"])
def test_a_name_is_shown_as_it_is(folder: Path, name: str) -> None:
    written(folder / name, GOOD)
    shown = ray_import(folder, "inspect", name)
    assert (shown.code, shown.err) == (0, "")
    assert name in shown.out.decode()


def test_a_name_in_an_error_is_shown_as_it_is(folder: Path) -> None:
    assert "There is no file or folder [/b] [red]x.json." in ray_import(folder, "inspect", "[/b] [red]x.json").err


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems take names in UTF-8 alone")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_name_that_is_no_utf_8_is_read(folder: Path, options: list[str]) -> None:
    name = b"caf\xe9.json"
    Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(GOOD)
    result = ray_import(folder, "inspect", name, *options)
    assert (result.code, result.err) == (0, "")
    assert b"caf" in result.out


@pytest.mark.parametrize("name", ["a\nb\nc\nd", "\x1b[2J\x1b]0;owned\x07"], ids=["lines", "escapes"])
def test_names_in_an_archive_do_not_steer_the_terminal(folder: Path, name: str) -> None:
    archive = bytearray(zipped({f"{name}/conversations.json": GOOD}))
    archive[archive.index(b"PK\x01\x02") + 8] |= 1  # encrypted, says the directory
    written(folder / "x.zip", bytes(archive))
    result = ray_import(folder, "inspect", "x.zip")
    assert is_an_error(result, 3)
    assert "\x1b" not in result.err
    assert "\r" not in result.err


# --- help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_is_on_standard_output(folder: Path, arguments: list[str]) -> None:
    result = ray_import(folder, *arguments)
    assert (result.code, result.err) == (0, "")
    assert result.out


def test_a_run_over_many_users_that_cannot_begin_tells_the_webhook_unless_it_is_used_wrongly(folder: Path) -> None:
    (folder / "users.jsonl").write_text('{"user_id": "ada-lovelace", "source": "good.json"}\n')
    with webhook() as hook:
        (folder / ".env").write_text(f"ALERT_WEBHOOK={hook.url}\n")
        wrong = ray_import(folder, "reimport", "--users", "none.jsonl")
        assert (wrong.code, hook.messages()) == (2, [])
        assert ray_import(folder, "reimport", "--users", "users.jsonl", "--to", "sqlite:///page.json").code == 3
        [message] = hook.messages()
    assert message.pop("seconds") < 60
    assert message == {"event": "died", "run_id": None, "what": "manifest", "states": {}, "error": "SinkError"}


@pytest.mark.ray
def test_run_writes_again_with_as_many_workers_as_allowed_when_it_is_forced(tmp_path: Path) -> None:
    export = written(tmp_path / "conversations.json", exported([conversation("a", "One.", "Two.")]))
    command = ("run", str(export), "--json", "--workers", "2", "--max-connections", "1")
    first, again, forced = (ray_import(tmp_path, *command, *options) for options in ((), (), ("--force",)))
    assert [ended.json["workers"] for ended in (first, again, forced)] == [1, 1, 1]
    imported = [(ended.json["conversations"]["imported"], ended.json["conversations"]["unchanged"])
                for ended in (first, again, forced)]  # fmt: skip
    assert imported == [(1, 0), (0, 1), (1, 0)]
    with closing(sqlite3.connect(tmp_path / "chunks.db")) as db:
        assert db.execute("SELECT count(*) FROM import_runs").fetchall() == [(0,)]


@pytest.mark.ray
def test_run_stores_messages_unless_they_are_not_wanted(tmp_path: Path) -> None:
    export = written(tmp_path / "conversations.json", exported([conversation("a", "One.", "Two.")]))
    for options, expected in (([], [("One.",), ("Two.",)]), (["--no-messages"], [])):
        assert ray_import(tmp_path, "run", str(export), "--workers", "1", *options).code == 0
        with closing(sqlite3.connect(tmp_path / "chunks.db")) as db:
            assert db.execute("SELECT text FROM conversation_messages ORDER BY position").fetchall() == expected
            assert db.execute("SELECT message_count, chunk_count FROM conversations").fetchall() == [(2, 1)]
