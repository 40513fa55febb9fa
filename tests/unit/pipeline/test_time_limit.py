"""What ends the process of a batch that computes for too long; in a process of its own, without a Ray."""

import signal
import subprocess
import sys

import pytest

CATASTROPHIC = "import re; re.match('(a+)+$', 'a' * 100 + 'b')"
"""In C, with the interpreter's lock held: no thread of Python's gets its turn."""
ENDLESS = "while True: pass"
WAITING = "import time; time.sleep(1)"


def ended(body: str) -> int:
    """The exit code of a process that does `body` within half a second of CPU time."""
    code = f"from ray_import.pipeline.batch import ended_after\nwith ended_after(0.5):\n    exec({body!r})"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode


@pytest.mark.parametrize("body", [CATASTROPHIC, ENDLESS])
def test_worker_is_ended_by_the_kernel_when_a_batch_computes_for_too_long(body: str) -> None:
    assert ended(body) == -signal.SIGPROF


def test_worker_goes_on_when_a_batch_only_waits_for_longer() -> None:
    assert ended(WAITING) == 0


def test_worker_goes_on_when_it_computes_after_its_batch() -> None:
    code = (
        "import time\nfrom ray_import.pipeline.batch import ended_after\nwith ended_after(0.5): pass\n"
        "until = time.process_time() + 1\nwhile time.process_time() < until: pass"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
