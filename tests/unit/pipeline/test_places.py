"""How many readings may begin, in the normal lane and in that of slow servers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.pipeline.engine import FreePlaces, free_places


@pytest.mark.parametrize(
    ("normal", "silent", "slow", "expected"),
    [
        (0, 0, 0, FreePlaces(4, 4)),
        (4, 0, 0, FreePlaces(0, 4)),
        (4, 4, 0, FreePlaces(4, 0)),
        (8, 8, 0, FreePlaces(0, 0)),
        (4, 4, 4, FreePlaces(0, 0)),
        (4, 3, 2, FreePlaces(2, 0)),
        (2, 0, 4, FreePlaces(2, 0)),
        (6, 1, 1, FreePlaces(0, 1)),
        (8, 0, 0, FreePlaces(0, 0)),
    ],
)
def test_free_places_are_those_that_nobody_takes_when_four_are_allowed(
    normal: int, silent: int, slow: int, expected: FreePlaces
) -> None:
    assert free_places(4, normal, silent, slow) == expected


@given(most=st.integers(0, 50), normal=st.integers(0, 60), data=st.data())
def test_free_places_never_exceed_two_lanes_when_some_are_taken(most: int, normal: int, data: st.DataObject) -> None:
    silent, slow = data.draw(st.integers(0, normal)), data.draw(st.integers(0, most))
    free = free_places(most, normal, silent, slow)
    assert min(free.normal, free.slow) >= 0
    assert normal + slow + free.normal + free.slow <= max(2 * most, normal + slow)
    assert slow + free.slow <= most
