"""What a worker has died of, as Ray's head has it."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.ray


@pytest.mark.parametrize("ways", [("crash", "machine"), ("memory",)])
def test_a_crash_want_of_memory_and_a_lost_machine_are_told_apart(ways: tuple[str, ...]) -> None:
    program = [sys.executable, "-m", "tests.cluster.dying", *ways]
    said = subprocess.run(program, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line for line in said if line.startswith(ways)] == [f"{way} {way}" for way in ways]
