"""Whichever conversations a destination refuses, these are found, and the others are put in once, in their order."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import pairwise

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ray_import.chunks.rows import ConversationRows
from ray_import.destinations.base import WriteResult
from ray_import.destinations.halving import (
    TOO_LARGE,
    chunk_bytes,
    conversation_bytes,
    message_bytes,
    parts_of,
    put_halving,
    reject_bytes,
)
from ray_import.destinations.postgres.rows import batch_of, chunk_object, message_object
from ray_import.errors import RowsRefused, SinkBusy, SinkError, SinkOverloaded
from ray_import.records import Reject
from tests.contract.destinations import import_of, rows_for

PUT = WriteResult(2, 0)


class Destination:
    """Takes a part as a whole or not at all."""

    def __init__(self, poisonous: Collection[str] = (), most: int = 1000, overload: str = "57014") -> None:
        self.put_in: list[str] = []
        self.calls = 0
        self._poisonous = poisonous
        self._most = most
        self._overload = overload

    def put(self, part: Sequence[ConversationRows]) -> list[WriteResult]:
        self.calls += 1
        ids = [rows.conversation_id for rows in part]
        if len(ids) > self._most:
            raise SinkOverloaded("too slow", "a hint", code=self._overload)
        if any(one in self._poisonous for one in ids):
            raise RowsRefused("no", code="22021")
        self.put_in += ids
        return [PUT for _ in part]


def conversations(count: int) -> list[ConversationRows]:
    return [rows_for(f"c{i}") for i in range(count)]


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(min_value=1, max_value=50))
@example([True] * 40, 1)
@example([False] * 40, 1000)
def test_exactly_the_poisonous_are_refused_and_the_others_put_in_once_in_order(poison: list[bool], most: int) -> None:
    rows = conversations(len(poison))
    poisonous = {one.conversation_id for one, bad in zip(rows, poison, strict=True) if bad}
    destination = Destination(poisonous, most)
    outcomes = put_halving(rows, destination.put)
    assert [bool(outcome.refused) for outcome in outcomes] == poison
    assert destination.put_in == [one.conversation_id for one in rows if one.conversation_id not in poisonous]
    assert destination.calls < 2 * len(rows)


def test_one_poisonous_among_many_costs_few_calls() -> None:
    destination = Destination({"c77"})
    put_halving(conversations(128), destination.put)
    assert destination.calls <= 2 * 7 + 1


@pytest.mark.parametrize("code", ["57014", "504", "timeout"])
def test_one_that_is_too_slow_alone_is_the_destinations_fault(code: str) -> None:
    destination = Destination(most=0, overload=code)
    with pytest.raises(SinkBusy) as caught:
        put_halving(conversations(8), destination.put)
    error = caught.value
    assert (error.message, error.hint, error.code, error.retry) == ("too slow", "a hint", code, True)
    assert destination.calls == 4  # 8, 4, 2 and 1


def test_one_that_is_too_large_alone_is_refused() -> None:
    destination = Destination(most=0, overload=TOO_LARGE)
    outcomes = put_halving(conversations(3), destination.put)
    assert [outcome.refused for outcome in outcomes] == [TOO_LARGE] * 3


def test_what_is_wrong_for_good_is_not_tried_in_halves() -> None:
    calls = []

    def put(part: Sequence[ConversationRows]) -> list[WriteResult]:
        calls.append(len(part))
        raise SinkError("no such table")

    with pytest.raises(SinkError):
        put_halving(conversations(8), put)
    assert calls == [8]


SIZES = st.tuples(st.integers(0, 5), st.integers(0, 30), st.sampled_from("abcdefgh"))


@given(st.lists(SIZES, max_size=40), st.integers(1, 12), st.integers(1, 9_000))
def test_parts_are_within_the_limits_or_one_conversation_and_lose_nothing(
    sizes: list[tuple[int, int, str]], most_rows: int, most_bytes: int
) -> None:
    rows = [rows_for(name, chunks=chunks, version="é" * text, text="") for chunks, text, name in sizes]
    parts = list(parts_of(rows, most_rows, most_bytes))
    assert [one for part in parts for one in part] == rows
    for part in parts:
        ids = [one.conversation_id for one in part]
        assert len(ids) == len(set(ids)) >= 1
        count = sum(len(one.chunks) + len(one.messages) for one in part)
        size = sum(map(conversation_bytes, part))
        assert len(part) == 1 or (count <= most_rows and size <= most_bytes)
    for part, following in pairwise(parts):
        more = [*part, following[0]]
        count = sum(len(one.chunks) + len(one.messages) for one in more)
        assert (
            count > most_rows
            or sum(map(conversation_bytes, more)) > most_bytes
            or following[0].conversation_id in {one.conversation_id for one in part}
        )


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=300)


@given(NAMES, NAMES, NAMES, st.binary(max_size=300))
def test_sizes_count_all_columns_of_a_row_as_they_are_sent(title: str, thread: str, node: str, raw: bytes) -> None:
    rows = rows_for("c", chunks=3)
    chunk = rows.chunks[0]._replace(title=title, thread=thread, node_ids=orjson.dumps([node]).decode())
    message = rows.messages[0]._replace(text=title, thread=thread, parent_id=node)
    rows = replace(rows, title=title, chunks=(chunk,) * 3, messages=(message,) * 2)
    reject = Reject(title, 7, node, "damaged", raw)
    batch = batch_of(import_of(1), "hash", [rows], [reject], [])
    [ledger_row], [reject_row] = batch["conversations"], batch["rejects"]
    alone = conversation_bytes(replace(rows, chunks=(), messages=()))
    sizes = [chunk_bytes(chunk), alone, reject_bytes(reject), message_bytes(message)]
    for size, sent in zip(sizes, (chunk_object(chunk), ledger_row, reject_row, message_object(message)), strict=True):
        with_escapes = len(orjson.dumps(sent))
        unescaped = with_escapes - sum(
            len(orjson.dumps(value)) - 2 - len(value.encode()) for value in sent.values() if isinstance(value, str)
        )
        assert abs(size - unescaped) < 300 + 5 * len(node)
    assert conversation_bytes(rows) == sizes[1] + 3 * sizes[0] + 2 * sizes[3]


def test_parts_are_small_when_titles_threads_and_ids_are_long() -> None:
    rows = [rows_for(f"{i}", chunks=10, version="t" * 300, text="") for i in range(20)]
    long = [
        replace(one, chunks=tuple(chunk._replace(thread="k" * 200, node_ids="n" * 4000) for chunk in one.chunks))
        for one in rows
    ]
    for part in parts_of(long, 10_000, 100_000):
        sent = orjson.dumps([chunk._asdict() for one in part for chunk in one.chunks])
        assert len(sent) < 2 * 100_000


def test_parts_are_small_when_conversations_have_no_chunks() -> None:
    parts = list(parts_of([rows_for(f"{i}", chunks=0) for i in range(1000)], 500, 10_000))
    assert max(map(len, parts)) < 10_000 // 300 + 1
