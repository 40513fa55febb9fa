#!/usr/bin/env python3
"""Runs the project from a fresh clone: python3 scripts/dev.py COMMAND [ARGUMENT ...]

sample  imports examples/export into chunks.db; further arguments go to `ray-import run`
check   static checks and the tests that start no Ray: seconds; further arguments go to pytest
test    static checks and every test; further arguments go to pytest

Each command first makes or refreshes the environment .venv in the project's folder, and runs in that folder.
"""

import hashlib
import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

# No newer syntax than Python 3.6's in this file: an old Python must come as far as saying that it is too old.
OLDEST, NEWEST = (3, 11), (3, 13)

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "dev-stamp"

SAMPLE = ("ray-import", "run", "examples/export", "--to", "sqlite:///chunks.db", "--executor", "ray")
FAST_TESTS = ("pytest", "-n", "2", "-m", "not ray")
# Their lengths differ much: who has done all of its own takes some of the other's.
RAY_TESTS = ("pytest", "-n", "2", "--dist", "worksteal", "-m", "ray")
STATIC_CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("lint-imports",),
)


def main(arguments: "list[str]") -> None:
    """Runs one command and ends the process with its exit code; 2 where the command line makes no sense."""
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if command in ("-h", "--help"):
        print(__doc__)
        return
    if command not in ("sample", "check", "test"):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    require_python()
    os.chdir(ROOT)
    if command == "sample":
        install(dev=False)
        become(SAMPLE, rest)
    install(dev=True)
    for step in STATIC_CHECKS:
        run(step)
    if command == "check":
        become(FAST_TESTS, rest)
    if rest:
        become(("pytest",), rest)
    run(FAST_TESTS)
    become(RAY_TESTS, [])


def require_python() -> None:
    """Stops unless this Python can make the environment."""
    here = f"{platform.python_version()} ({sys.executable})"
    if os.name != "posix":
        stop("This project runs on Linux and macOS.", "On Windows, use it inside WSL.")
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        stop(
            f"This project needs Python {version(OLDEST)} to {version(NEWEST)}; this is {here}.",
            "Run the same command with one of these, for example: python3.12 scripts/dev.py test",
        )
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        stop(
            f"This Python cannot make virtual environments, its venv or ensurepip module is missing: {here}.",
            "On Debian or Ubuntu: sudo apt install python3-venv. Then run the same command again.",
        )


def version(pair: "tuple[int, int]") -> str:
    """(3, 11) as 3.11."""
    return ".".join(map(str, pair))


def install(*, dev: bool) -> None:
    """Leaves the project installed in .venv, editable, with the development tools if `dev`.

    The stamp is there only while the environment is whole: without one, or with the stamp of another Python,
    folder or pyproject.toml, the environment is made anew.
    """
    fingerprint = environment_fingerprint()
    stamp = STAMP.read_text().split() if STAMP.exists() and PYTHON.exists() else []
    usable = stamp[:1] == [fingerprint]
    if usable and ("dev" in stamp or not dev):
        return
    STAMP.unlink(missing_ok=True)
    if usable:
        print("Installing the development tools into .venv: a minute or two the first time ...", flush=True)
    else:
        what = "Remaking .venv, which is unfinished or out of date" if VENV.exists() else "Making .venv"
        print(f"{what}, and installing the project: a minute or two the first time ...", flush=True)
        prepare([sys.executable, "-m", "venv", "--clear", str(VENV)])
    prepare([str(PYTHON), "-m", "pip", "install", "-q", "-e", ".[dev]" if dev else "."])
    STAMP.write_text(f"{fingerprint} {'dev' if dev else 'plain'}\n")


def environment_fingerprint() -> str:
    """Changes with whatever makes an environment stale: its place too, which its scripts hold."""
    parts = ((ROOT / "pyproject.toml").read_bytes(), platform.python_version().encode(), os.fsencode(VENV))
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def prepare(command: "list[str]") -> None:
    """Runs a part of the installation, or stops."""
    if subprocess.call(command) != 0:
        stop("Could not make .venv: the reason stands above.", "Run the same command again to start over.")


def run(step: "tuple[str, ...]") -> None:
    """Runs one tool of .venv; its failure ends the process with its exit code."""
    announce(step)
    code = subprocess.call([str(VENV / "bin" / step[0]), *step[1:]])
    if code != 0:
        print(f"FAILED: {' '.join(step)}", file=sys.stderr)
        sys.exit(code if code > 0 else 128 - code)


def become(step: "tuple[str, ...]", rest: "list[str]") -> NoReturn:
    """Replaces this process by a tool of .venv: signals reach the tool, its exit code is the command's."""
    announce((*step, *rest))
    os.execv(VENV / "bin" / step[0], [*step, *rest])


def announce(step: "tuple[str, ...]") -> None:
    """Prints a step's name, before whatever the step prints."""
    print(f"== {' '.join(step)}", flush=True)


def stop(what: str, remedy: str) -> NoReturn:
    """Ends the process with an error in two lines."""
    sys.exit(f"{what}\n{remedy}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
