"""Ctrl-C in the middle: what was committed stays, the job says so, the next run goes on from there."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import orjson
import psutil
import pytest

from tests.cluster.imports import at, import_file, inline, tables
from tests.support.generate import write_export

pytestmark = pytest.mark.ray

DEADLINE_SECONDS = 240


def run_command(export: Path, database: Path) -> list[str]:
    return [
        sys.executable,
        "-m",
        "ray_import",
        "run",
        str(export),
        "--user-id",
        "ada",
        "--to",
        f"sqlite:///{database}",
        "--json",
        "--executor",
        "ray",
    ]


def rows_in(database: Path) -> int:
    if not database.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM imported_conversations").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # the tables are not made yet


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_import_is_taken_up_again(tmp_path: Path, stop: signal.Signals) -> None:
    export, database, reference = tmp_path / "e.json", tmp_path / "chunks.db", tmp_path / "reference.db"
    write_export(export, 30, seed=3)
    import_file(export, at(reference), inline)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}

    with subprocess.Popen(
        run_command(export, database),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    ) as process:
        until = time.monotonic() + DEADLINE_SECONDS
        while not rows_in(database) and process.poll() is None and time.monotonic() < until:
            pass
        # As a terminal does it for Ctrl-C: to the whole group, Ray's processes among them.
        os.killpg(process.pid, stop) if stop is signal.SIGINT else process.send_signal(stop)
        out, err = process.communicate(timeout=DEADLINE_SECONDS)

    summary = orjson.loads(out)
    assert process.returncode == 3, err
    assert (summary["status"], b"Traceback" in err) == ("failed", False)
    committed = rows_in(database)
    assert summary["conversations"]["imported"] <= committed < rows_in(reference)
    with closing(sqlite3.connect(database)) as db:
        assert db.execute("SELECT status, error FROM import_jobs").fetchall() == [("failed", "interrupted")]
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    again = orjson.loads(
        subprocess.run(run_command(export, database), env=environment, check=True, capture_output=True).stdout
    )
    assert again["status"] == "complete"
    assert again["conversations"]["unchanged"] + again["conversations"]["empty"] >= committed > 0
    assert tables(database) == tables(reference)


def test_results_stay_json_and_the_import_goes_on_when_a_worker_is_killed_and_nobody_reads_the_errors(
    tmp_path: Path,
) -> None:
    """Ray tells of a killed worker on standard output; a pipe that has closed is no reason to stop."""
    export, database = tmp_path / "e.json", tmp_path / "chunks.db"
    write_export(export, 30, seed=3)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    with subprocess.Popen(
        run_command(export, database), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stderr is not None
        process.stderr.close()
        until = time.monotonic() + DEADLINE_SECONDS
        while not rows_in(database) and process.poll() is None and time.monotonic() < until:
            pass
        for child in psutil.Process(process.pid).children(recursive=True):
            if "ImportWorker" in child.name() or "import_batch" in " ".join(child.cmdline()):
                child.kill()
                break
        else:
            raise AssertionError("no worker was found to kill")
        assert process.stdout is not None
        out = process.stdout.read()
    assert (process.returncode, orjson.loads(out)["status"]) == (0, "complete")
    assert orjson.loads(out)["conversations"]["seen"] == rows_in(database)
