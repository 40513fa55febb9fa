"""Standard streams that are closed, full or gone: the exit code stays right, and nobody sees a traceback."""

import io
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ray_import.cli.output import _Lines
from tests.cli.commands import environment
from tests.unit.source.exports import conversation, exported, written

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")

GOOD = exported([conversation("a", "One.", "Two."), conversation("b", "Three.", "Four.")])
NOT_WRITTEN = "error: The results could not be written to standard output: No space left on device."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    written(tmp_path / "good.json", GOOD)
    written(tmp_path / "cut-off.json", GOOD[:-100])
    return tmp_path


def run_with(folder: Path, redirections: str, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `ray-import` behind the redirections of a shell."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, "-m", "ray_import", *arguments],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "fault" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("redirections", "arguments", "code"),
    [
        (">&-", ["inspect", "good.json"], 0),
        (">&-", ["inspect", "cut-off.json", "--json"], 1),
        (">&- 2>&- <&-", ["extract", "good.json"], 0),
        ("2>&-", ["inspect", "missing.json"], 2),
        ("2>/dev/full", ["extract", "cut-off.json"], 1),
        ("2>/dev/full", ["inspect", "missing.json"], 2),
        ("2>/dev/full", ["inspect", "--no-such-option"], 2),
    ],
)
def test_streams_that_are_closed_and_a_full_standard_error_do_not_change_the_exit_code(
    folder: Path, redirections: str, arguments: list[str], code: int
) -> None:
    assert run_with(folder, redirections, *arguments)[0] == code


@pytest.mark.parametrize(
    "arguments",
    [["inspect", "good.json"], ["inspect", "good.json", "--json"], ["extract", "good.json"], ["migrate", "--print"],
     ["--help"], ["--version"]],
    ids=" ".join,
)  # fmt: skip
def test_results_that_cannot_be_written_are_an_error_in_two_lines(folder: Path, arguments: list[str]) -> None:
    code, _, err = run_with(folder, ">/dev/full", *arguments)
    assert (code, err.splitlines()[0], len(err.splitlines())) == (3, NOT_WRITTEN, 2)


def test_an_error_keeps_its_exit_code_when_its_json_cannot_be_written(folder: Path) -> None:
    code, _, err = run_with(folder, ">/dev/full", "inspect", "missing.json", "--json")
    assert (code, err) == (2, "error: There is no file or folder missing.json.\n")


def test_help_that_nobody_reads_is_no_error(folder: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "ray_import", "--help"],
        cwd=folder, env=environment(), stdout=write, stderr=subprocess.PIPE, timeout=120, check=False,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["inspect", "missing.json"], 2), (["run", "good.json", "--to", "sqlite:///no/folder/x.db"], 3)],
)
def test_debug_shows_the_traceback_and_keeps_the_exit_code(folder: Path, arguments: list[str], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ray_import", "--debug", *arguments],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == code
    assert "Traceback" in done.stderr


def test_output_is_neither_wrapped_nor_padded_when_it_is_no_terminal(folder: Path) -> None:
    name = f"{'x' * 200}.json"
    written(folder / name, GOOD)
    done = subprocess.run(
        [sys.executable, "-m", "ray_import", "inspect", name],
        cwd=folder, env=environment() | {"COLUMNS": "40"}, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert f"source            {name}\n" in done.stdout
    assert not re.search(r" $", done.stdout, re.MULTILINE)


def test_a_terminal_is_wrapped_at_its_width() -> None:
    out = io.StringIO()
    _Lines(file=out, force_terminal=True, width=20, color_system=None).print("word " * 10)
    assert max(len(line) for line in out.getvalue().splitlines()) <= 20


def test_an_ellipsis_is_three_dots_when_the_terminal_has_only_ascii(folder: Path) -> None:
    code = "from ray_import.cli import output as s; s.set_up(); s.stderr.print('starting Ray … é')"
    ascii_alone = environment() | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=ascii_alone, capture_output=True, timeout=60, check=True)
    assert done.stderr == b"starting Ray ... \\xe9\n"


@pytest.mark.ray
def test_an_import_is_done_when_its_streams_are_closed_or_full(folder: Path) -> None:
    assert run_with(folder, ">&- 2>/dev/full", "run", "good.json")[0] == 0
    code, _, err = run_with(folder, ">/dev/full", "run", "good.json", "--json")
    assert code == 3
    assert NOT_WRITTEN in err.splitlines()
    with closing(sqlite3.connect(folder / "chunks.db")) as db:
        assert db.execute("SELECT status, count(*) FROM import_jobs GROUP BY 1").fetchall() == [("complete", 2)]
