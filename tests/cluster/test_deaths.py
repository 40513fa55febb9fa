"""What a worker has died of, as Ray's head has it."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.ray


def said_by(*ways: str) -> list[str]:
    program = [sys.executable, "-m", "tests.cluster.dying", *ways]
    said = subprocess.run(program, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in said if line.startswith(ways)]


@pytest.mark.parametrize("ways", [("crash", "machine"), ("memory",)])
def test_a_crash_want_of_memory_and_a_lost_machine_are_told_apart(ways: tuple[str, ...]) -> None:
    assert said_by(*ways) == [f"{way} {way}" for way in ways]


def test_a_worker_that_is_lost_with_its_machine_while_it_has_nothing_to_do_is_missed() -> None:
    [said] = said_by("idle")
    assert "No worker restarted" in said
