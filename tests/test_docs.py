"""The docs, held against the program: tests that are named are there, and so are all names of counts and codes, and
the numbers."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import typer.core
import typer.main

from ray_import.chatgpt.visibility import NOT_CHAT
from ray_import.cli.app import app
from ray_import.credentials import Environment
from ray_import.destinations.base import LEASE_SECONDS
from ray_import.destinations.heartbeat import BEAT_EVERY_SECONDS
from ray_import.destinations.postgres import calls, psycopg, sink, supabase
from ray_import.destinations.postgres.sqlstates import sink_error
from ray_import.destinations.profiles import ProfileVersion
from ray_import.errors import CostReached, ModelBusy, ModelError, RowsRefused, SinkBusy, SinkError, SinkOverloaded
from ray_import.pipeline import plan
from ray_import.pipeline.alerts import ANSWER_WITHIN_SECONDS, Event
from ray_import.pipeline.bucket import PASSED_OVER
from ray_import.pipeline.engine import JOB_ROW_EVERY_SECONDS
from ray_import.pipeline.plan import PlannedState
from ray_import.profile.cost import LONG_PROMPT_TOKENS, PRICES, PRICES_DATE
from ray_import.profile.direct_calls import reason_of
from ray_import.profile.front_end import FrontEndState, front_end_values
from ray_import.profile.replies import _REASONS
from ray_import.profile.requests import SENT_AGAIN
from ray_import.profile.settings import DEFAULT_MODEL
from ray_import.records import Counts
from ray_import.source import storage

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extraction.md").read_text()
ROWS = [line.strip("|").split("|") for line in PAGE.splitlines() if re.match(r"\| §\d \|", line)]
NAMED = sorted({name for row in ROWS for name in re.findall(r"`([^`]+\.py::[^`]+)`", row[-1])})


def test_the_table_has_rules_of_every_section_and_a_test_for_each() -> None:
    assert {row[0].strip() for row in ROWS} == {f"§{number}" for number in range(1, 7)}
    assert [row[1] for row in ROWS if len(row) != 3 or "::" not in row[2]] == []


@cache
def functions_of(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("name", NAMED)
def test_every_test_that_is_named_is_there(name: str) -> None:
    file, _, function = name.partition("::")
    assert function.startswith("test_")
    assert function in functions_of(ROOT / "tests" / file)


def nodes_of(*rooms: str) -> Iterator[ast.AST]:
    """All of the syntax of these parts of the package."""
    for room in rooms:
        path = ROOT / "ray_import" / room
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            yield from ast.walk(ast.parse(file.read_text()))


def text_of(node: ast.AST | None) -> str:
    """A constant string, or the beginning of an f-string; "" for all else."""
    if isinstance(node, ast.JoinedStr):
        node = node.values[0]
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def name_of(node: ast.AST) -> str:
    """`b` of the names `b` and `a.b`; "" for all else."""
    return str(getattr(node, "id", getattr(node, "attr", "")))


def called(name: str, *rooms: str) -> set[str]:
    """What stands first in each call of `name`."""
    calls = (node for node in nodes_of(*rooms) if isinstance(node, ast.Call) and node.args)
    return {text_of(call.args[0]) for call in calls if name_of(call.func) == name}


def given_to(names: set[str], *rooms: str) -> set[str]:
    """All strings that are arguments of calls of `names`."""
    calls = (node for node in nodes_of(*rooms) if isinstance(node, ast.Call))
    return {text_of(argument) for call in calls if name_of(call.func) in names for argument in call.args}


def left_out_reasons() -> set[str]:
    """What the rules return as a reason, or set as one."""
    found = set()
    for node in nodes_of("chatgpt/visibility.py"):
        if isinstance(node, ast.FunctionDef) and node.name == "why_left_out":
            found |= {text_of(inner.value) for inner in ast.walk(node) if isinstance(inner, ast.Return)}
    for node in nodes_of("chatgpt"):
        if isinstance(node, ast.Assign) and name_of(getattr(node.targets[0], "value", node)) == "reasons":
            found |= {text_of(inner) for inner in ast.walk(node.value)}
    return (found | given_to({"_leave_out"}, "chatgpt")) - {"", "role:tool"}


def notes() -> set[str]:
    """What is counted as a note."""
    found = set()
    for node in nodes_of("chatgpt", "pipeline"):
        if isinstance(node, ast.Subscript) and name_of(node.value) == "notes":
            found.add(text_of(node.slice))
        elif isinstance(node, ast.keyword) and node.arg == "notes":
            found |= {text_of(key) for inner in ast.walk(node) if isinstance(inner, ast.Dict) for key in inner.keys}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("unknown.append"):
            found.add(text_of(node.args[0]))
    return found - {""}


def problem_kinds() -> set[str]:
    return called("Problem", "") - {""}


def reject_reasons() -> set[str]:
    """Of errors, of what the reader gives, of a conversation that kills, and of faults."""
    faults = {
        text_of(inner.orelse)
        for node in nodes_of("errors.py")
        if isinstance(node, ast.FunctionDef) and node.name == "reject_reason"
        for inner in ast.walk(node)
        if isinstance(inner, ast.IfExp)
    }
    by_reader = given_to({"_take", "_item"}, "reader/items.py")
    by_destination = given_to({"_reject"}, "pipeline")
    return (called("RecordError", "") | by_reader | by_destination | given_to({"reject_whole"}, "cluster") | faults) - {
        ""
    }


def test_the_names_are_found_in_the_code() -> None:
    """So that the next test cannot pass because it looks for nothing."""
    assert left_out_reasons() == {
        "role:", "hidden", "channel:analysis", "custom_instructions", "thinking_preamble", "to:", "type:", "tool_call",
        "no_text", "duplicate_report", "inactive_branch",
    }  # fmt: skip
    assert notes() >= {"cycle", "unknown_type:", "unknown_frame:", "unknown_mark:", "older_copy"}
    assert problem_kinds() >= {
        "reject", "truncated", "damaged", "missing_shard", "trailing_data", "not_json", "source_failed",
    }  # fmt: skip
    assert reject_reasons() >= {
        "invalid_json", "damaged", "too_large", "truncated", "ambiguous_node_keys", "kills_worker", "too_slow",
        "fault:", "refused:",
    }  # fmt: skip


def test_every_name_that_is_counted_or_told_is_in_the_document() -> None:
    of_messages_and_chunks = {"left_out", "notes", "kept", "chunks_written", "chunks_deleted"}
    counts = {field.name for field in fields(Counts)} - of_messages_and_chunks
    names = counts | left_out_reasons() | notes() | problem_kinds() | reject_reasons()
    first_cells = set(re.findall(r"^\| `([^`<]+)", PAGE, re.MULTILINE))
    assert sorted(names - first_cells) == []


def test_the_types_that_are_never_chat_are_all_in_the_document() -> None:
    listed = re.search(r"types that are never chat: (.*?)\.", PAGE, re.DOTALL)
    assert listed is not None
    assert set(re.findall(r"`(\w+)`", listed[1])) == NOT_CHAT - {"user_editable_context"}


# --- destinations --------------------------------------------------------------------------------

DESTINATIONS = {name: (ROOT / "docs" / f"{name}.md").read_text() for name in ("postgres", "supabase")}
CODE = r"[0-9][0-9A-Z]{1,4}|PGRST\d{3}"
KINDS = {
    "tried again": SinkBusy,
    "in halves, then tried again": SinkOverloaded,
    "in halves; the conversation to blame becomes a reject": RowsRefused,
    "ends the import": SinkError,
}


def errors_of(page: str) -> list[tuple[str, str]]:
    """Each code of a page's table of errors, and what becomes of it."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| `")
    ]
    return [(code, row[2]) for row in rows if len(row) == 4 for code in re.findall(f"`({CODE})`", row[0])]


ERRORS = sorted({error for page in DESTINATIONS.values() for error in errors_of(page)})


def test_every_code_that_is_told_apart_is_in_a_table_of_errors_and_no_other() -> None:
    known = {text_of(node) for node in nodes_of("destinations/postgres/sqlstates.py")}
    assert {code for code, _ in ERRORS} == {text for text in known if re.fullmatch(CODE, text)}
    assert len(ERRORS) > 25


@pytest.mark.parametrize(("code", "outcome"), ERRORS)
def test_what_a_table_says_of_a_code_becomes_of_it(code: str, outcome: str) -> None:
    kinds = [kind for words, kind in KINDS.items() if outcome == words or outcome.startswith(f"{words}, `refused:")]
    assert kinds == [type(sink_error(code))]


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("supabase", f"up to {supabase.MOST_ROWS} rows or {supabase.MOST_BYTES // 2**20} MB"),
        ("supabase", f"down to {supabase.LEAST_ROWS} rows and {supabase.LEAST_BYTES // 2**10} KB"),
        ("supabase", f"no answer for {supabase.TIMEOUT.read:.0f} s"),
        ("supabase", f"exponential backoff and jitter, after waits of up to {calls.LONGEST_WAIT_SECONDS} s"),
        ("supabase", f"for {calls.OPENING_PATIENCE_SECONDS} s when the project is opened and nothing answers"),
        ("supabase", f"for {calls.OUTAGE_PATIENCE_SECONDS} s when it is opened and a gateway"),
        ("supabase", f"for {calls.PATIENCE_SECONDS} s at each later step"),
        ("supabase", f"up to {sink.MOST_REJECT_BYTES // 2**20} MB; of larger ones the first and last "
                     f"{sink.REJECT_SAMPLE_BYTES // 2**10} KB"),
        ("supabase", f"a heartbeat every {BEAT_EVERY_SECONDS:.0f} s"),
        ("supabase", f"taken over after {LEASE_SECONDS} s without a heartbeat"),
        ("supabase", f"up to date, every {JOB_ROW_EVERY_SECONDS:.0f} s"),
        ("postgres", f"up to {psycopg.MOST_ROWS:,} rows or {psycopg.MOST_BYTES // 2**20} MB"),
        ("postgres", f"for {calls.OPENING_PATIENCE_SECONDS} s when the destination is opened and for "
                     f"{calls.PATIENCE_SECONDS} s at each step"),
    ],
)  # fmt: skip
def test_the_numbers_are_those_of_the_program(page: str, words: str) -> None:
    assert words in " ".join(DESTINATIONS[page].split())


def test_the_columns_of_a_profile_are_in_the_document() -> None:
    told = set(re.findall(r"`(\w+)`", DESTINATIONS["supabase"].partition("## `--profile-table")[2].partition("## ")[0]))
    given = {node.arg for node in nodes_of("pipeline/profile_table.py") if isinstance(node, ast.keyword) and node.arg}
    named = {
        text_of(key)
        for node in nodes_of("pipeline/profile_table.py")
        if isinstance(node, ast.Dict)
        for key in node.keys
    }
    assert (given | named) - {"", "frozen", "slots"} <= told


# --- profiles ------------------------------------------------------------------------------------

PROFILE = (ROOT / "docs" / "profile.md").read_text()


def first_cells_of(header: str) -> set[str]:
    """All names in the first column of the page's table on profiles that begins with this header."""
    rows = PROFILE.partition(f"| {header} |")[2].partition("\n\n")[0].splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def test_why_statements_of_a_profile_are_rejected_is_in_the_document() -> None:
    named = [
        node.args[0] if isinstance(node, ast.Call) else node.slice
        for node in nodes_of("profile")
        if (isinstance(node, ast.Call) and name_of(node.func) in ("_RejectedError", "_Wrong"))
        or (isinstance(node, ast.Subscript) and name_of(node.value) == "rejected")
    ]
    raised = {text_of(inner) for node in named for inner in ast.walk(node)}
    assert first_cells_of("`rejected`") == raised - {""}
    assert len(raised) > 12


def test_why_requests_of_a_profile_fail_is_in_the_document() -> None:
    known = set(_REASONS.values()) | SENT_AGAIN | called("reply_without_text", "profile")
    known |= {
        "off_schema",
        "no_text",
        "unknown_stop",
        "unknown_block",
        "max_cost",
        "model_away",
        "model_refused",
        "changed",
    }
    assert first_cells_of("`failures`") == known - {"", "unknown_outcome"}
    assert {reason_of(error("")) for error in (CostReached, ModelBusy, ModelError)} <= known


def test_prices_in_the_document_are_those_of_the_program() -> None:
    assert f"**{PRICES_DATE}**" in PROFILE
    for model, price in PRICES.items():
        long = f"{price.long_input_usd:.2f} and {price.long_output_usd:.2f} |" if price.long_input_usd else "|"
        assert f"| `{model}` | {price.input_usd:.2f} | {price.output_usd:.2f} | {long}" in PROFILE
    assert f"prompts over {LONG_PROMPT_TOKENS:,} tokens" in PROFILE


def test_columns_of_the_front_end_are_in_the_document() -> None:
    version = ProfileVersion(
        id="v", run_id="r", kind="full", model="m", prompt_version="1", sections={}, memory_md="", facts_hash="",
        created_at="2026-11-30T00:00:00Z",
    )  # fmt: skip
    states: dict[FrontEndState, ProfileVersion | None] = {
        "processing": None, "quick_ready": replace(version, kind="quick"), "complete": version, "failed": None,
        "forgotten": None,
    }  # fmt: skip
    values = [front_end_values(made, [], state, error="") for state, made in states.items()]
    assert first_cells_of("column") == {name for each in values for name in each}
    for name in ("import_status", "progress_percent", "full_pass_status", "memory_status"):
        (row,) = re.findall(rf"^\| `{name}` \|(.*)\|$", PROFILE, re.MULTILINE)
        told = [cell.strip().strip("`") for cell in row.split("|")]
        assert told == [str(each[name]) for each in values]


def test_options_of_a_profile_are_in_the_document() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    names = {name for param in group.commands["profile"].params for name in (*param.opts, *param.secondary_opts)}
    assert [name for name in sorted(names - {"--help"}) if f"`{name}" not in PROFILE] == []
    assert f"| `--model NAME` | `{DEFAULT_MODEL}` |" in PROFILE


# --- runs over many users ------------------------------------------------------------------------

WATCHING = (ROOT / "docs" / "watching.md").read_text()


def test_what_the_page_on_watching_says_of_alerts_is_so() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", WATCHING.partition("## Alerts")[2], re.MULTILINE)) == set(get_args(Event))
    minutes = Environment.model_fields["alert_stalled_minutes"].default
    assert f"`ALERT_STALLED_MINUTES` ({minutes:g})" in WATCHING
    assert f"does not answer within {ANSWER_WITHIN_SECONDS:g} s" in WATCHING


# --- listings ------------------------------------------------------------------------------------

SOURCES = (ROOT / "docs" / "sources.md").read_text()


def test_why_files_are_passed_over_and_what_becomes_of_users_is_in_the_document() -> None:
    of_listing = SOURCES.partition("## The newest export")[2].partition("\n## ")[0]
    assert [why for why in PASSED_OVER if f"`{why}`" not in of_listing] == []
    assert [state for state in get_args(PlannedState) if f"| `{state}` |" not in of_listing] == []
    told = " ".join(of_listing.split())
    assert storage.REQUESTS_AT_A_TIME == 8
    assert f"Eight requests are in flight, of pages of up to {storage.PAGE_ENTRIES:,} entries" in told
    assert (plan.CPU_SECONDS_PER_MB, plan.UNPACKED_RATIO, plan.SECONDS_PER_USER) == (0.02, 4, 0.03)
    assert f"{plan.CPU_SECONDS_PER_MB:g} CPU seconds per MB of JSON" in told
    assert f"and {plan.SECONDS_PER_USER:g} s per user" in told
