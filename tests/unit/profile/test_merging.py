"""Facts put together: duplicates, contradictions, what is unclear."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.destinations.profiles import Fact
from ray_import.profile.merging import Decision, Merged, changed_facts, facts_hash, merged
from tests.unit.profile.made_facts import STATEMENTS, day, facts_and_decisions, made_fact


def by_id(found: Merged) -> dict[str, Fact]:
    return {fact.id: fact for fact in found.facts}


@given(facts_and_decisions(), st.randoms(use_true_random=False))
def test_merged_is_the_same_whatever_the_order_of_its_input(
    made: tuple[list[Fact], list[Decision]], order: random.Random
) -> None:
    facts, decisions = made
    found = merged(facts, decisions)
    order.shuffle(facts)
    order.shuffle(decisions)
    turned = [Decision(one.other, one.one, one.relation) if order.random() < 0.5 else one for one in decisions]
    assert merged(facts, turned) == found


@given(facts_and_decisions())
def test_merged_changes_nothing_when_its_facts_are_merged_again(made: tuple[list[Fact], list[Decision]]) -> None:
    facts, decisions = made
    found = merged(facts, decisions)
    assert merged(found.facts, decisions) == found
    assert changed_facts(found.facts, merged(found.facts, decisions).facts) == []


@given(facts_and_decisions())
def test_merged_keeps_every_fact_and_counts_it_once(made: tuple[list[Fact], list[Decision]]) -> None:
    facts, decisions = made
    found = by_id(merged(facts, decisions))
    assert found.keys() == {fact.id for fact in facts}
    assert sum(fact.seen for fact in found.values() if fact.status != "duplicate") == len(facts)
    for fact in found.values():
        if fact.status == "duplicate":
            assert found[fact.superseded_by or ""].status != "duplicate"
        if fact.status == "superseded":
            assert fact.valid_to is not None
            assert found[fact.superseded_by or ""].status != "duplicate"


@given(facts_and_decisions())
def test_merged_has_no_circle_of_superseded_facts(made: tuple[list[Fact], list[Decision]]) -> None:
    found = by_id(merged(*made))
    for fact in found.values():
        path = [fact]
        while path[-1].superseded_by is not None:
            path.append(found[path[-1].superseded_by])
            assert len(path) <= len(found)


@given(facts_and_decisions())
def test_merged_asks_nothing_that_was_decided(made: tuple[list[Fact], list[Decision]]) -> None:
    facts, decisions = made
    found = merged(facts, decisions)
    for relation in ("same", "contradicts", "different"):
        answered = [*decisions, *(Decision(one, other, relation) for one, other in found.unclear)]
        assert not set(found.unclear) & set(merged(facts, answered).unclear)


def test_merged_takes_the_first_said_when_facts_are_equal_after_normalising() -> None:
    found = by_id(
        merged(
            [made_fact("a", STATEMENTS[1], 3), made_fact("b", STATEMENTS[0], 1), made_fact("c", STATEMENTS[0], None)],
            [],
        )
    )
    assert (found["b"].status, found["b"].seen, found["b"].valid_from) == ("active", 3, day(1))
    assert [(found[key].status, found[key].superseded_by, found[key].seen) for key in "ac"] == [
        ("duplicate", "b", 1)
    ] * 2


def test_merged_joins_without_a_question_when_only_a_plural_differs() -> None:
    one = "The user always prefers to write long integration tests before the unit test of a module"
    found = merged([made_fact("a", one), made_fact("b", one.replace("module", "modules"), 1)], [])
    assert found.unclear == ()
    assert by_id(found)["b"].superseded_by == "a"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The user has decided to fly to Lisbon with the family on 3 May 2024", "on 4 May 2024"),
        ("The user has decided to never again fly to Lisbon with the family", "has decided to again fly"),
        ("The user is happily married to a colleague of the name of Paul Meier", "Paula Meier"),
        ("The user works as a teacher at the school in the old town of Lyon", "worked as a teacher"),
        ("The user keeps the freezer at a temperature of -5 degrees at all times", "temperature of 5 degrees"),
        ("The user writes all of the tools of the house in the language C#", "in the language C++"),
    ],
)
def test_merged_asks_when_one_word_could_change_the_meaning(one: str, other: str) -> None:
    words, changed = one.split(), other.split()
    last = len(words) - len(changed) if one.endswith(changed[-1]) else None
    where = last if last is not None else next((i for i, word in enumerate(words) if word == changed[0]), 0)
    text = " ".join([*words[:where], *changed, *words[where + len(changed) :]])
    assert text != one
    found = merged([made_fact("a", one), made_fact("b", text, 1)], [])
    assert found.unclear == (("a", "b"),)
    assert {fact.status for fact in found.facts} == {"active"}


def test_merged_does_not_compare_categories() -> None:
    found = merged([made_fact("a", STATEMENTS[0]), made_fact("b", STATEMENTS[0], category="belief")], [])
    assert (found.unclear, {fact.status for fact in found.facts}) == ((), {"active"})


def test_merged_tells_statements_apart_when_the_subject_is_not_in_them() -> None:
    found = merged([made_fact("a", "Loves it.", subject="tea"), made_fact("b", "Loves it.", subject="golf")], [])
    assert {fact.status for fact in found.facts} == {"active"}


def test_merged_asks_about_facts_of_one_subject_when_their_words_differ() -> None:
    found = merged(
        [
            made_fact("a", "Settled down in Berlin", 1, subject="home"),
            made_fact("b", "Moved on to Porto", 2, subject="Home"),
        ],
        [],
    )
    assert found.unclear == (("a", "b"),)


def test_merged_closes_the_older_fact_when_the_newer_contradicts_it() -> None:
    facts = [made_fact("a", STATEMENTS[5], 3), made_fact("b", STATEMENTS[4], 1), made_fact("c", STATEMENTS[4], 2)]
    found = by_id(merged(facts, [Decision("a", "c", "contradicts")]))
    older = found["b"]
    assert (older.status, older.superseded_by, older.seen) == ("superseded", "a", 2)
    assert (older.valid_from, older.valid_to) == (day(1), day(3))
    assert (found["a"].status, found["a"].valid_to, found["c"].status) == ("active", None, "duplicate")


def test_merged_holds_what_was_said_last_when_the_user_came_back_to_it() -> None:
    facts = [made_fact("a", STATEMENTS[4], 0), made_fact("b", STATEMENTS[5], 2), made_fact("c", STATEMENTS[4], 4)]
    found = by_id(merged(facts, [Decision("a", "b", "contradicts")]))
    assert (found["b"].status, found["b"].superseded_by, found["b"].valid_to) == ("superseded", "a", day(4))
    assert found["a"].status == "active"


@pytest.mark.parametrize("times", [(1, 1), (None, 1), (None, None)])
def test_merged_keeps_both_when_the_dates_do_not_tell_which_is_newer(times: tuple[int | None, int | None]) -> None:
    facts = [made_fact(key, text, said) for key, text, said in zip("ab", STATEMENTS[4:6], times, strict=True)]
    found = merged(facts, [Decision("a", "b", "contradicts")])
    assert {fact.status for fact in found.facts} == {"active"}
    assert found.unclear == ()


def test_merged_opens_a_fact_again_when_the_newer_one_is_gone() -> None:
    facts = [made_fact("a", STATEMENTS[4], 1), made_fact("b", STATEMENTS[5], 2)]
    decisions = [Decision("a", "b", "contradicts")]
    closed = by_id(merged(facts, decisions))["a"]
    assert closed.status == "superseded"
    assert by_id(merged([closed], decisions))["a"] == replace(facts[0], valid_from=day(1))


def test_merged_bounds_its_questions_when_all_statements_are_of_one_form() -> None:
    for count in (200, 800):
        facts = [
            made_fact(f"f{i}", f"The user decided on tool {i} for the project", subject="the user")
            for i in range(count)
        ]
        assert 0 < len(merged(facts, []).unclear) <= 3 * count


def test_facts_hash_changes_only_when_active_facts_change() -> None:
    facts = [made_fact("a", STATEMENTS[4]), made_fact("b", STATEMENTS[5])]
    assert facts_hash(facts) == facts_hash([*reversed(facts), made_fact("c", "x", status="duplicate")])
    assert facts_hash(facts) != facts_hash(facts[:1])
