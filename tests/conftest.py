"""Fixtures for all tests."""

import signal

from ray_import.cluster.environment import prepare_environment

prepare_environment()  # before any test imports Ray
# The background of a script ignores Ctrl-C, and so does all that is started there: tests of Ctrl-C, too.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.gateway.fixtures"]
