"""The plan: what has no answer yet, and nothing else; what is unchanged is not even read."""

from dataclasses import replace
from itertools import cycle, groupby
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ray_import.chunks.rows import MessageRow
from ray_import.destinations.profiles import StoredUnit, UnitState
from ray_import.profile.cutting import halves_of, has_words, units_of
from ray_import.profile.plan import Replacement, UnitPlan, load_units, plan_units, stream_units
from ray_import.profile.units import Unit
from tests.unit.profile.stored import MODEL, USER, MemoryStore, chats, conversation, message, messages

LONG = [("user", "I build a boat. " * 60), ("assistant", "Which wood? " * 90)] * 40


def plan(store: MemoryStore, model: str = MODEL) -> UnitPlan:
    store.read.clear()
    return plan_units(store.port, USER, model)


def settle(
    store: MemoryStore, planned: UnitPlan, state: UnitState = "answered", reason: str = "", attempts: int = 1
) -> None:
    """What a run does of its plan, every unit with the same outcome."""
    ids = {ref.id for ref in planned.to_send}
    kept = [row for row in store.rows if row.id not in {*planned.dropped, *old_of(planned), *ids}]
    moved = {unit_id: content_hash for unit_ids, content_hash in planned.kept for unit_id in unit_ids}
    store.rows = [replace(row, content_hash=moved.get(row.id, row.content_hash)) for row in kept] + [
        StoredUnit(
            id=ref.id, product=ref.product, conversation_id=ref.conversation_id, content_hash=ref.content_hash,
            state=state, reason=reason, attempts=attempts,
        )
        for ref in planned.to_send
    ]  # fmt: skip


def old_of(planned: UnitPlan) -> tuple[str, ...]:
    return tuple(unit_id for one in planned.replacements for unit_id in one.old)


def store_of(*names: str) -> MemoryStore:
    store = MemoryStore()
    for name in names:
        store.put(messages(("user", f"I am {name}"), ("assistant", "Hello"), conversation=name), name)
    return store


def test_plan_units_sends_all_when_nothing_is_answered() -> None:
    planned = plan(store_of("a", "b"))
    assert [ref.conversation_id for ref in planned.to_send] == ["a", "b"]
    assert (planned.dropped, planned.kept, planned.without_messages) == ((), (), 0)
    assert planned.user_tokens == 4


def test_plan_units_reads_and_sends_nothing_when_all_is_answered() -> None:
    store = store_of("a", "b")
    store.put(messages(*LONG), "long")
    settle(store, plan(store))
    planned = plan(store)
    assert store.read == []
    assert (planned.to_send, planned.dropped, planned.kept) == ((), (), ())


def test_plan_units_sends_the_changed_conversation_alone_when_one_changed() -> None:
    store = store_of("a", "b")
    settle(store, plan(store))
    (old,) = [row.id for row in store.rows if row.conversation_id == "b"]
    store.put(messages(("user", "I am Bea"), conversation="b"), "b", content_hash="h2")
    planned = plan(store)
    assert store.read == ["b"]
    assert [(ref.conversation_id, ref.content_hash) for ref in planned.to_send] == [("b", "h2")]
    assert planned.dropped == ()
    assert planned.replacements == (Replacement(old=(old,), waiting=(planned.to_send[0].id,), answered=()),)


def test_plan_units_sends_the_last_unit_alone_when_a_long_conversation_grew() -> None:
    store, rows = MemoryStore(), messages(*LONG)
    store.put(rows)
    settle(store, plan(store))
    store.put([*rows, message("More", node="new", position=len(rows))], content_hash="h2")
    planned = plan(store)
    assert len(store.rows) > 3
    (replacement,) = planned.replacements
    assert len(planned.to_send) == len(replacement.old) == 1
    assert replacement.waiting == (planned.to_send[0].id,)
    assert replacement.answered == tuple(store.rows[:-1])
    assert planned.kept == ((tuple(row.id for row in store.rows[:-1]), "h2"),)


def test_plan_units_keeps_units_when_a_conversation_was_written_anew_with_the_same_messages() -> None:
    store = store_of("a")
    settle(store, plan(store))
    store.put(store.messages["a"], "a", content_hash="h2", title="Another")
    planned = plan(store)
    assert (planned.to_send, planned.dropped) == ((), ())
    assert planned.kept == (((store.rows[0].id,), "h2"),)
    settle(store, planned)
    assert plan(store).kept == ()
    assert store.read == []


def test_plan_units_drops_units_when_the_conversation_is_gone() -> None:
    store = store_of("a", "b")
    settle(store, plan(store))
    del store.conversations["a"]
    planned = plan(store)
    assert planned.dropped == tuple(row.id for row in store.rows if row.conversation_id == "a")
    assert planned.to_send == ()


def test_plan_units_drops_units_when_the_user_says_nothing_any_more() -> None:
    store = store_of("a")
    settle(store, plan(store))
    store.put(messages(("assistant", "Hello"), conversation="a"), "a", content_hash="h2")
    planned = plan(store)
    assert (planned.to_send, planned.dropped) == ((), (store.rows[0].id,))


@pytest.mark.parametrize(
    "rows", [[], messages(("assistant", "Hello")), messages(("user", " "), ("assistant", "Hello"))]
)
def test_plan_units_sends_nothing_when_there_are_no_words_of_the_user(rows: list[MessageRow]) -> None:
    store = MemoryStore()
    store.put(rows)
    assert plan(store).to_send == ()


def test_plan_units_counts_conversations_when_they_were_imported_without_messages() -> None:
    store = store_of("a")
    settle(store, plan(store))
    store.put([], "a", has_messages=False, content_hash="h2")
    planned = plan(store)
    assert (planned.without_messages, planned.to_send, planned.dropped, store.read) == (1, (), (), [])


@pytest.mark.parametrize(
    ("reason", "attempts", "again"),
    [
        ("refused", 1, False),
        ("off_schema", 2, True),
        ("off_schema", 3, False),
        ("cut_off", 1, True),
        ("errored", 1, True),
    ],
)
def test_plan_units_sends_failed_units_again_when_it_may_help(reason: str, attempts: int, again: bool) -> None:
    store = store_of("a")
    settle(store, plan(store), "failed", reason, attempts)
    planned = plan(store)
    assert [ref.id for ref in planned.to_send] == [row.id for row in store.rows] * again
    assert planned.dropped == ()


def test_plan_units_sends_all_when_the_model_is_another() -> None:
    store = store_of("a", "b")
    settle(store, plan(store))
    planned = plan(store, "claude-opus-5-5")
    assert len(planned.to_send) == 2
    assert set(old_of(planned)) == {row.id for row in store.rows}
    assert planned.dropped == ()


@pytest.mark.parametrize(("content_hash", "waits"), [("h1", True), ("h2", False)], ids=["other model", "other words"])
@pytest.mark.parametrize("attempts", [2, 3])
def test_plan_units_waits_for_what_failed_when_it_is_sent_again_or_the_old_words_are_still_true(
    content_hash: str, waits: bool, attempts: int
) -> None:
    store = store_of("a")
    settle(store, plan(store))
    store.put(messages(("user", "I am Al"), conversation="a"), "a", content_hash=content_hash)
    first = plan(store, "claude-opus-5-5")
    settled = [*store.rows]
    settle(store, first, "failed", "off_schema", attempts)
    store.rows += settled
    (replacement,) = plan(store, "claude-opus-5-5").replacements
    assert bool(replacement.waiting) == (waits or attempts < 3)
    assert old_of(first) == replacement.old


def test_plan_units_drops_units_at_once_when_they_have_no_facts() -> None:
    store = store_of("a")
    settle(store, plan(store), "failed", "refused")
    planned = plan(store, "claude-opus-5-5")
    assert (planned.dropped, planned.replacements) == ((store.rows[0].id,), ())


def test_plan_units_sends_the_halves_when_a_unit_is_split() -> None:
    store, rows = MemoryStore(), messages(*LONG)
    store.put(rows)
    first = plan(store).to_send[0].id
    settle(store, plan(store))
    store.rows = [replace(row, state="split" if row.id == first else row.state) for row in store.rows]
    planned = plan(store)
    whole = units_of(conversation(rows), rows, MODEL, ())[0]
    assert [ref.id for ref in planned.to_send] == [half.id for half in halves_of(whole, MODEL)]
    assert planned.dropped == ()
    settle(store, planned)
    assert plan(store).to_send == ()
    assert store.read == []


def test_plan_holds_no_text() -> None:
    store = store_of("a")
    store.put(store.messages["a"], "a", title="Secret title")
    assert "I am a" not in repr(plan(store))
    assert "Secret title" not in repr(plan(store))


@settings(max_examples=25)
@given(st.lists(chats(5), max_size=5), st.randoms(use_true_random=False))
def test_load_units_gives_the_planned_units_when_some_are_asked_for(
    chats_of_user: list[list[MessageRow]], random: Random
) -> None:
    store = MemoryStore()
    for i, rows in enumerate(chats_of_user):
        store.put(rows, f"c{i}")
    refs = [ref for ref in plan(store).to_send if random.random() < 0.7]
    store.read.clear()
    units = load_units(store.port, USER, MODEL, refs)
    assert [(unit.id, unit.tokens, unit.title, unit.content_hash) for unit in units] == [
        (ref.id, ref.tokens, ref.title, ref.content_hash) for ref in refs
    ]
    assert len(store.read) == len(set(store.read))


def test_stream_units_leaves_a_unit_out_when_its_conversation_was_written_anew() -> None:
    store = store_of("a", "b")
    refs = plan(store).to_send
    store.put(messages(("user", "Other words"), conversation="a"), "a", content_hash="h2")
    assert [unit.conversation_id for unit in stream_units(store.port, USER, MODEL, refs)] == ["b"]


OUTCOMES = st.lists(st.sampled_from(["answered", "split", "none"]), min_size=1, max_size=30)


@settings(max_examples=25)
@given(st.lists(chats(5), min_size=1, max_size=4), OUTCOMES)
def test_plan_units_sends_every_message_once_when_runs_are_interrupted(
    chats_of_user: list[list[MessageRow]], drawn: list[str]
) -> None:
    """Each run answers, splits or leaves some of its units: in the end the answered units hold each message once."""
    store, answered, outcomes = MemoryStore(), list[Unit](), cycle([*drawn, "answered"])
    for i, rows in enumerate(chats_of_user):
        store.put(rows, f"c{i}")
    while planned := plan(store).to_send:
        for unit in load_units(store.port, USER, MODEL, planned):
            outcome = next(outcomes)
            if outcome == "split" and len(unit.lines) > 1:
                store.rows.append(row_of(unit, "split"))
            elif outcome != "none":
                store.rows.append(row_of(unit, "answered"))
                answered.append(unit)
    pieces = sorted(
        (unit.conversation_id, line.position, line.piece, line.text) for unit in answered for line in unit.lines
    )
    assert len({piece[:3] for piece in pieces}) == len(pieces)
    assert {
        key: "".join(text for *_, text in group) for key, group in groupby(pieces, key=lambda piece: piece[:2])
    } == {(f"c{i}", row.position): row.text for i, rows in enumerate(chats_of_user) if has_words(rows) for row in rows}


def row_of(unit: Unit, state: UnitState) -> StoredUnit:
    return StoredUnit(
        id=unit.id, product=unit.product, conversation_id=unit.conversation_id, content_hash=unit.content_hash,
        state=state,
    )  # fmt: skip
