"""When it is no fault of a conversation that it is refused."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.chunks.rows import ConversationRows
from ray_import.destinations.base import WriteResult
from ray_import.destinations.halving import put_halving
from ray_import.destinations.refusals import FirstRefusals, Refusals
from ray_import.errors import EverythingRefused, RowsRefused
from ray_import.records import BatchResult, Counts, RejectRef
from tests.contract.destinations import rows_for


def result(*reasons: str, **counts: Any) -> BatchResult:
    rejects = tuple(RejectRef("conversations.json", i, reason) for i, reason in enumerate(reasons))
    return BatchResult(Counts(**counts), rejects)


def refusals(*results: BatchResult) -> Refusals:
    found = Refusals()
    for one in results:
        found.add(one)
    return found


@pytest.mark.parametrize(("count", "now", "at_end"), [(1, None, None), (2, None, "X"), (19, None, "X"), (20, "X", "X")])
def test_code_of_all_is_the_one_code_when_enough_are_refused(count: int, now: str | None, at_end: str | None) -> None:
    found = refusals(*(result("refused:X") for _ in range(count)))
    assert (found.code_of_all(), found.code_of_all(at_end=True)) == (now, at_end)


@pytest.mark.parametrize(("unchanged", "at_end"), [(0, "X"), (1, None)])
def test_code_of_all_is_none_at_the_end_when_others_are_unchanged(unchanged: int, at_end: str | None) -> None:
    found = refusals(result(*["refused:X"] * 19), result(unchanged=unchanged))
    assert found.code_of_all(at_end=True) == at_end


@pytest.mark.parametrize(("taken", "code"), [({"imported": 1}, None), ({"empty": 1}, "X")])
def test_code_of_all_is_none_only_when_one_has_written_chunks(taken: dict[str, int], code: str | None) -> None:
    found = refusals(result(*["refused:X"] * 30), result(**taken))
    assert (found.code_of_all(), found.code_of_all(at_end=True)) == (code, code)


def test_code_of_all_is_none_when_there_are_two_codes() -> None:
    found = refusals(result(*["refused:X"] * 30, "refused:Y"))
    assert (found.code_of_all(), found.code_of_all(at_end=True)) == (None, None)


def test_code_of_all_looks_past_what_never_reached_the_destination() -> None:
    found = refusals(result("truncated", *["refused:X"] * 20, "damaged", not_a_conversation=3))
    assert found.code_of_all() == "X"


class Refusing:
    """A destination that refuses some, and counts how often it is asked."""

    def __init__(self, poison: Sequence[bool]) -> None:
        self.poison = {f"c{i}" for i, bad in enumerate(poison) if bad}
        self.rows = [rows_for(f"c{i}") for i in range(len(poison))]
        self.calls = 0

    def put(self, part: Sequence[ConversationRows]) -> list[WriteResult]:
        self.calls += 1
        if any(rows.conversation_id in self.poison for rows in part):
            raise RowsRefused("no", code="X")
        return [WriteResult(2, 0) for _ in part]


def test_put_halving_stops_when_the_first_twenty_are_refused() -> None:
    destination, asked = Refusing([True] * 1024), list[int]()

    def takes_none(hashes: Sequence[str]) -> bool:
        asked.append(len(hashes))
        return True

    with pytest.raises(EverythingRefused) as caught:
        put_halving(destination.rows, destination.put, FirstRefusals(takes_none))
    assert (caught.value.code, caught.value.retry, asked) == ("X", False, [20])
    assert destination.calls < 60


def test_put_halving_finds_each_and_asks_once_when_another_worker_has_put_something_in() -> None:
    destination, asked = Refusing([True] * 64), list[int]()

    def takes_none(hashes: Sequence[str]) -> bool:
        asked.append(len(hashes))
        return False

    outcomes = put_halving(destination.rows, destination.put, FirstRefusals(takes_none))
    assert [outcome.refused for outcome in outcomes] == ["X"] * 64
    assert asked == [20]


def test_put_halving_stops_when_all_that_was_taken_has_no_chunks() -> None:
    destination = Refusing([False, *[True] * 30])

    def put(part: Sequence[ConversationRows]) -> list[WriteResult]:
        return [replace(one, written=0) for one in destination.put(part)]

    with pytest.raises(EverythingRefused):
        put_halving(destination.rows, put, FirstRefusals(lambda _: True))


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_put_halving_stops_only_when_none_of_the_first_twenty_is_taken(poison: list[bool]) -> None:
    destination = Refusing(poison)
    first = FirstRefusals(lambda _: True)
    if len(poison) >= 20 and all(poison[:20]):
        with pytest.raises(EverythingRefused):
            put_halving(destination.rows, destination.put, first)
    else:
        outcomes = put_halving(destination.rows, destination.put, first)
        assert [bool(outcome.refused) for outcome in outcomes] == poison
