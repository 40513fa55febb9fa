"""`ray-import show` prints each message of a stored conversation once, and nothing that steers a terminal."""

import io
import json
import shutil
from contextlib import closing
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from ray_import.chunks.rows import iso_time
from ray_import.cli.app import app
from ray_import.cli.output import print_json
from ray_import.cli.show import printable, show_conversation
from ray_import.destinations.sqlite.sink import SqliteSink
from tests.contract.destinations import SETTINGS, import_of, rows_for
from tests.golden.record import EXAMPLES, HERE, messages_of
from tests.unit.pipeline.runs import Database
from tests.unit.source.exports import conversation, exported, written

HOSTILE = (
    "red \x1b[31mtext\x1b[0m, \x1b]0;title\x07a title, \x9b2Jclear, \x1b]8;;http://x\x1b\\link, bell\x07, \rover\x08"
)


def show(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["show", *arguments, "--to", f"sqlite:///{folder / 'chunks.db'}"])


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All golden exports, each a user's."""
    folder = tmp_path_factory.mktemp("golden")
    database = Database(folder / "chunks.db")
    for name in EXAMPLES:
        database.imported(HERE / f"{name}.json", user_id=name)
    return folder


def conversations_of(name: str) -> dict[str, list[dict[str, Any]]]:
    """What `extract` prints of a golden export, by conversation."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in messages_of(name).splitlines():
        message = json.loads(line)
        found.setdefault(message["conversation_id"], []).append(message)
    return found


def before_text(message: dict[str, Any]) -> str:
    return f"[attached: {', '.join(message['attachments'])}]\n\n" if message["attachments"] else ""


@pytest.mark.parametrize("name", EXAMPLES)
def test_show_gives_each_kept_message_once_in_order_for_every_conversation(golden: Path, name: str) -> None:
    for conversation_id, messages in conversations_of(name).items():
        result = show(golden, conversation_id, "--user-id", name, "--raw")
        assert result.exit_code == 0, result.output
        head, rest = result.stdout_bytes.decode().split("## 1. ", 1)
        assert head.startswith(f"# {messages[0]['title'] or 'Untitled'}\n\n")
        for number, message in enumerate(messages, 1):
            heading, rest = rest.split("\n\n", 1)
            assert heading.startswith(message["role"].capitalize())
            body = before_text(message) + message["text"]
            assert rest.startswith(body)
            rest = rest.removeprefix(body)
            if number < len(messages):
                assert rest.startswith(f"\n\n## {number + 1}. ")
                rest = rest.removeprefix(f"\n\n## {number + 1}. ")
        assert rest == "\n"


def own_words(message: dict[str, Any]) -> str:
    """The text without the quoted words before it, which `--json` gives apart only."""
    quote = "".join(f"> {line}\n" for line in message["quoted"].split("\n")) + "\n" if message["quoted"] else ""
    assert message["text"].startswith(quote)
    return str(message["text"]).removeprefix(quote)


@pytest.mark.parametrize("name", EXAMPLES)
def test_show_json_equals_extract_for_every_conversation(golden: Path, name: str) -> None:
    for conversation_id, messages in conversations_of(name).items():
        found = json.loads(show(golden, conversation_id, "--user-id", name, "--json").stdout)
        assert found["conversation"]["title"] == messages[0]["title"]
        of_conversation = ("conversation_id", "title", "create_time")
        assert found["messages"] == [
            {k: v for k, v in message.items() if k not in of_conversation}
            | {"created_at": iso_time(message["create_time"]), "text": own_words(message)}
            for message in messages
        ]


def test_show_marks_branches_with_the_message_they_branch_from(golden: Path) -> None:
    lines = [line for line in show(golden, "forks", "--user-id", "forks").stdout.splitlines() if line.startswith("## ")]
    assert [line.split(" · ", 2)[2] if line.count(" · ") > 1 else "" for line in lines] == [
        "", "branch answer-1 · branches from 1", "branch what-cold · branches from 2", "branch what-cold",
        "branch answer-1 · after 2", "branch answer-1", "after 1", "", "", "branch later · branches from 8",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "wanted",
    [
        "forks",
        "fork",
        "bread",
        "https://chatgpt.com/c/forks",
        "https://chatgpt.com/c/forks?model=x#part",
        "https://chatgpt.com/g/g-p-1-plans/c/forks",
        "https://chat.openai.com/c/forks/",
        " chatgpt.com/c/forks ",
        "HTTPS://ChatGPT.com/c/forks",
        "<https://chatgpt.com/c/forks>",
    ],
)
def test_show_finds_a_conversation_by_id_prefix_link_or_title(golden: Path, wanted: str) -> None:
    result = show(golden, wanted)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("# Bread\n\nhttps://chatgpt.com/c/forks\n")


def test_show_gives_one_thread_when_it_is_named(golden: Path) -> None:
    found = json.loads(show(golden, "forks", "--thread", "answer", "--json").stdout)
    assert {message["thread"] for message in found["messages"]} == {"answer-1"}
    result = show(golden, "forks", "--thread", "nothing")
    assert result.exit_code == 2
    assert "Use one of: main, answer-1, what-cold, later." in result.stderr


@pytest.mark.parametrize("wanted", ["nothing like it", "https://chatgpt.com/c/fork", "FORKS-"])
def test_show_ends_with_2_when_no_conversation_matches(golden: Path, wanted: str) -> None:
    result = show(golden, wanted)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"error: No conversation matches {wanted}." in result.stderr


def test_show_asks_no_destination_for_an_id_with_nul(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Postgres takes no NUL."""
    monkeypatch.setattr(SqliteSink, "conversations", None)
    result = show(golden, "https://chatgpt.com/c/forks%00")
    assert result.exit_code == 2
    assert "error: No conversation matches https://chatgpt.com/c/forks%00." in result.stderr


def test_show_lists_at_most_20_when_several_conversations_match(tmp_path: Path) -> None:
    with closing(SqliteSink(tmp_path / "chunks.db")) as sink:
        sink.write(import_of(1), SETTINGS, [rows_for(f"c-{i:02}", version="v1") for i in range(25)], [])
    result = show(tmp_path, "c-")
    assert (result.exit_code, result.stdout) == (2, "")
    listed = [line.split() for line in result.stderr.splitlines() if line.lstrip().startswith("c-")]
    assert listed == [[f"c-{i:02}", "2023-11-14", "v1"] for i in range(20)]
    assert "matches more than 20 conversations. These are the newest." in result.stderr


def test_show_says_what_to_do_when_messages_are_not_stored(tmp_path: Path) -> None:
    with closing(SqliteSink(tmp_path / "chunks.db")) as sink:
        sink.write(import_of(1), SETTINGS, [rows_for("c1", messages=False)], [])
    result = show(tmp_path, "c1")
    assert result.exit_code == 2
    assert "Import its export again without --no-messages." in result.stderr


def test_show_reads_a_file_that_cannot_be_written_and_leaves_it_alone(golden: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(golden / "chunks.db", tmp_path))
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        assert show(tmp_path, "forks").exit_code == 0
        assert list(tmp_path.iterdir()) == [path]
    finally:
        tmp_path.chmod(0o755)


# --- what a terminal gets ------------------------------------------------------------------------


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    item = conversation("h", HOSTILE, f"**Bold.** <b>tag</b> {HOSTILE}", title=f"T {HOSTILE[:20]}")
    Database(tmp_path / "chunks.db").imported(written(tmp_path / "x.json", exported([item])))
    return tmp_path


@pytest.mark.parametrize("option", ["--raw", "--json"])
def test_show_gives_the_text_as_it_is_when_raw_or_json_goes_to_a_pipe(hostile: Path, option: str) -> None:
    out = show(hostile, "h", option).stdout_bytes.decode()
    text = json.loads(out)["messages"][0]["text"] if option == "--json" else out
    assert HOSTILE in text


def test_show_gives_no_control_characters_when_plain_text_goes_to_a_pipe(hostile: Path) -> None:
    out = show(hostile, "h").stdout_bytes.decode()
    assert "red text, a title, 2Jclear, link, bell, over" in out
    assert [character for character in out if not character.isprintable() and character != "\n"] == []


def test_show_keeps_what_stands_between_a_sequence_that_begins_and_a_later_end(tmp_path: Path) -> None:
    item = conversation("h", "One \x1b]0;", "Two.", "Three \x07.", title="T \x1b]0;")
    Database(tmp_path / "chunks.db").imported(written(tmp_path / "x.json", exported([item])))
    out = show(tmp_path, "h").stdout_bytes.decode()
    assert [word for word in ("# T ]0;", "One ]0;", "Two.", "Three .") if word not in out] == []


def test_show_json_escapes_control_characters_when_it_goes_to_a_terminal(
    hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(out, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdout", out)
    print_json({"text": f"é{HOSTILE}\x7f"})
    written_out = out.buffer.getvalue().decode()
    assert json.loads(written_out) == {"text": f"é{HOSTILE}\x7f"}
    assert [character for character in written_out if not character.isprintable() and character != "\n"] == []


def rendered(folder: Path, monkeypatch: pytest.MonkeyPatch, pager: str | None, **of_console: Any) -> str:
    """What the terminal shows of the conversation `h`."""
    if pager is None:
        monkeypatch.delenv("PAGER", raising=False)
        monkeypatch.setenv("PATH", "")
    else:
        monkeypatch.setenv("PAGER", pager)
    with closing(SqliteSink(folder / "chunks.db", create=False)) as sink:
        (found,) = sink.conversations(None, "h", 2)
        messages = sink.messages(found.user_id, found.product, found.conversation_id)
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, highlight=False, markup=False, **of_console)
    show_conversation(console, found, messages)
    return out.getvalue()


@pytest.mark.parametrize("pager", ["", "cat", None])
def test_show_renders_markdown_without_the_texts_own_sequences_on_a_terminal(
    hostile: Path, monkeypatch: pytest.MonkeyPatch, pager: str | None
) -> None:
    out = rendered(hostile, monkeypatch, pager)
    assert "red text, a title, 2Jclear, link, bell, over" in out
    assert "\x1b[1mBold.\x1b[0m <b>tag</b>" in out
    for sequence in ("\x1b[31m", "\x1b]", "\x9b", "\x07", "\x08", "\r"):
        assert sequence not in out


def test_show_renders_without_styles_when_the_terminal_has_no_colours(
    hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = rendered(hostile, monkeypatch, "", color_system=None)
    assert "Bold. <b>tag</b>" in out
    assert "\x1b" not in out


def test_show_pages_on_a_terminal_when_there_is_a_pager(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert rendered(hostile, monkeypatch, f"cat > {hostile / 'paged'}") == ""
    paged = (hostile / "paged").read_text()
    assert "1. User" in paged
    assert "2. Assistant" in paged


def test_show_ends_well_when_the_pager_is_left_early(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert rendered(hostile, monkeypatch, "true") == ""


@pytest.mark.parametrize("pager", ["ray-import-no-such-pager", "/dev/null"])
def test_show_prints_without_a_pager_when_that_cannot_be_started(
    hostile: Path, monkeypatch: pytest.MonkeyPatch, pager: str
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert rendered(hostile, monkeypatch, pager) == rendered(hostile, monkeypatch, "") != ""


def test_show_gives_a_text_as_it_is_when_it_cannot_be_rendered(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray_import.cli.show.LONGEST_RENDERED_CHARACTERS", 5)
    assert "**Bold.** <b>tag</b>" in rendered(hostile, monkeypatch, "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb\tc", "a\nb\tc"),
        ("é漢🚀\u202eאב", "é漢🚀\u202eאב"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x\x1b]0;t\x1b\\y", "xy"),
        ("\x1b]0;never ended", "]0;never ended"),
        ("\x1b[", "["),
        ("\x9b31mred\x9d0;t\x9cx", "31mred0;tx"),
        ("He said \x9dyes\x9c, twice", "He said yes, twice"),
        ("\x1b]0;not ended\nin its line\x07", "]0;not ended\nin its line"),
        ("\x1bPdata\x1b\\x\x00\x7f\x85\r", "x"),
    ],
)
def test_printable_takes_out_sequences_and_control_characters(text: str, expected: str) -> None:
    assert printable(text) == expected


@pytest.mark.parametrize("begun", ["\x9d", "\x1b]", "\x1b[", "\x1b[0", "\x1b[ "])
def test_printable_takes_time_in_proportion_to_the_text(begun: str) -> None:
    before = process_time()
    printable(begun * 100_000)
    assert process_time() - before < 2
