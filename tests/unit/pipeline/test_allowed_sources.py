"""A run over users whose sources are not allowed: it costs them alone, and not a byte of these sources is stored."""

from pathlib import Path

import pytest

from ray_import.settings import ImportSettings, ReadLimits, SourceRules
from tests.unit.pipeline.inline import Users
from tests.unit.source.exports import conversation, exported

CANARY = b'[{"id": "canary-7f3a", "title": "canary-7f3a", "mapping": {"a": NaN}}]'
"""Whoever reads it keeps it as a reject."""


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, str]:
    """A user whose export is in `exports`, one whose file is beside that folder, and one with a link out of it."""
    folder = tmp_path / "exports"
    folder.mkdir()
    (tmp_path / "secret.json").write_bytes(CANARY)
    (folder / "ana.json").write_bytes(exported([conversation("c", "Hello", "Hi")]))
    (folder / "link.json").symlink_to("../secret.json")
    return {
        "ana": f"{folder}/ana.json",
        "ben": f"{tmp_path}/secret.json",
        "eve": f"{folder}/link.json",
        "joe": "https://127.0.0.1/export.json?token=xyzzy",
    }


def run_with(
    rules: SourceRules, sources: dict[str, str], tmp_path: Path
) -> tuple[dict[str, str], dict[str, str], bool]:
    """States and errors by user, and whether the canary stands in the database."""
    settings = ImportSettings(read=ReadLimits(sources=rules))
    outcome = Users(tmp_path / "chunks.db", settings, sources).run()
    errors = {user_id: user.error or "" for user_id, user in outcome.saved.items()}
    stored = any(b"canary-7f3a" in path.read_bytes() for path in tmp_path.glob("chunks.db*"))
    return outcome.states, errors, stored


def test_a_source_that_is_not_allowed_costs_its_user_alone_and_reaches_no_table(
    sources: dict[str, str], tmp_path: Path
) -> None:
    rules = SourceRules((f"{tmp_path}/exports",), public_only=True)
    states, errors, stored = run_with(rules, sources, tmp_path)
    assert states == {"ana": "complete", "ben": "failed", "eve": "failed", "joe": "failed"}
    assert [user for user, error in errors.items() if "--files-under" in error] == ["ben", "eve"]
    assert "127.0.0.1 is not a public address" in errors["joe"]
    assert "xyzzy" not in errors["joe"]
    assert not stored


def test_the_bytes_of_a_source_are_stored_when_it_is_allowed(sources: dict[str, str], tmp_path: Path) -> None:
    """So the test above does not pass because nobody would store them."""
    del sources["joe"]
    states, _, stored = run_with(SourceRules((str(tmp_path),)), sources, tmp_path)
    assert states == {"ana": "complete", "ben": "partial", "eve": "partial"}
    assert stored
