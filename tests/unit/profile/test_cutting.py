"""Units: each message once, sizes held, the same ids for the same content."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ray_import.chunks.rows import MessageRow
from ray_import.profile.cutting import cut, halves_of, has_words, hold_all, unit_tag, units_by_id, units_of
from ray_import.profile.fencing import fenced
from ray_import.profile.settings import tokens_of
from ray_import.profile.units import UNIT_TOKENS, Unit
from tests.unit.profile.stored import MODEL, chats, conversation, message, messages

LONG = [("user", "I build a boat. " * 60), ("assistant", "Which wood? " * 90)] * 40


def texts_by_node(units: list[Unit]) -> dict[str, str]:
    """The texts of the pieces of each message, joined in the order of the units."""
    found: dict[str, str] = {}
    for unit in units:
        for line in unit.lines:
            assert (line.piece == 0) == (line.node_id not in found)
            found[line.node_id] = found.get(line.node_id, "") + line.text
    return found


@settings(max_examples=40)
@given(chats(), st.integers(0, 3))
def test_units_of_has_every_message_once_when_units_are_split(rows: list[MessageRow], splits: int) -> None:
    split: set[str] = set()
    for _ in range(splits):
        split |= {unit.id for unit in units_of(conversation(rows), rows, MODEL, split)}
    units = units_of(conversation(rows), rows, MODEL, split)
    assert texts_by_node(units) == {row.node_id: row.text for row in rows}
    assert list(texts_by_node(units)) == [row.node_id for row in rows]
    ids = [unit.id for unit in units]
    assert hold_all(ids, len(rows))
    assert not any(hold_all(ids[:i] + ids[i + 1 :], len(rows)) for i in range(len(ids)))
    assert all(unit.id not in split or len(unit.lines) == 1 for unit in units)


@settings(max_examples=40)
@given(chats())
def test_units_of_holds_the_size_when_messages_are_long(rows: list[MessageRow]) -> None:
    for unit in units_of(conversation(rows), rows, MODEL, ()):
        assert unit.tokens <= UNIT_TOKENS
        alone = tokens_of(fenced([(unit.title, unit.lines)], "0" * 16))
        assert alone - 30 <= unit.tokens + 30


def test_units_of_fills_units_when_a_message_is_very_long() -> None:
    rows = [message("One sentence of many words. " * 10_000)]
    units = units_of(conversation(rows), rows, MODEL, ())
    assert len(units) > 10
    assert all(unit.tokens > UNIT_TOKENS * 0.9 for unit in units[:-1])
    assert all(unit.lines[0].text.endswith(". ") for unit in units)


def test_units_of_keeps_the_ids_when_messages_are_added() -> None:
    rows = messages(*LONG)
    before = units_of(conversation(rows), rows, MODEL, ())
    more = [*rows, message("One more", node="new", position=len(rows))]
    after = units_of(conversation(more, content_hash="h2", title="Another title"), more, MODEL, ())
    assert len(before) > 3
    assert [unit.id for unit in after][: len(before) - 1] == [unit.id for unit in before][:-1]
    assert after[-1].id != before[-1].id


@pytest.mark.parametrize(
    "changed",
    [
        {"text": "Hello."},
        {"role": "assistant"},
        {"node_id": "n9"},
        {"created_at": None},
        {"quoted": "words"},
        {"attachments": '["a.pdf"]'},
    ],
)
def test_units_of_gives_another_id_when_a_message_changes(changed: dict[str, Any]) -> None:
    row = message("Hello")
    (before,) = units_of(conversation([row]), [row], MODEL, ())
    (after,) = units_of(conversation([row]), [row._replace(**changed)], MODEL, ())
    assert before.id != after.id


def test_units_of_gives_another_id_when_model_or_conversation_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = messages(("user", "Hello"))
    (one,) = units_of(conversation(rows), rows, MODEL, ())
    (branched,) = units_of(conversation(rows, "c2"), rows, MODEL, ())
    (other_model,) = units_of(conversation(rows), rows, "claude-opus-5-5", ())
    monkeypatch.setattr("ray_import.profile.cutting.PROMPT_VERSION", "next")
    (other_prompt,) = units_of(conversation(rows), rows, MODEL, ())
    assert len({one.id, branched.id, other_model.id, other_prompt.id}) == 4
    assert not one.id.startswith(unit_tag(MODEL))


def test_cut_names_split_units_when_halves_are_split_again() -> None:
    rows = messages(*LONG)
    first = units_of(conversation(rows), rows, MODEL, ())[0]
    left, right = halves_of(first, MODEL)
    units, split_ids = cut(conversation(rows), rows, MODEL, {first.id, right.id, "another"})
    assert split_ids == [first.id, right.id]
    assert [unit.id for unit in units[:3]] == [left.id, *(half.id for half in halves_of(right, MODEL))]


def test_units_by_id_finds_halves_when_they_are_wanted() -> None:
    rows = messages(*LONG)
    units = units_of(conversation(rows), rows, MODEL, ())
    left, right = halves_of(units[1], MODEL)
    wanted = {units[0].id, right.id, halves_of(left, MODEL)[0].id, "unknown"}
    found = list(units_by_id(conversation(rows), rows, MODEL, wanted))
    assert found == [units[0], halves_of(left, MODEL)[0], right]


def test_halves_of_refuses_when_there_is_one_line() -> None:
    rows = messages(("user", "Hello"))
    (unit,) = units_of(conversation(rows), rows, MODEL, ())
    with pytest.raises(ValueError, match="one line"):
        halves_of(unit, MODEL)


def test_halves_of_is_even_when_one_line_is_large() -> None:
    rows = messages(("user", "x" * 9000), *[("assistant", "y" * 300)] * 10)
    (unit,) = units_of(conversation(rows), rows, MODEL, ())
    left, right = halves_of(unit, MODEL)
    assert (len(left.lines), len(right.lines)) == (1, 10)
    assert left.lines + right.lines == unit.lines
    assert replace(left, id="", lines=(), tokens=0) == replace(right, id="", lines=(), tokens=0)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], False),
        ([("assistant", "Hello")], False),
        ([("user", " \n")], False),
        ([("assistant", ""), ("user", "Hi")], True),
    ],
)
def test_has_words_is_of_the_user_alone(rows: list[tuple[str, str]], expected: bool) -> None:
    assert has_words(messages(*rows)) is expected
