"""Fixtures for all tests."""

import os
import signal
from pathlib import Path

import pytest

from ray_import.cluster.environment import prepare_environment

# Both would win over the address that a test names, in Ray's client and command line.
for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
    os.environ.pop(name, None)
prepare_environment()  # before any test imports Ray
# The background of a script ignores Ctrl-C, and so does all that is started there: tests of Ctrl-C, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as nohup ignores SIGHUP


@pytest.fixture(autouse=True)
def state_of_the_user(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what imports leave for the next one: none of the tests' own user."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


pytest_plugins = ["tests.support.gateway.fixtures"]
