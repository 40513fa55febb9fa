"""Files that a list of users may name: what leads out of the folders is not opened, whichever way it leads out."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from ray_import.errors import ConfigError, SourceError, SourceNotAllowed
from ray_import.settings import ReadLimits, SourceRules
from ray_import.source.files import permitted
from ray_import.source.open_export import open_export
from ray_import.source.version import changed_at, version_and_size, version_of
from tests.unit.source.exports import conversation, exported

EXPORT = exported([conversation("c", "Hello", "Hi")])
CANARY = b'["canary"]'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an export, beside a secret."""
    (tmp_path / "secret.json").write_bytes(CANARY)
    folder = tmp_path / "exports"
    (folder / "ada").mkdir(parents=True)
    (folder / "ada" / "export.json").write_bytes(EXPORT)
    (folder / "ada" / "conversations.json").write_bytes(EXPORT)
    return folder


def rules(*folders: Path | str) -> SourceRules:
    return SourceRules(tuple(str(folder) for folder in folders))


def read(source: Path | str, allowed: SourceRules) -> bytes:
    [member] = open_export(str(source), ReadLimits(sources=allowed)).members
    with member.open() as stream:
        return stream.read()


def ways_out(folder: Path) -> list[str]:
    """Paths that lead to the secret, or to what is not below the folder."""
    secret = folder.parent / "secret.json"
    (folder / "link.json").symlink_to(secret)
    (folder / "relative.json").symlink_to("../secret.json")
    (folder / "twice.json").symlink_to("link.json")
    (folder / "up").symlink_to("..")
    (folder / "root").symlink_to("/")
    (folder / "loop.json").symlink_to("loop.json")
    (folder.parent / "exports-of-others").mkdir()
    (folder.parent / "exports-of-others" / "export.json").write_bytes(CANARY)
    return [
        str(secret),
        f"{folder}/../secret.json",
        f"{folder}/ada/../../secret.json",
        f"{folder}/link.json",
        f"{folder}/relative.json",
        f"{folder}/twice.json",
        f"{folder}/up/secret.json",
        f"{folder}/root{secret}",
        f"/proc/self/root{secret}",
        f"/proc/self/cwd/{os.path.relpath(secret)}",
        f"{folder.parent}/exports-of-others/export.json",
        str(folder),
        f"{folder}/",
        f"{folder}/ada/..",
        str(folder.parent),
        "/",
        "/etc/passwd",
        f"{folder}\n",
    ]


@pytest.mark.parametrize("number", range(18))
def test_a_file_is_not_allowed_when_it_is_not_below_the_folder(folder: Path, number: int) -> None:
    source = ways_out(folder)[number]
    for look in (open_with_rules, version_with_rules, size_with_rules):
        with pytest.raises(SourceNotAllowed, match="--files-under") as refused:
            look(source, rules(folder))
        assert "canary" not in str(refused.value)
    assert changed_at(Path(source), rules(folder)) is None


def open_with_rules(source: str, allowed: SourceRules) -> None:
    open_export(source, ReadLimits(sources=allowed))


def version_with_rules(source: str, allowed: SourceRules) -> None:
    version_of(source, rules=allowed)


def size_with_rules(source: str, allowed: SourceRules) -> None:
    version_and_size(Path(source), allowed)


def test_no_file_is_allowed_when_no_folder_is(folder: Path) -> None:
    with pytest.raises(SourceNotAllowed):
        read(folder / "ada" / "export.json", SourceRules(files_under=()))


def test_a_file_is_read_when_it_is_below_one_of_the_folders(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "link").symlink_to(folder)
    (folder / "linked.json").symlink_to("ada/export.json")
    for allowed in (
        rules(other, folder),
        rules(tmp_path / "link"),
        rules(f"{other}/../exports"),
        rules(folder / "ada"),
    ):
        assert read(folder / "ada" / "export.json", allowed) == EXPORT
        assert version_of(f"{folder}/ada/export.json", rules=allowed)
    for source in (folder / "linked.json", f"{tmp_path}/link/ada/export.json", f"{folder}/ada/../ada/export.json"):
        assert read(source, rules(folder)) == EXPORT
    assert open_export(str(folder / "linked.json"), ReadLimits(sources=rules(folder))).members[0].name == "linked.json"


def test_a_folder_is_read_as_without_rules_when_it_is_below_the_folder(folder: Path) -> None:
    (folder / "ada" / "conversations-001.json").symlink_to(folder.parent / "secret.json")
    with_rules = open_export(str(folder / "ada"), ReadLimits(sources=rules(folder)))
    without = open_export(str(folder / "ada"))
    assert [member.name for member in with_rules.members] == [member.name for member in without.members]
    assert with_rules.problems == without.problems
    assert with_rules.path == str(folder / "ada")


def test_a_name_may_hold_a_newline(folder: Path) -> None:
    (folder / "a\nb.json").write_bytes(EXPORT)
    assert read(folder / "a\nb.json", rules(folder)) == EXPORT


@pytest.mark.parametrize("name", ["none.json", "a\0b"])
def test_a_file_that_is_not_there_is_missing_and_not_forbidden(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="There is no file"):
        read(f"{folder}/{name}", rules(folder))
    assert changed_at(folder / name, rules(folder)) is None


def test_a_fifo_is_refused_without_waiting_for_a_writer(folder: Path) -> None:
    os.mkfifo(folder / "pipe.json")
    with pytest.raises(ConfigError, match="neither a file nor a folder"):
        read(folder / "pipe.json", rules(folder))


def swapped_for_link(path: Path, to: Path) -> None:
    path.rename(path.with_name("old"))
    path.symlink_to(to)


@pytest.mark.parametrize("part", ["ada/export.json", "ada"])
def test_a_file_is_not_opened_when_a_link_has_taken_its_place_since_it_was_checked(folder: Path, part: str) -> None:
    """The check is done; then its owner puts a link there. Without the rules it would be followed."""
    path = folder / "ada" / "export.json"
    secret = folder.parent / "outside"
    secret.mkdir()
    (secret / "export.json").write_bytes(CANARY)
    now = permitted(path, rules(folder))
    freely = permitted(path, SourceRules())
    swapped_for_link(folder / part, secret / "export.json" if part.endswith("json") else secret)
    with ExitStack() as stack:
        assert freely.open_file(freely.path)(stack).read() == CANARY
        with pytest.raises(OSError, match=r"Too many levels|Not a directory"):
            now.open_file(now.path)(stack)


def test_a_member_is_not_opened_when_a_link_has_taken_its_place_since_it_was_found(folder: Path) -> None:
    export = open_export(str(folder / "ada"), ReadLimits(sources=rules(folder)))
    [member] = export.members
    swapped_for_link(folder / "ada" / "conversations.json", folder.parent / "secret.json")
    with pytest.raises(OSError, match="Too many levels"), member.open():
        pass


def test_a_fifo_that_has_taken_the_place_of_a_file_does_not_block(folder: Path) -> None:
    path = folder / "ada" / "export.json"
    now = permitted(path, rules(folder))
    path.unlink()
    os.mkfifo(path)
    with ExitStack() as stack, pytest.raises(OSError, match="not a regular file"):
        now.open_file(now.path)(stack)


def test_a_link_is_resolved_anew_at_each_look(folder: Path) -> None:
    """A folder that is swung to the next delivery is allowed as it is now."""
    current = folder.parent / "current"
    current.symlink_to(folder)
    assert read(f"{current}/ada/export.json", rules(current)) == EXPORT
    other = folder.parent / "next"
    other.mkdir()
    (other / "export.json").write_bytes(EXPORT)
    current.unlink()
    current.symlink_to(other)
    assert read(f"{current}/export.json", rules(current)) == EXPORT
    with pytest.raises(SourceError, match="not allowed"):
        read(f"{folder}/ada/export.json", rules(current))
