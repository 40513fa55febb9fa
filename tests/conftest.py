"""Fixtures for all tests."""

from ray_import.cluster.environment import prepare_environment

prepare_environment()  # before any test imports Ray

pytest_plugins = ["tests.gateway.fixtures"]
