"""What a run would do, told before it does anything."""

import os
from pathlib import Path

import pytest

from ray_import.destinations.base import RunUser, UserState
from ray_import.pipeline.bucket import SelectedUsers
from ray_import.pipeline.plan import CPU_SECONDS_PER_MB, SECONDS_PER_USER, UNPACKED_RATIO, Plan, PlannedUser, plan_of
from ray_import.pipeline.users import UserSource
from ray_import.source.version import version_of

STORED = UserSource("ana", "supabase://exports/ana.zip", 1.0, 1_000_000, '"etag" 1000000')


def planned(user: UserSource, *known: RunUser, versions: dict[str, tuple[str, str]] | None = None) -> PlannedUser:
    [one] = plan_of(SelectedUsers([user]), known, versions or {}, 1, None).users
    return one


def test_of_an_object_the_listing_tells_whether_it_has_changed() -> None:
    assert planned(STORED) == PlannedUser("ana", STORED.source, "read", 1_000_000)
    assert planned(STORED, versions={"ana": (STORED.source, STORED.version)}).state == "unchanged"
    assert planned(STORED, versions={"ana": (STORED.source, '"other" 1000000')}).state == "read"
    assert planned(STORED, versions={"ana": ("supabase://exports/old.zip", STORED.version)}).state == "read"


def test_of_a_file_its_size_and_time_do(tmp_path: Path) -> None:
    path = tmp_path / "ana.json"
    path.write_bytes(b"[]")
    user = UserSource("ana", str(path))
    versions = {"ana": (str(path), version_of(path))}
    assert planned(user) == PlannedUser("ana", str(path), "read", 2)
    assert planned(user, versions=versions) == PlannedUser("ana", str(path), "unchanged", 2)
    os.utime(path, (1, 1))
    assert planned(user, versions=versions).state == "read"
    path.unlink()
    assert planned(user) == PlannedUser("ana", str(path), "missing", None)


def test_a_folder_is_as_large_as_all_in_it(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "a.json").write_bytes(b"123")
    (tmp_path / "b.json").write_bytes(b"4567")
    assert planned(UserSource("ana", str(tmp_path))) == PlannedUser("ana", str(tmp_path), "read", 7)


def test_of_a_server_nothing_is_known_and_no_secret_is_told() -> None:
    user = UserSource("ana", "https://host/ana.zip?token=secret")
    versions = {"ana": ("https://host/ana.zip", "")}
    assert planned(user, versions=versions) == PlannedUser("ana", "https://host/ana.zip", "read", None)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("pending", "read"),
        ("running", "read"),
        ("complete", "done"),
        ("skipped", "done"),
        ("partial", "done"),
        ("failed", "done"),
    ],
)
def test_who_is_done_in_the_run_that_goes_on_is_not_read_again(state: UserState, told: str) -> None:
    assert planned(STORED, RunUser("ana", STORED.source, state)).state == told


def test_the_estimate_is_of_bytes_and_users_and_only_bytes_are_shared_by_workers() -> None:
    plain = PlannedUser("ana", "ana.json", "read", 100_000_000)
    packed, unknown = PlannedUser("ben", "ben.ZIP", "read", 1_000_000), PlannedUser("eve", "e.zip", "read", None)
    skipped = PlannedUser("zoe", "zoe.json", "unchanged", 900_000_000)
    plan = Plan((plain, packed, unknown, skipped), workers=2, goes_on="run-1", passed_over={"no_exports": 3})
    megabytes = 100 + 1 * UNPACKED_RATIO
    assert plan.seconds == pytest.approx(megabytes * CPU_SECONDS_PER_MB / 2 + 4 * SECONDS_PER_USER)
    told = plan.as_dict()
    assert told["totals"] == {"all": 4, "read": 3, "unchanged": 1}
    assert (told["bytes_to_read"], told["unknown_sizes"], told["goes_on"]) == (101_000_000, 1, "run-1")
    assert told["estimate"]["seconds"] == round(plan.seconds, 1)
    assert told["passed_over"] == {"no_exports": 3}
    assert told["users"][2] == {"user_id": "eve", "source": "e.zip", "state": "read", "size_bytes": None}
