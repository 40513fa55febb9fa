"""Messages, `--help` and docs in plain technical English: sentences with a subject, and the field's own terms.

The strings of messages are found in the source: all that hold two words and are neither docstrings nor SQL.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import typer.core
import typer.main

from ray_import.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

BANNED = {
    r"(?<![Tt]here )\b(is|are|was|were) no (?!longer\b|more\b|later\b|less\b|older\b|newer\b)[A-Za-z]": "is not a …",
    r"\b(is|are|was|were|be) told\b": "is reported, is shown",
    r"\btell(s|ing)? of\b": "reports",
    r"\b(is|are|was|were) (all )?in(?=[.,;:)]|$| already| and\b| or\b| by now| within)": "is imported, is committed",
    r"\b(go|goes|going|went) on\b": "continues, resumes",
    r"\blet(s|ting)? go of\b": "releases, frees, deletes",
    r"\black(s|ing)? (something|nothing)\b": "is incomplete",
    r"(^|[.!:*] |\*\*)(Who|Whose)\b(?![^.?!]*\?)": "users who …, the user whose …",
    r"(^|[.;:] )Of (an?|all|its?|these|those|this|the|two|several|many|more|most|others?|each|every|what|whom?)\b": (
        "begin with the subject"
    ),
    r"\b(is|are|was|were|be|been) (only )?away\b": "is unreachable",
    r"\bpass(ed|es|ing)? (it |them )?over\b": "skips",
    r"\b(is|was) (not )?said\b": "is given, is documented",
    r"\blets? (this|that|the|a|no) \w+ (not )?in\b": "rejected the login",
    r"\bcannot be(?=[.:,;]|$)": "is not valid, is out of range",
    r"\bis not set to what\b": "the value is not valid",
    r"\bsigns? of life\b": "heartbeat",
    r"\bmay be given again\b": "can be repeated",
    r"\bIt looks like\b": "Use the form",
    r"\b(one|rows?|lines?|objects?|connections?|places) (of \w+ )?a (user|worker|line|batch|CPU|conversation)\b": "per",
    r", say\b": "for example",
    r"\bat work\b": "active",
    r"\btaken (its|this one's) place\b": "has taken over",
}
"""Patterns of what is not plain, and what to write instead."""

BANNED_AT_THE_BEGINNING = {r"^What\b(?![^.?!]*\?)": "begin with the subject"}
"""The same for messages and `--help` alone: in a text, a clause that begins with "what" is ordinary English."""

MOST_MESSAGE_CHARACTERS = 220
"""A line of a message, without what is filled in: two or three lines of a narrow terminal."""
MOST_HELP_CHARACTERS = 110
_CODE = re.compile(r"`[^`]*`")
SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|PRAGMA)\b")


class Text(NamedTuple):
    """A text that a person can get; `…` stands for what is filled in."""

    where: str
    text: str


def flattened(node: ast.AST) -> str | None:
    """A constant string, or an f-string; None for all else."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def strings_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every string with its line, but docstrings and what is within an f-string's braces."""
    if isinstance(tree, ast.Expr) and flattened(tree.value) is not None:
        return
    text = flattened(tree)
    if text is not None:
        yield getattr(tree, "lineno", 0), text
        return
    for child in ast.iter_child_nodes(tree):
        yield from strings_in(child)


def messages_of(path: Path) -> list[Text]:
    """The strings of a file that are words."""
    name = path.relative_to(ROOT).as_posix()
    found = strings_in(ast.parse(path.read_text()))
    return [
        Text(f"{name}:{line}", text)
        for line, text in found
        if re.search(r"[a-z]{2}.* .*[a-z]{2}", text) and not SQL.search(text) and "\\" not in text
    ]


@cache
def messages() -> tuple[Text, ...]:
    files = [*sorted((ROOT / "ray_import").rglob("*.py")), *sorted((ROOT / "jobs").glob("*.py"))]
    return tuple(text for file in files for text in messages_of(file))


@cache
def helps() -> tuple[Text, ...]:
    """The help of every command and of all its options and arguments."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    found = [Text("ray-import", group.help or "")]
    for name, command in group.commands.items():
        found.append(Text(name, command.help or ""))
        options = {parameter.name: getattr(parameter, "help", None) or "" for parameter in command.params}
        found += [Text(f"{name} {option}", words) for option, words in options.items()]
    return tuple(found)


def paragraphs_of(page: Path) -> Iterator[Text]:
    """The paragraphs, items and cells of a page, without headings and code: what that quotes is checked where it is."""
    begun, lines, in_code = 0, list[str](), False
    for number, line in enumerate([*page.read_text().splitlines(), ""], start=1):
        bare = line.strip()
        in_code ^= bare.startswith("```")
        if not bare or in_code or bare.startswith(("#", "|", "- ", "```", "![")):
            if lines:
                yield Text(f"{page.name}:{begun}", _CODE.sub("…", " ".join(lines)))
            lines = []
        if in_code or not bare or bare.startswith(("#", "```", "![")):
            continue
        if bare.startswith("|"):
            cells = (_CODE.sub("…", cell).strip() for cell in bare.strip("|").split("|"))
            yield from (Text(f"{page.name}:{number}", cell) for cell in cells)
            continue
        begun = begun if lines else number
        lines.append(bare.removeprefix("- "))


def not_plain(texts: Iterator[Text] | tuple[Text, ...], banned: dict[str, str]) -> list[str]:
    """What is banned in `texts`, with what to write instead."""
    return [
        f"{text.where}: “{found[0].strip()}” → {instead}: {text.text[:200]}"
        for text in texts
        for pattern, instead in banned.items()
        if (found := re.search(pattern, text.text))
    ]


@pytest.mark.parametrize(
    "text",
    [
        "ada.zip is no export.",
        "It is no JSON.",
        "The error is told once.",
        "Run it again: what is in stays, and all of it is in.",
        "It goes on where it stopped.",
        "Ray lets go of these.",
        "Users that lack something.",
        "Whose exports, a line each.",
        "Who failed is tried again.",
        "Of a ZIP the directory is read.",
        "The database is away.",
        "3 files were passed over.",
        "It is said twice whose exports to import.",
        "Postgres lets this user not in.",
        "it does not let this user in",
        "--workers 0 cannot be: 1 at least.",
        "ALERT_STALLED_MINUTES is not set to what it can be.",
        "last sign of life 9 s ago",
        "A host; may be given again.",
        "It looks like https://host.",
        "default: one a CPU",
        "name it absolutely: /data/x.db, say",
        "3 users at work",
        "another one has taken its place",
    ],
)
def test_banned_phrases_match_what_is_not_plain(text: str) -> None:
    assert not_plain((Text("here", text),), BANNED)


@pytest.mark.parametrize(
    "text",
    [
        "There is no file or folder x.zip.",
        "There are no rejects.",
        "x.zip is in a folder that this user cannot open.",
        "The export is no longer there.",
        "x.zip cannot be read: the server answers 503.",
        "x.zip is not an export: expected a ZIP.",
        "Retries of batches and of calls to the destination.",
        "Run ray-import migrate with the same --to.",
        "A machine was taken away while its batch was running.",
        "What should be imported? Give a source.",
        "The interrupted run is resumed; committed conversations are kept.",
        "Transient errors are retried with backoff and jitter.",
    ],
)
def test_banned_phrases_leave_ordinary_english_alone(text: str) -> None:
    assert not_plain((Text("here", text),), BANNED | BANNED_AT_THE_BEGINNING) == []


def test_the_texts_are_found() -> None:
    """So that the tests below cannot pass because they look at nothing."""
    found = {text.text for text in messages()}
    assert {
        "There is no file or folder ….",
        "Run it again later: committed conversations are kept and skipped.",
        "the interrupted run …",
        "Chunks written.",
        "the login was rejected",
    } <= found
    assert len(found) > 300
    assert {"run", "run chunk_tokens", "reimport users", "migrate to"} <= {text.where for text in helps()}
    assert all(len(list(paragraphs_of(page))) > 20 for page in PAGES)


def test_messages_are_plain_english() -> None:
    assert not_plain(messages(), BANNED | BANNED_AT_THE_BEGINNING) == []


def test_help_is_plain_english() -> None:
    assert not_plain(helps(), BANNED | BANNED_AT_THE_BEGINNING) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_is_plain_english(page: Path) -> None:
    assert not_plain(paragraphs_of(page), BANNED) == []


def test_help_is_one_short_line() -> None:
    texts = [text for text in helps() if not text.where.endswith(" help")]
    assert [text.where for text in texts if not text.text or "\n" in text.text] == []
    assert [text.where for text in texts if len(text.text) > MOST_HELP_CHARACTERS] == []


def errors() -> Iterator[tuple[str, list[str]]]:
    """Where an error is made, and its message and hint as far as they stand there."""
    kinds = set(re.findall(r"^class (\w+)", (ROOT / "ray_import" / "errors.py").read_text(), re.MULTILINE)) - {
        "RecordError"
    }
    for file in sorted((ROOT / "ray_import").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in kinds:
                texts = [text for part in node.args[:2] if (text := flattened(part)) is not None]
                yield f"{file.relative_to(ROOT).as_posix()}:{node.lineno}", texts


def test_message_is_short() -> None:
    assert [text.where for text in messages() if len(text.text) > MOST_MESSAGE_CHARACTERS] == []


def test_error_is_a_line_of_what_happened_and_one_of_what_to_do() -> None:
    found = list(errors())
    assert len(found) > 80
    wrong = [
        (where, text)
        for where, texts in found
        for text in texts
        if len(text) > MOST_MESSAGE_CHARACTERS or "\n" in text or not re.match(r"[A-Z…\-{']|[a-z_]+:?…|[a-z_]+ ", text)
    ]
    assert wrong == []


def test_error_ends_with_a_full_stop() -> None:
    assert [(where, text) for where, texts in errors() for text in texts if text and text[-1] not in ".?…"] == []


def quoted_messages() -> list[Text]:
    """The messages that the tables of errors in the docs quote, in the first cell of a row."""
    found = []
    for page in PAGES:
        rows = False
        for number, line in enumerate(page.read_text().splitlines(), start=1):
            rows = line.startswith(("| message |", "| error |")) or (rows and line.startswith("|"))
            if rows:
                first = line.strip("|").split("|")[0]
                found += [Text(f"{page.name}:{number}", quote) for quote in re.findall(r"`([^`]+ [^`]+)`", first)]
    return found


def test_tables_of_errors_quote_messages_that_are_there() -> None:
    """What is filled in is `…` in the table, and so is what is left out."""
    of_sql = [path.read_text() for path in sorted((ROOT / "ray_import" / "sql").rglob("*.sql"))]
    known = "\n".join([*(text.text for text in messages()), *of_sql])
    quotes = quoted_messages()
    assert len(quotes) > 20
    parts = [(quote.where, part.strip(" :.;")) for quote in quotes for part in re.split("…", quote.text)]
    assert [(where, part) for where, part in parts if " " in part and part not in known] == []
