"""Commands that only look, in a folder that they may not write."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from ray_import.destinations.sqlite.sink import SqliteSink
from tests.cli.commands import Ended, environment
from tests.unit.pipeline.runs import Database
from tests.unit.source.exports import conversation, exported, written

# Permissions do not bind root, unless it gives up that right.
BOUND = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
pytestmark = pytest.mark.skipif(
    bool(BOUND) and shutil.which("setpriv") is None, reason="root may write everywhere, and there is no setpriv"
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A read-only folder with a database of one import and one reject."""
    folder = tmp_path / "a folder? of #1 %20"
    good = exported([conversation("a", "One.", "Two.")])
    written(tmp_path / "x.json", good[:-1] + b',{"title":"b","mapping":{},"x":NaN}]')
    folder.mkdir()
    Database(folder / "chunks.db").imported(tmp_path / "x.json", user_id="local")
    (folder / "users.csv").write_text(f"user_id,source\nlocal,{tmp_path}/x.json\n")
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)


def looked(folder: Path, *arguments: str) -> Ended:
    done = subprocess.run(
        [*BOUND, sys.executable, "-m", "ray_import", *arguments],
        cwd=folder, env=environment(), capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr.decode())


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["status"], "jobs"),
        (["rejects"], "rejects"),
        (["reimport", "--users", "users.csv", "--files-under", "..", "--dry-run"], "users"),
    ],
)
def test_commands_that_look_work_when_the_folder_is_read_only(folder: Path, arguments: list[str], found: str) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    result = looked(folder, *arguments, "--json")
    assert (result.code, result.err) == (0, ""), result
    assert len(orjson.loads(result.out)[found]) == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_log_beside_the_file_is_told_when_the_folder_is_read_only(folder: Path) -> None:
    folder.chmod(0o755)
    with closing(SqliteSink(folder / "chunks.db")) as sink:
        sink._db.execute("CREATE TABLE notes (text)")
        log = (folder / "chunks.db-wal").read_bytes()
    (folder / "chunks.db-wal").write_bytes(log)
    folder.chmod(0o555)
    result = looked(folder, "status")
    assert (result.code, len(result.err_lines)) == (3, 2), result
    assert "chunks.db-wal beside it holds changes that cannot be read in a read-only folder" in result.err


def test_an_import_is_refused_when_the_folder_is_read_only(folder: Path) -> None:
    result = looked(folder, "run", "../x.json")
    assert (result.code, result.err_lines[1]) == (3, "Make the file and its folder writable for this user.")
