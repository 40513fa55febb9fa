"""What the README and the docs say, held against the program."""

import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import typer.main

from ray_import.cli.app import app
from ray_import.destinations.registry import parse_destination
from ray_import.settings import ChunkSettings, FlowLimits, ReadLimits
from tests.unit.pipeline.runs import Database

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]


def commands_of(program: str) -> list[list[str]]:
    return [command[1:] for command in COMMANDS if command[:1] == [program]]


def test_the_first_two_blocks_are_the_two_commands_that_need_nothing_before() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    assert blocks[0] == "python3 scripts/dev.py sample\n"
    assert blocks[1] == "python3 scripts/dev.py test\n"


@pytest.mark.parametrize(
    "arguments", [c for c in commands_of("ray-import") if c[0] in ("inspect", "extract")], ids=" ".join
)
def test_a_command_of_the_readme_that_needs_no_ray_works_as_written(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "ray_import", *arguments], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_every_command_and_every_option_of_run_is_in_the_readme() -> None:
    group = typer.main.get_group(app)
    for name in group.commands:
        assert f"ray-import {name}" in README
    for parameter in group.commands["run"].params:
        if parameter.param_type_name == "option" and "--help" not in parameter.opts:
            assert f"`{parameter.opts[0]}" in README


def test_the_defaults_in_the_readme_are_those_of_the_program() -> None:
    for option, value in (
        ("--chunk-tokens", ChunkSettings().target_tokens),
        ("--overlap-tokens", ChunkSettings().overlap_tokens),
        ("--batch-bytes", FlowLimits().batch_bytes),
        ("--max-conversation-bytes", ReadLimits().max_conversation_bytes),
        ("--max-download-bytes", ReadLimits().max_download_bytes),
    ):
        assert re.search(rf"`{option} N` \| {value} \|", README)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_job_of_the_readme_is_the_one_that_is_tested() -> None:
    submit, _many_users = (command for command in COMMANDS if command[:3] == ["ray", "job", "submit"])
    assert submit[submit.index("--") + 1 :][:2] == ["python", "import_export.py"]
    assert '"python", "import_export.py"' in (ROOT / "tests" / "cluster" / "test_jobs.py").read_text()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database that the README's first command leaves."""
    path = tmp_path_factory.mktemp("sample") / "chunks.db"
    Database(path).imported(ROOT / "examples" / "export", user_id="local")
    return path


def test_the_queries_of_the_readme_find_something_in_its_sample(sample: Path) -> None:
    blocks = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)
    queries = [query for block in blocks for query in block.split(";") if query.strip()]
    with closing(sqlite3.connect(sample)) as db:
        (an_id,) = db.execute("SELECT max(conversation_id) FROM conversation_messages").fetchone()
        found = [db.execute(query.replace("THE ID", an_id)).fetchall() for query in queries]
    assert all(found)
    assert all("balcony" in content for _, _, content in found[0])


@pytest.mark.parametrize("has_sqlite3", [True, False])
def test_look_at_it_shows_an_answer_with_its_question(
    sample: Path, monkeypatch: pytest.MonkeyPatch, has_sqlite3: bool
) -> None:
    if not has_sqlite3:
        monkeypatch.setattr("shutil.which", lambda _: None)
    command = parse_destination(f"sqlite:///{sample}").query_hint()
    if command.startswith("sqlite3") and not Path("/usr/bin/sqlite3").exists():
        pytest.skip("there is no sqlite3 here")
    shown = subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout
    assert shown.index("User:") < shown.index("Assistant:")
