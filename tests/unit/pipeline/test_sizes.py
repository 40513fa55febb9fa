"""How much of the bytes of a run is done, by states and readers that the test makes up."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.destinations.base import DONE_STATES, RunUser
from ray_import.pipeline.progress import Sizes

ANA, BEN = RunUser("ana", "ana.zip"), RunUser("ben", "ben.zip")


@dataclass(frozen=True, slots=True)
class Reading:
    """As much of a `UserImport` as counts here."""

    user: RunUser
    bytes_read: int
    bytes_total: int | None


def sizes_of(known_bytes: dict[str, int], *users: RunUser) -> Any:
    return Sizes(known_bytes, users or (ANA, BEN))


def test_share_is_unknown_when_a_size_is_not_known() -> None:
    sizes = sizes_of({"ana": 100})
    assert sizes.share([]) is None
    sizes.update(replace(ANA, state="complete"))
    assert sizes.share([]) is None
    assert sizes.share([Reading(BEN, 50, None)]) is None


@pytest.mark.parametrize("state", DONE_STATES)
def test_share_counts_an_export_whole_when_its_import_ended_well_or_not(state: Any) -> None:
    sizes = sizes_of({"ana": 100, "ben": 300})
    assert sizes.share([]) == 0.0
    sizes.update(replace(ANA, state=state))
    sizes.update(replace(ANA, state=state))
    assert sizes.share([]) == 0.25


def test_share_counts_what_a_resumed_run_had_done_when_it_was_interrupted() -> None:
    assert sizes_of({"ana": 100, "ben": 300}, replace(ANA, state="complete"), BEN).share([]) == 0.25


def test_share_is_in_proportion_to_the_json_when_a_packed_export_is_read() -> None:
    """400 bytes on the disk, of which a reader knows that they unpack to 2,000 of JSON."""
    sizes = sizes_of({"ana": 100, "ben": 300})
    assert sizes.share([Reading(BEN, 1_000, 2_000)]) == 150 / 400
    assert sizes.share([Reading(BEN, 3_000, 2_000)]) == 300 / 400
    assert sizes.share([Reading(BEN, 1_000, None)]) == 0.0


def test_share_uses_the_json_when_only_a_reader_knows_the_size() -> None:
    sizes = sizes_of({"ana": 100})
    assert sizes.share([Reading(BEN, 100, 300)]) == 0.25
    assert sizes.share([]) == 0.0, "a reader that broke off: its size stays known"
    sizes.opened("ben", 5_000)
    sizes.update(replace(BEN, state="complete"))
    assert sizes.share([]) == 0.75


def test_share_leaves_out_an_export_when_it_ended_without_a_known_size() -> None:
    sizes = sizes_of({"ana": 100})
    sizes.update(replace(BEN, state="failed"))
    assert sizes.share([]) == 0.0
    sizes.update(replace(ANA, state="complete"))
    assert sizes.share([]) == 1.0


def test_share_is_unknown_when_there_are_no_bytes() -> None:
    assert Sizes({}, []).share([]) is None
    assert sizes_of({"ana": 0, "ben": 0}).share([]) is None
    assert sizes_of({"ana": 0, "ben": 0, "another": 5}).share([]) is None


@given(st.lists(st.tuples(st.integers(0, 10**12), st.booleans(), st.integers(0, 10**12), st.integers(0, 10**12))))
def test_share_is_between_0_and_1_and_1_when_all_ended(users: list[tuple[int, bool, int, int]]) -> None:
    named = [RunUser(str(i), "x.zip") for i in range(len(users))]
    sizes = Sizes({str(i): size for i, (size, is_known, _, _) in enumerate(users) if is_known}, named)
    reading: list[Any] = [Reading(named[i], read, of) for i, (_, _, read, of) in enumerate(users)]
    share = sizes.share(reading)
    assert share is None or 0 <= share <= 1
    for user in named:
        sizes.update(replace(user, state="complete"))
    assert sizes.share([]) in (1.0, None)
