"""A version is another one when what is read is, and the same when it is not."""

import os
from pathlib import Path

import pytest

from ray_import.errors import ConfigError
from ray_import.source.version import version_of
from tests.unit.source.exports import written

SECOND = 1_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An export in a folder, last changed long ago."""
    for name in ("conversations-000.json", "more/conversations-001.json"):
        dated(written(tmp_path / "export" / name, b"[]"), 1_700_000_000 * SECOND)
    return tmp_path / "export"


def dated(path: Path, nanoseconds: int) -> None:
    os.utime(path, ns=(nanoseconds, nanoseconds))


def test_what_is_left_alone_keeps_its_version(folder: Path) -> None:
    for path in (folder, folder / "conversations-000.json"):
        assert version_of(path) == version_of(str(path)) != ""
    assert version_of(folder) != version_of(folder / "conversations-000.json")


def test_reading_a_file_does_not_change_its_version(folder: Path) -> None:
    path = folder / "conversations-000.json"
    before = version_of(path)
    path.read_bytes()
    assert version_of(path) == before


@pytest.mark.parametrize("named", ["conversations-000.json", ""], ids=["file", "folder"])
def test_another_size_or_time_is_another_version(folder: Path, named: str) -> None:
    path = folder / "conversations-000.json"
    versions = [version_of(folder / named)]
    path.write_bytes(b"[7]")
    dated(path, 1_700_000_000 * SECOND)
    versions.append(version_of(folder / named))
    dated(path, 1_700_000_000 * SECOND + 1_000_000)
    versions.append(version_of(folder / named))
    assert len(set(versions)) == 3


def test_a_file_that_comes_goes_or_is_renamed_in_a_folder_is_another_version(folder: Path) -> None:
    versions = [version_of(folder)]
    moved = (folder / "more" / "conversations-001.json").rename(folder / "more" / "conversations-002.json")
    versions.append(version_of(folder))
    moved.unlink()
    versions.append(version_of(folder))
    written(folder / "deep" / "er" / "conversations-003.json", b"")
    versions.append(version_of(folder))
    assert len(set(versions)) == 4


def test_the_same_bytes_elsewhere_are_another_version(folder: Path, tmp_path: Path) -> None:
    before = version_of(folder / "conversations-000.json")
    moved = (folder / "conversations-000.json").rename(tmp_path / "moved.json")
    assert version_of(moved) != before


def test_a_name_that_is_no_utf8_has_a_version(folder: Path) -> None:
    before = version_of(folder)
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/\xff.json")).touch()
    except OSError:
        pytest.skip("This file system takes no such name.")
    assert version_of(folder) != before


@pytest.mark.parametrize("source", ["missing.zip", "a\0b.zip", "missing/conversations.json", "x" * 5000])
def test_where_there_is_nothing_is_an_error(tmp_path: Path, source: str) -> None:
    with pytest.raises(ConfigError, match="There is no file or folder"):
        version_of(f"{tmp_path}/{source}")


def test_what_is_no_address_is_an_error() -> None:
    with pytest.raises(ConfigError, match="is not supported"):
        version_of("ftp://example.com/x.zip")
