from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.pipeline.batching import MOST_CONVERSATIONS, batches_of, split_batch
from ray_import.records import Batch, RawConversation

DATA = st.lists(st.binary(max_size=20), max_size=12)
BOUNDS = st.integers(1, 60)


def raws(data: list[bytes]) -> list[RawConversation]:
    return [RawConversation("m.json", i, i * 100, item, "damaged" if i % 3 == 2 else "") for i, item in enumerate(data)]


def given_back(batch: Batch) -> list[tuple[str, int, bytes, str]]:
    """What a worker makes of a batch: each conversation's bytes, and where it comes from."""
    return [
        (frame.member, frame.position, batch.payload[frame.start : frame.start + frame.length], frame.damage)
        for frame in batch.frames
    ]


def as_given(conversations: list[RawConversation]) -> list[tuple[str, int, bytes, str]]:
    return [(raw.member, raw.position, raw.data, raw.damage) for raw in conversations]


@given(data=DATA, bound=BOUNDS)
def test_batches_give_back_every_conversation_in_order(data: list[bytes], bound: int) -> None:
    batches = list(batches_of(raws(data), bound))
    assert [item for batch in batches for item in given_back(batch)] == as_given(raws(data))
    assert [batch.size_bytes for batch in batches] == [len(batch.payload) for batch in batches]
    assert b"".join(batch.payload for batch in batches) == b"".join(data)


@given(data=DATA, bound=BOUNDS)
def test_a_batch_is_within_the_bound_or_one_conversation_and_as_full_as_it_can_be(
    data: list[bytes], bound: int
) -> None:
    batches = list(batches_of(raws(data), bound))
    assert all(len(batch.payload) <= bound or len(batch.frames) == 1 for batch in batches)
    for batch, following in pairwise(batches):
        assert len(batch.payload) + following.frames[0].length > bound


def test_no_more_is_read_than_a_batch_needs() -> None:
    read = []

    def source() -> Iterator[RawConversation]:
        for raw in raws([b"1234"] * 10):
            read.append(raw.position)
            yield raw

    batches = batches_of(source(), 8)
    next(batches)
    assert read == [0, 1, 2]


def test_a_batch_has_so_many_conversations_at_most_when_they_are_tiny() -> None:
    batches = list(batches_of(raws([b"{}"] * (2 * MOST_CONVERSATIONS + 3)), 4 * 1024 * 1024))
    assert [len(batch.frames) for batch in batches] == [MOST_CONVERSATIONS, MOST_CONVERSATIONS, 3]


def test_a_conversation_larger_than_a_batch_is_given_away_before_the_next_is_read() -> None:
    read = []

    def source() -> Iterator[RawConversation]:
        for raw in raws([b"12", b"123456789", b"123456789", b"1"]):
            read.append(raw.position)
            yield raw

    batches = batches_of(source(), 8)
    seen = [(len(batch.frames), list(read)) for batch in batches]
    assert seen == [(1, [0, 1]), (1, [0, 1]), (1, [0, 1, 2]), (1, [0, 1, 2, 3])]


def test_without_conversations_there_is_no_batch() -> None:
    assert list(batches_of([], 10)) == []


@given(data=st.lists(st.binary(max_size=20), min_size=2, max_size=12))
def test_two_halves_give_back_the_whole(data: list[bytes]) -> None:
    (batch,) = batches_of(raws(data), 10_000)
    first, second = split_batch(batch)
    assert given_back(first) + given_back(second) == given_back(batch)
    assert abs(len(first.frames) - len(second.frames)) <= 1
    assert first.size_bytes + second.size_bytes == batch.size_bytes


@pytest.mark.parametrize("count", [2, 3, 7, 8, 100])
def test_halving_ends_with_single_conversations(count: int) -> None:
    (whole,) = batches_of(raws([bytes([i % 256]) for i in range(count)]), 10_000)
    parts, single = [whole], []
    while parts:
        part = parts.pop()
        if len(part.frames) == 1:
            single.append(part)
        else:
            parts.extend(split_batch(part))
    assert sorted(item for part in single for item in given_back(part)) == sorted(given_back(whole))
