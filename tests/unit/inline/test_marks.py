"""Marks of processes that died, that live, and that were forged."""

import os
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.inline.crash_marks import (
    FORGOTTEN_AFTER_SECONDS,
    MOST_MARK_BYTES,
    Items,
    Marks,
    items_of,
    key_of,
    marks_folder,
)
from ray_import.pipeline.lease import this_process
from ray_import.records import Frame

KEY = key_of("sqlite:////chunks.db", "ada", "export.zip")
ITEMS = [Items("m", 10, 19)]


def dead_process() -> str:
    """The holder of a process of this machine that is gone."""
    code = "from ray_import.pipeline.lease import this_process; print(this_process())"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def forged(folder: Path, holder: str, key: str = KEY, items: Sequence[Items] = ITEMS, name: str = "1-x.mark") -> Path:
    path = folder / name
    path.write_bytes(orjson.dumps({"holder": holder, "key": key, "items": [tuple(one) for one in items]}) + b"\nrest")
    return path


def frame(member: str, position: int) -> Frame:
    return Frame(member, position, 0, 0, "")


@pytest.fixture(scope="module")
def dead() -> str:
    return dead_process()


def test_mark_is_found_when_its_process_died(tmp_path: Path, dead: str) -> None:
    forged(tmp_path, dead)
    marks = Marks(tmp_path)
    assert marks.left_at(KEY, [Items("m", 19, 30)])
    assert marks.left_at(KEY, [Items("other", 0, 99), Items("m", 0, 10)])
    assert not marks.left_at(KEY, [Items("m", 20, 30), Items("m", 0, 9), Items("other", 10, 19)])
    assert not marks.left_at(key_of("sqlite:////chunks.db", "ada", "other.zip"), ITEMS)


def test_mark_is_no_evidence_when_its_process_lives(tmp_path: Path) -> None:
    path = forged(tmp_path, this_process())
    assert not Marks(tmp_path).left_at(KEY, ITEMS)
    assert path.exists()


def test_mark_of_another_machine_counts_when_it_is_silent_for_a_lease(tmp_path: Path) -> None:
    path = forged(tmp_path, "elsewhere/boot/pid:[1]/17/4711")
    assert not Marks(tmp_path).left_at(KEY, ITEMS)
    os.utime(path, (time.time() - 120, time.time() - 120))
    assert Marks(tmp_path).left_at(KEY, ITEMS)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\n", b"{", b"null\n", b"[]\n", b'"words"\n', b"\xff\xfe\n", b'{"holder": ""}\n',
        b'{"holder": "", "key": "k", "items": 7}\n', b'{"holder": "", "key": "k", "items": [["m", "x", {}]]}\n',
        b'{"holder": "", "key": "k", "items": [["m", 1]]}\n', b"[" * 100_000, b" " * (MOST_MARK_BYTES + 1),
    ],
    ids=range(13),
)  # fmt: skip
def test_file_is_no_mark_when_it_is_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "1-x.mark"
    path.write_bytes(content)
    assert not Marks(tmp_path).left_at(KEY, ITEMS)
    assert path.exists()
    old = time.time() - FORGOTTEN_AFTER_SECONDS - 1
    os.utime(path, (old, old))
    assert not Marks(tmp_path).left_at(KEY, ITEMS)
    assert not path.exists()


def test_link_and_folder_are_no_marks(tmp_path: Path, dead: str) -> None:
    folder = tmp_path / "marks"
    folder.mkdir()
    (folder / "a.mark").symlink_to(forged(tmp_path, dead))
    (folder / "b.mark").mkdir()
    os.mkfifo(folder / "c.mark")
    assert not Marks(folder).left_at(KEY, ITEMS)


def test_mark_is_deleted_when_its_process_died_between_batches(tmp_path: Path, dead: str) -> None:
    path = forged(tmp_path, dead, "", [])
    assert not Marks(tmp_path).left_at(KEY, ITEMS)
    assert not path.exists()


def test_empty_mark_is_deleted_when_its_process_died_before_it_wrote(tmp_path: Path, dead: str) -> None:
    left, new = tmp_path / f"{dead.split('/')[-2]}-x.mark", tmp_path / f"{os.getpid()}-x.mark"
    left.touch()
    new.touch()
    assert not Marks(tmp_path).left_at(KEY, ITEMS)
    assert list(tmp_path.iterdir()) == [new]


def test_mark_shrinks_and_goes_when_its_items_are_settled(tmp_path: Path, dead: str) -> None:
    path = forged(tmp_path, dead)
    marks = Marks(tmp_path)
    marks.settle(KEY, [Items("m", 12, 15)])
    assert marks.left_at(KEY, [Items("m", 11, 11)])
    assert not marks.left_at(KEY, [Items("m", 12, 15)])
    again = Marks(tmp_path)
    assert [again.left_at(KEY, [Items("m", at, at)]) for at in (10, 12, 15, 19)] == [True, False, False, True]
    again.settle(key_of("", "", ""), ITEMS)
    assert path.exists()
    again.settle(KEY, [Items("m", 0, 11), Items("m", 16, 99)])
    assert not path.exists()
    assert not again.left_at(KEY, ITEMS)


def test_own_mark_holds_no_names_and_goes_when_the_run_ends(tmp_path: Path) -> None:
    marks = Marks(tmp_path)
    marks.enter(KEY, items_of([frame("My secret diary/conversations.json", 3)]))
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written = path.read_bytes()
    assert b"secret" not in written
    assert orjson.loads(written)["holder"] == this_process()
    marks.leave()
    assert orjson.loads(path.read_bytes().split(b"\n")[0])["items"] == []
    marks.close()
    assert list(tmp_path.iterdir()) == []
    marks.close()


def test_own_mark_is_found_by_the_next_run_when_it_is_kept(tmp_path: Path) -> None:
    marks = Marks(tmp_path)
    marks.enter(KEY, ITEMS)
    assert not Marks(tmp_path).left_at(KEY, ITEMS), "this process is at it"
    marks.close(keep=True)
    assert Marks(tmp_path).left_at(KEY, ITEMS)


@pytest.mark.parametrize("folder", [None, Path("/proc/nowhere")])
def test_nothing_is_marked_and_nothing_fails_without_a_folder(folder: Path | None) -> None:
    marks = Marks(folder)
    marks.enter(KEY, ITEMS)
    marks.leave()
    marks.close()
    assert not marks.left_at(KEY, ITEMS)


def test_items_are_ranges_when_members_take_turns() -> None:
    found = items_of([frame("a", 1), frame("a", 3), frame("b", 0), frame("a", 9), frame("a", 7)])
    assert [(one.first, one.last) for one in found] == [(1, 3), (0, 0), (7, 9)]
    assert found[0].member == found[2].member != found[1].member


RANGES = st.tuples(st.integers(0, 20), st.integers(0, 20)).map(lambda ends: Items("m", min(ends), max(ends)))


@given(RANGES, RANGES)
def test_what_is_left_of_items_are_those_that_are_not_settled(one: Items, other: Items) -> None:
    def numbers(items: Sequence[Items]) -> set[int]:
        return {number for part in items for number in range(part.first, part.last + 1)}

    assert numbers(one.without(other)) == numbers([one]) - numbers([other])
    assert one.meets(other) == bool(numbers([one]) & numbers([other]))


def test_folder_is_below_the_state_of_the_user_or_else_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    found = marks_folder()
    assert found == tmp_path / "state" / "ray-import" / "marks"
    assert stat.S_IMODE(found.stat().st_mode) == 0o700
    (tmp_path / "a file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "a file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert marks_folder() == tmp_path / f"ray-import-{os.getuid()}"


def test_folder_is_not_used_when_it_is_a_link_of_somebody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    (tmp_path / "theirs").mkdir()
    (tmp_path / f"ray-import-{os.getuid()}").symlink_to(tmp_path / "theirs")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert marks_folder() is None
