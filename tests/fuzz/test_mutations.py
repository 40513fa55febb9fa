"""A few mutations of every operator, the same ones every time. Many more: `python -m tests.fuzz --count 10000`."""

import json
from dataclasses import replace

import pytest

from tests.fuzz.breaking import OPERATORS, mutation
from tests.fuzz.exports import EXPORTS, good_export
from tests.fuzz.mutation import Mutation
from tests.fuzz.outcomes import Unbroken
from tests.fuzz.promises import tried, violations

SEEDS = range(8)


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_broken_export_crashes_nothing_and_costs_no_untouched_conversation(operator: str) -> None:
    broken = []
    for seed in SEEDS:
        trial = tried(mutation(operator, seed))
        if found := violations(trial):
            again = f'python -m tests.fuzz --operator "{operator}" --seed {seed} --count 1'
            broken.append("\n  ".join([again, trial.mutation.told_as, *found]))
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_seed_makes_the_same_mutation_every_time(operator: str) -> None:
    assert mutation(operator, 1) == mutation(operator, 1)
    assert mutation(operator, 1).file != mutation(operator, 2).file


@pytest.mark.parametrize("number", range(0, EXPORTS, 12))
def test_the_exports_are_good_before_they_are_broken(number: int) -> None:
    export = good_export(number)
    outcome = Unbroken().outcome(export)
    assert outcome.summary is not None
    assert outcome.summary.status == "complete"
    assert len(outcome.stored()) == len(export.conversations) > 0


@pytest.mark.parametrize("number", range(0, EXPORTS, 12))
def test_the_items_of_an_export_lie_where_it_says(number: int) -> None:
    export = good_export(number)
    data = export.written()
    assert [data[start:end] for start, end in export.spans] == list(export.items)
    assert [json.loads(item) for item in export.items] == list(export.values)


def harmless() -> Mutation:
    """A mutation of which nothing comes: commas between conversations."""
    found = (mutation("commas between", seed) for seed in range(100))
    return next(one for one in found if one.name.endswith(".json") and len(one.export.conversations) > 2)


def noticed(one: Mutation) -> set[str]:
    """The promises that are found broken."""
    return {line.split(":")[0] for line in violations(tried(one))}


def test_a_conversation_that_is_lost_is_noticed() -> None:
    one = harmless()
    assert noticed(one) == set()
    lost = one.export.written({one.export.conversations[1]: b"null"})
    assert "untouched_conversations_arrive" in noticed(replace(one, file=lost))


def test_a_conversation_that_came_to_other_rows_is_noticed() -> None:
    one = harmless()
    place = one.export.conversations[1]
    other = b" ".join([one.export.items[place][:1], one.export.items[place][1:]])
    assert "untouched_conversations_arrive" in noticed(replace(one, file=one.export.written({place: other})))


def test_silence_is_noticed() -> None:
    one = harmless()
    assert noticed(replace(one, broken=replace(one.broken, must_be_told=True))) == {"what_is_missing_is_told"}


def test_a_failure_that_costs_nothing_but_the_rest_is_noticed() -> None:
    one = harmless()
    assert "untouched_conversations_arrive" in noticed(replace(one, file=b""))
