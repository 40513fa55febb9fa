"""The product and the slow reading of the rules give the same on random conversations. One more time, or many more:
`python -m tests.reading --seed N --count 1`.
"""

import pytest

from tests.reading.__main__ import branches_of, told
from tests.reading.comparison import differences
from tests.reading.generator import conversation

CASES = 3000
CASES_PER_TEST = 100
MOST_SHOWN = 3


@pytest.mark.parametrize("first", range(0, CASES, CASES_PER_TEST))
def test_extract_equals_the_reading_when_conversations_are_random(first: int) -> None:
    seeds = range(first, first + CASES_PER_TEST)
    differing = [seed for seed in seeds if differences(conversation(seed), branches_of(seed))]
    assert not differing, f"seeds {differing}\n\n" + "\n\n".join(map(told, differing[:MOST_SHOWN]))


def test_generator_repeats_a_conversation_when_the_seed_is_the_same() -> None:
    assert conversation(1) == conversation(1)
    assert conversation(1) != conversation(2)
