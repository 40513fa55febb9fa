"""A fence around the unit tests: none of them starts Ray, and none of them waits.

Properties are tried on the same examples every time; for new ones: pytest tests/unit --hypothesis-profile=explore
"""

import importlib.util
import sys
import time
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "repeatable", database=None, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "explore", settings.get_profile("repeatable"), derandomize=False, max_examples=2000, print_blob=True
)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def fence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `ray.init` and `time.sleep` fail the test, also where the code under test catches every Exception."""

    def no_ray(*_: object, **__: object) -> NoReturn:
        pytest.fail("A unit test starts Ray.")

    def no_sleep(*_: object) -> NoReturn:
        pytest.fail("A unit test sleeps; hand it a clock.")

    monkeypatch.setattr(time, "sleep", no_sleep)
    loaded = sys.modules["ray"] if "ray" in sys.modules else importlib.util.find_spec("ray")
    if loaded is not None:
        monkeypatch.setattr("ray.init", no_ray)
