"""Where an import runs, by sizes, packing and CPUs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.errors import ConfigError
from ray_import.inline.estimate import (
    COSTS,
    Choice,
    Packing,
    Situation,
    crossover_bytes,
    estimate,
    executor_for,
)

SIZES = st.integers(0, 10**12)
PACKINGS: st.SearchStrategy[Packing] = st.sampled_from(["plain", "zip", "unknown"])
CPUS = st.integers(1, 256)


@given(SIZES, SIZES, PACKINGS, CPUS)
def test_estimate_grows_when_size_grows(one: int, other: int, packing: Packing, cpus: int) -> None:
    small, large = estimate(min(one, other), packing, cpus), estimate(max(one, other), packing, cpus)
    assert small.inline_seconds <= large.inline_seconds
    assert COSTS.ray_start_seconds <= small.ray_seconds <= large.ray_seconds


@given(SIZES, PACKINGS, CPUS)
def test_estimate_of_ray_falls_and_of_inline_stays_when_cpus_are_added(size: int, packing: Packing, cpus: int) -> None:
    few, more = estimate(size, packing, cpus), estimate(size, packing, cpus + 1)
    assert more.ray_seconds <= few.ray_seconds
    assert more.inline_seconds == few.inline_seconds


@given(SIZES, CPUS)
def test_estimate_is_not_lower_when_json_is_packed(size: int, cpus: int) -> None:
    plain, packed = estimate(size, "plain", cpus), estimate(size, "zip", cpus)
    assert plain.inline_seconds <= packed.inline_seconds
    assert plain.ray_seconds <= packed.ray_seconds


@given(SIZES, PACKINGS, CPUS)
def test_executor_changes_once_when_size_passes_the_crossover(size: int, packing: Packing, cpus: int) -> None:
    crossover = crossover_bytes(packing, cpus)
    chosen = executor_for(Situation(size_bytes=size, packing=packing, cpus=cpus)).executor
    if crossover is None or size < crossover * 0.999:
        assert chosen == "inline"
    elif size > crossover * 1.001:
        assert chosen == "ray"


def test_crossover_falls_when_cpus_are_added_and_is_never_on_one() -> None:
    assert crossover_bytes("plain", 1) is None
    on_2, on_8 = crossover_bytes("plain", 2), crossover_bytes("plain", 8)
    assert on_2 is not None
    assert on_8 is not None
    assert on_2 > 300e6
    assert on_8 < on_2 / 2


@pytest.mark.parametrize(
    ("situation", "why"),
    [
        (Situation(size_bytes=1, ray_address=True), "RAY_ADDRESS is set"),
        (Situation(size_bytes=1, inside_job=True, ray_address=True), "inside a job"),
        (Situation(size_bytes=1, workers=1), "--workers"),
        (Situation(size_bytes=1, users=1_000), "1,000 users"),
        (Situation("ray", size_bytes=1), "--executor ray"),
        (Situation(size_bytes=10**12, packing="plain", cpus=8), "estimated 57 min, without Ray 288 min"),
    ],
)
def test_executor_is_ray_when_something_asks_for_it(situation: Situation, why: str) -> None:
    assert executor_for(situation) == Choice("ray", why)


@pytest.mark.parametrize(
    ("situation", "why"),
    [
        (Situation(size_bytes=43_000, packing="plain", cpus=2), "estimated 0.1 s, with Ray 3.9 s"),
        (Situation(size_bytes=None, cpus=64), "the size of the export is not known"),
        (Situation("inline", size_bytes=10**12, cpus=64, ray_address=True), "--executor inline"),
    ],
)
def test_executor_is_this_process_when_nothing_speaks_for_ray(situation: Situation, why: str) -> None:
    assert executor_for(situation) == Choice("inline", why)


def test_executor_is_refused_when_workers_are_asked_for_without_ray() -> None:
    with pytest.raises(ConfigError, match="--workers"):
        executor_for(Situation("inline", workers=2))
