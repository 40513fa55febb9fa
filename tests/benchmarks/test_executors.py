"""The constants that a benchmark finds give the figures that it measured."""

import pytest

from benchmarks.executors import SMALL_MB, Measured, costs_of
from ray_import.inline.estimate import MEGABYTE, estimate


def test_estimate_gives_what_was_measured_when_its_costs_come_from_that() -> None:
    measured = Measured(101.0, 0.5, 2.5, 4.5, 6.1, 0.2, 0.4)
    costs = costs_of(measured, 2)
    small, large = (estimate(int(mb * MEGABYTE), "plain", 2, costs) for mb in (SMALL_MB, measured.megabytes))
    assert costs.ray_start_seconds == pytest.approx(4.0)
    assert large.inline_seconds - small.inline_seconds == pytest.approx(2.0)
    assert large.ray_seconds - small.ray_seconds == pytest.approx(1.6)
    zipped = estimate(int(measured.megabytes * MEGABYTE), "zip", 2, costs)
    assert zipped.inline_seconds - large.inline_seconds == pytest.approx(0.2)
