"""Trees are made of small Python processes that burn CPU, hold memory, or start others."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.metering import Meter
from benchmarks.process_tree import ProcessTree

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

BURN = "import time; end = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"
WAIT = "print('ready', flush=True); input()"


@contextmanager
def script(code: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `code` until it has printed a line; at the end lets its `input()` return."""
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline()
        yield process
        process.communicate(b"\n\n")


def test_memory_of_a_process_is_seen() -> None:
    with script(WAIT) as small, script("held = b'x' * 50_000_000\n" + WAIT) as large:
        difference = ProcessTree(large.pid).read().pss_bytes - ProcessTree(small.pid).read().pss_bytes
    assert difference == pytest.approx(50e6, rel=0.1)


def test_cpu_of_a_child_counts_also_after_its_end() -> None:
    burn = BURN.format(seconds=0.6)
    child = f"import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', {burn!r}])\n"
    report = "print('ready', flush=True); child.wait(); print('ended', flush=True); input()"
    with script(child + report) as root:
        assert root.stdout
        with Meter(ProcessTree(root.pid), interval_s=0.02) as meter:
            root.stdout.readline()
    assert meter.usage().cpu_seconds == pytest.approx(0.6, abs=0.15)
    assert meter.usage().peak_processes == 2


def test_an_adopted_process_is_found_by_its_marker() -> None:
    marker = f"marker-{time.monotonic_ns()}"
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'input()', {marker!r}])"
    with script(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {orphan!r}]); {WAIT}") as root:
        assert ProcessTree(root.pid).read().processes == 1
        assert ProcessTree(root.pid, marker).read().processes == 2


def test_a_tree_that_has_ended_uses_nothing_more() -> None:
    with script(WAIT) as root:
        tree = ProcessTree(root.pid)
        before = tree.read()
    after = tree.read()
    assert (after.processes, after.pss_bytes) == (0, 0)
    assert after.cpu_seconds == before.cpu_seconds
