"""Fixtures for all tests."""

import pytest

from ray_import.cluster.environment import prepare_environment

prepare_environment()  # before any test imports Ray

pytest_plugins = ["tests.gateway.fixtures"]


# First, since the group has to be known before pytest-xdist looks for it.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start Ray run one after the other, in one process: they share a Ray, and two would want the CPUs."""
    for item in items:
        if item.get_closest_marker("ray"):
            item.add_marker(pytest.mark.xdist_group("ray"))
