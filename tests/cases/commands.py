"""What the public commands say of a case."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@cache
def command(name: str, case: str, *options: str) -> Ended:
    """`ray-import NAME CASE` in a process of its own."""
    line = [sys.executable, "-m", "ray_import", name, str(HERE / case), *options]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)
    return Ended(done.returncode, done.stdout, done.stderr)


def messages(case: str, *options: str) -> list[dict[str, object]]:
    """The lines of `extract`, which has to end well."""
    ended = command("extract", case, *options)
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.out.split("\n") if line]


def texts(case: str, *options: str) -> list[str]:
    """The texts of the kept messages, in order."""
    return [str(message["text"]) for message in messages(case, *options)]


def left_out(case: str) -> dict[str, int]:
    """How many messages are left out, by reason, says `inspect`."""
    inspected: dict[str, dict[str, dict[str, int]]] = json.loads(command("inspect", case, "--json").out)
    return inspected["messages"]["left_out"]
