"""How many exports are read at a time, so that slow servers hold up no other user.

There are two lanes of `most_active` places each. In the normal one a source that is slow gives its place up
(SourceSlow); its user is then read again in the slow lane, where only the deadline ends the reading. A reading in the
normal lane from which nothing comes takes a free place of the slow lane instead, until something does.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FreePlaces:
    """How many more readings may begin in each lane."""

    normal: int
    slow: int


def free_places(most_active: int, normal: int, silent: int, slow: int) -> FreePlaces:
    """What is free beside so many readings in the normal lane, `silent` of which wait for their servers, and in the
    slow one. There are never more readings than both lanes have places, also where silent ones go on."""
    beside = min(silent, max(0, most_active - slow))
    for_slow = min(most_active - slow - beside, 2 * most_active - slow - normal)
    return FreePlaces(max(0, most_active - (normal - beside)), max(0, for_slow))
