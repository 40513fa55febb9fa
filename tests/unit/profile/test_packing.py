"""Packs: each unit in one, none over its size, well filled."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ray_import.chunks.rows import MessageRow
from ray_import.profile.cutting import units_of
from ray_import.profile.facts_prompt import FACTS_SCHEMA, facts_prompt, overhead_tokens
from ray_import.profile.packing import OPEN_PACKS, PACK_TOKENS, Pack, halves, packed, packs_of
from ray_import.profile.units import UNIT_TOKENS, Unit
from tests.unit.profile.stored import MODEL, chats, conversation, messages


@dataclass(frozen=True)
class Sized:
    number: int
    tokens: int


def unit(name: str, text: str = "Hello") -> Unit:
    rows = messages(("user", text), conversation=name)
    return units_of(conversation(rows, name), rows, MODEL, ())[0]


@given(st.lists(st.integers(1, UNIT_TOKENS), max_size=300))
def test_packed_has_every_unit_once_and_holds_the_size(sizes: list[int]) -> None:
    units = [Sized(i, size) for i, size in enumerate(sizes)]
    packs = list(packed(units))
    assert sorted((unit for pack in packs for unit in pack), key=lambda unit: unit.number) == units
    assert all(0 < sum(unit.tokens for unit in pack) <= PACK_TOKENS for pack in packs)
    assert all([unit.number for unit in pack] == sorted(unit.number for unit in pack) for pack in packs)


@settings(max_examples=20)
@given(st.randoms(use_true_random=False), st.integers(50, UNIT_TOKENS))
def test_packed_fills_packs_when_sizes_are_mixed(random: Random, largest: int) -> None:
    sizes = [random.randint(40, largest) for _ in range(600)]
    packs = list(packed(Sized(i, size) for i, size in enumerate(sizes)))
    assert len(packs) <= sum(sizes) / (PACK_TOKENS * 0.92) + 2


def test_packed_keeps_few_units_in_memory_when_there_are_many() -> None:
    taken = 0

    def counted() -> Iterator[Sized]:
        nonlocal taken
        for taken in range(1, 5001):
            yield Sized(taken, UNIT_TOKENS - 7)

    given_out = most_waiting = 0
    for pack in packed(counted()):
        most_waiting = max(most_waiting, taken - given_out)
        given_out += len(pack)
    assert given_out == 5000
    assert most_waiting <= 2 * OPEN_PACKS + 2


@settings(max_examples=40)
@given(st.lists(chats(6), max_size=6))
def test_packs_of_makes_prompts_of_the_counted_size(chats_of_user: list[list[MessageRow]]) -> None:
    units = [
        unit
        for i, rows in enumerate(chats_of_user)
        for unit in units_of(conversation(rows, f"c{i}"), rows, MODEL, ())
    ]  # fmt: skip
    for pack in packs_of(units):
        prompt = facts_prompt(pack, custom_id="id", mark="0123456789abcdef", model=MODEL)
        assert prompt.input_tokens <= PACK_TOKENS + overhead_tokens("facts", FACTS_SCHEMA) + 50
        numbers = [i for i in range(1, len(pack.lines) + 2) if f"\n[{i}] " in prompt.text]
        assert numbers == list(range(1, len(pack.lines) + 1))


def test_halves_have_every_unit_in_order() -> None:
    units = tuple(unit(f"c{i}", "word " * (i + 1)) for i in range(5))
    left, right = halves(Pack(units))
    assert left.units + right.units == units
    assert abs(left.tokens - right.tokens) <= max(unit.tokens for unit in units)


def test_halves_have_one_unit_each_when_the_first_is_the_largest() -> None:
    left, right = halves(Pack((unit("c1", "word " * 900), unit("c2"))))
    assert (len(left.units), len(right.units)) == (1, 1)


def test_halves_refuses_when_there_is_one_unit() -> None:
    with pytest.raises(ValueError, match="one unit"):
        halves(Pack((unit("c1"),)))
