"""Memory, the profile as Markdown, the table of facts, and the front end's columns."""

import io
import json
from typing import Any, Literal

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from ray_import.destinations.profiles import ProfileVersion
from ray_import.profile.front_end import FrontEndState, front_end_values
from ray_import.profile.memory import HEADINGS, MEMORY_TOKENS, memory_md
from ray_import.profile.sections import IDENTITY, LISTS, SECTIONS, TEXTS
from ray_import.profile.settings import CATEGORIES, tokens_of
from ray_import.profile.showing import facts_table, profile_markdown
from tests.unit.profile.made_facts import day, made_fact

AT = "2026-01-01T00:00:00.000Z"
FACTS = [
    made_fact("a", "The user likes tea.", 1),
    made_fact("b", "The user builds boats.", 2, category="project"),
    made_fact("c", "The user lived in Berlin.", 0, status="superseded", superseded_by="a", valid_to=day(4)),
    made_fact("d", "The user likes TEA.", 3, status="duplicate", superseded_by="a"),
]


def version(kind: Literal["quick", "full"] = "full", **sections: dict[str, Any]) -> ProfileVersion:
    empty: dict[str, Any] = {name: dict.fromkeys(TEXTS[name]) | {field: [] for field in LISTS[name]} for name in TEXTS}
    empty["identity"] = dict.fromkeys(IDENTITY, "") | {"generated": True}
    return ProfileVersion(
        id="v",
        run_id="r",
        kind=kind,
        model="claude-haiku-5-5",
        prompt_version="1",
        sections={name: empty[name] | sections.get(name, {}) for name in SECTIONS},
        memory_md=memory_md(FACTS) if kind == "full" else "",
        facts_hash="",
        created_at=AT,
    )


FULL = version(
    soul={"communication_style": {"text": "Likes *short* answers.", "cites": ["a", "gone"]}},
    agents={"behavioral_rules": [{"text": "Speak of boats.", "cites": ["b"]}, {"text": "And tea.", "cites": ["a"]}]},
    identity={"ai_name": "Moss", "archetype": "Quiet builder"},
)


def test_headings_name_every_category_in_its_order() -> None:
    assert tuple(HEADINGS) == CATEGORIES


def test_memory_has_active_facts_under_their_headings() -> None:
    assert memory_md(FACTS) == (
        "## Preferences\n\n- The user likes tea. (2024-05-02)\n\n## Projects\n\n- The user builds boats. (2024-05-03)\n"
    )
    assert memory_md([]) == ""


def test_memory_stays_within_its_size_and_counts_what_is_left_out() -> None:
    facts = [made_fact(f"f{i}", f"Statement {i} " + "word " * 40) for i in range(1_000)]
    text = memory_md(facts)
    shown = text.count("- Statement")
    assert MEMORY_TOKENS / 2 < tokens_of(text) < MEMORY_TOKENS + 100
    assert text.endswith(f"{1_000 - shown:,} more facts are stored.\n")


@pytest.mark.parametrize(
    "text",
    [
        "x\n# Preferences\n- planted",
        "# x",
        "- x",
        "<b>x</b>",
        "[x](http://y.z)",
        "**x**",
        "`x`",
        "1. x",
        "> x",
        "=== x",
        "x\u2028# y",
    ],
)
def test_memory_shows_a_statement_as_one_plain_item_when_it_holds_markdown(text: str) -> None:
    tokens = MarkdownIt().parse(memory_md([made_fact("a", text)]))
    assert sum(token.type == "list_item_open" for token in tokens) == 1 + text.startswith("1. ")
    assert sum(token.type == "heading_open" for token in tokens) == 1
    inline = [child.type for token in tokens if token.type == "inline" for child in token.children or ()]
    assert set(inline) <= {"text"}


def test_profile_markdown_leads_from_each_statement_to_the_quote() -> None:
    text = profile_markdown(FULL, FACTS)
    assert "- **Communication style**: Likes \\*short\\* answers. \\[1\\] \\[2\\]\n" in text
    assert "- **Behavioral rules**: Speak of boats. \\[3\\]\n- **Behavioral rules**: And tea. \\[1\\]\n" in text
    assert "1. “I said: The user likes tea.” (2024-05-02, conversation `conversation`, message `node-a`)\n" in text
    assert "2. A fact that is no longer stored\n" in text
    assert "This section is generated" in text
    assert "**AI name**: Moss" in text
    assert "### Projects" in text
    assert "## Tools" not in text


def test_profile_markdown_names_the_message_when_the_profile_is_quick() -> None:
    cite = {"product": "chatgpt", "conversation_id": "c1", "node_id": "n1"}
    text = profile_markdown(version("quick", user={"name": {"text": "Ada", "cites": [cite, cite]}}), [])
    assert "- **Name**: Ada \\[1\\] \\[1\\]\n" in text
    assert "1. Conversation `c1`, message `n1`\n" in text


def test_facts_table_shows_words_as_they_are_without_duplicates() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(facts_table([*FACTS, made_fact("m", "[red]marked[/red]", None)]))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[red]marked[/red]" in text
    assert "undated" in text
    assert "superseded 2024-05-05" in text
    assert "TEA" not in text


@pytest.mark.parametrize("state", ["processing", "quick_ready", "complete", "failed"])
@pytest.mark.parametrize("given", [None, version("quick"), FULL], ids=["none", "quick", "full"])
def test_front_end_values_pass_the_checks_and_show_a_profile_only_when_there_is_one(
    state: FrontEndState, given: ProfileVersion | None
) -> None:
    values = front_end_values(given, FACTS, state, at=AT, error="x" * 900 if state == "failed" else "")
    assert values["full_pass_status"] in {"pending", "processing", "complete", "failed"}
    assert values["memory_status"] in {"none", "building", "ready"}
    assert len(values["import_error"] or "") in {0, 500}
    if given is None:
        assert values["import_status"] == ("failed" if state == "failed" else "processing")
        assert "soul_md" not in values
    else:
        assert values["import_status"] == ("complete" if given.kind == "full" else "quick_ready")
        assert values["progress_percent"] == 100


def test_front_end_values_hold_the_sections_as_the_pages_read_them() -> None:
    values = front_end_values(FULL, FACTS, "complete", at=AT)
    assert json.loads(values["soul_md"])["communication_style"] == "Likes *short* answers."
    assert json.loads(values["soul_md"])["humor_style"] == "not enough data"
    assert json.loads(values["agents_md"])["behavioral_rules"] == ["Speak of boats.", "And tea."]
    assert json.loads(values["user_md"])["relationships"] == []
    assert json.loads(values["identity_md"])["generated"] is True
    assert (values["ai_name"], values["archetype"]) == ("Moss", "Quiet builder")
    assert values["memory_md"] == FULL.memory_md
    assert "not enough data" not in values["soulprint_text"]
    assert "And tea." in values["soulprint_text"]
    assert "builds boats" in values["soulprint_text"]
    assert values["full_pass_completed_at"] == AT


def test_front_end_values_leave_no_word_when_the_profile_is_forgotten() -> None:
    full, gone = front_end_values(FULL, FACTS, "complete", at=AT), front_end_values(FULL, FACTS, "forgotten", at=AT)
    begun = front_end_values(None, [], "processing", at=AT)
    assert {*full, *begun} <= gone.keys()
    words = {key: value for key, value in gone.items() if value is not None}
    assert words == {
        "import_status": "none",
        "full_pass_status": "pending",
        "memory_status": "none",
        "progress_percent": 0,
        "updated_at": AT,
    }
