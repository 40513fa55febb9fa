"""Which step the others wait for, told from the reader's waiting and the workers' own clocks."""

import pytest

from ray_import.pipeline.progress import BottleneckEstimator, Step
from ray_import.records import BatchResult, Counts


def result(seconds: float, sink_seconds: float) -> BatchResult:
    return BatchResult(Counts(), (), seconds, sink_seconds)


@pytest.mark.parametrize(
    ("waited", "worked", "written", "bottleneck"),
    [
        (0.00, 0.1, 0.1, "reading"),
        (0.03, 0.1, 0.1, "reading"),
        (0.15, 0.3, 0.1, "working"),
        (0.15, 0.1, 0.3, "writing"),
        (0.20, 0.0, 0.0, "working"),
    ],
)
def test_the_slowest_step_is_the_one_that_is_waited_for(
    waited: float, worked: float, written: float, bottleneck: Step
) -> None:
    pace = BottleneckEstimator()
    for _ in range(20):
        pace.add(result(worked + written, written))
        pace.look(0.2, waited)
    assert pace.bottleneck == bottleneck


def test_before_anything_is_known_nothing_is_said() -> None:
    assert BottleneckEstimator().bottleneck is None


def test_what_was_long_ago_is_forgotten() -> None:
    pace = BottleneckEstimator()
    for _ in range(500):
        pace.look(0.2, 0.0)
    for _ in range(20):
        pace.add(result(0.2, 0.19))
        pace.look(0.2, 0.19)
    assert pace.bottleneck == "writing"
