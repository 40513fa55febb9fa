"""What is told of a process that is gone: by a real process, to a server on this machine."""

import subprocess
import sys

import pytest

from tests.unit.pipeline.webhook import webhook

RUN = """
import os, signal, sys
from ray_import.pipeline.alerts import DeadMansSwitch
will = DeadMansSwitch(sys.argv[1])
for seconds in (1, 2):
    will.arm({"event": "died", "seconds": seconds})
"""
ENDS = {
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "aborted": "os.abort()",
    "asked, then killed": "os.killpg(0, signal.SIGTERM)",
    "left": "os._exit(1)",
}


def run(end: str, url: str) -> int:
    command = [sys.executable, "-c", f"{RUN}\n{end}", url]
    return subprocess.run(command, check=False, start_new_session=True, capture_output=True).returncode


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_of_a_process_that_is_gone_what_it_left_last_is_told_once(end: str) -> None:
    with webhook() as hook:
        assert run(end, hook.url) != 0
        assert hook.got.get(timeout=30) == {"event": "died", "seconds": 2}
        assert hook.messages() == []


def test_what_was_taken_back_is_not_told() -> None:
    with webhook() as hook:
        assert run("will.disarm()\nassert will._holder.returncode == 0\nos._exit(7)", hook.url) == 7
        assert hook.messages() == []


def test_where_there_is_no_webhook_there_is_no_process() -> None:
    assert run("assert will._holder is None\nwill.disarm()\nos._exit(7)", "") == 7


def test_a_run_goes_on_where_its_will_was_killed() -> None:
    killed = "will._holder.kill()\nwill._holder.wait()\nwill.arm({})\nwill.disarm()\nos._exit(7)"
    with webhook() as hook:
        assert run(killed, hook.url) == 7
        assert hook.messages() == []


def test_the_address_is_in_nobodys_arguments() -> None:
    look = "import psutil\nassert 'secret' not in str(psutil.Process(will._holder.pid).cmdline())\nwill.disarm()"
    with webhook() as hook:
        assert "secret" in hook.url
        assert run(f"{look}\nos._exit(7)", hook.url) == 7
