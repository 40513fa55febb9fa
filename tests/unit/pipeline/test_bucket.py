"""Whose exports lie in a folder of a bucket, and which one of them is taken."""

from datetime import date
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.pipeline.bucket import SelectedUsers, newest_exports
from ray_import.pipeline.users import UserSource
from ray_import.source.storage import StorageFolder, StoredFile

USERS = StorageFolder("exports", "users")


def found(*files: StoredFile | str, place: StorageFolder = USERS) -> SelectedUsers:
    return newest_exports([StoredFile(file) if isinstance(file, str) else file for file in files], place)


def taken(*files: StoredFile | str, place: StorageFolder = USERS) -> dict[str, str]:
    return {user.user_id: user.source for user in found(*files, place=place).users}


@pytest.mark.parametrize(
    ("key", "user_id"),
    [
        ("users/ana/export.zip", "ana"),
        ("users/ana/2025/may/export.ZIP", "ana"),
        ("users/ana/conversations.json", "ana"),
        ("users/ana/conversations.json.gz", "ana"),
        ("users/ana/.zip", "ana"),
        ("users/ana.zip", "ana"),
        ("users/a.na@example.com.tar.gz", "a.na@example.com"),
        ("users/user.json", "user"),
        ("users/conversations-001.json", "conversations-001"),
    ],
)
def test_a_user_is_a_folder_or_a_file_without_its_ending(key: str, user_id: str) -> None:
    assert taken(key) == {user_id: f"supabase://exports/{key}"}
    in_bucket = key.removeprefix("users/")
    assert taken(in_bucket, place=StorageFolder("exports", "")) == {user_id: f"supabase://exports/{in_bucket}"}


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("users/ana/picture.png", "no_exports"),
        ("users/ana/.emptyFolderPlaceholder", "no_exports"),
        ("users/ana/._export.zip", "no_exports"),
        ("users/readme.txt", "no_exports"),
        ("users/zip", "no_exports"),
        ("users/ana/conversations-000.json", "parts_of_exports"),
        ("users/ana/export/user.json", "parts_of_exports"),
        ("users/.zip", "no_users"),
        ("users/ /export.zip", "no_users"),
        ("users/a\tb.zip", "no_users"),
        ("users//export.zip", "no_addresses"),
        ("users/ana/../export.zip", "no_addresses"),
        ("users/ana//", "no_addresses"),
    ],
)
def test_what_is_not_taken_is_counted_by_why(key: str, why: str) -> None:
    assert found(key) == SelectedUsers([], {why: 1})
    assert found(key, "users/eve.zip", key).passed_over == {why: 2}


def test_the_newest_is_taken_and_what_is_known_of_it() -> None:
    old, new = StoredFile("users/ana/z.zip", 1.0, 10, "v1 10"), StoredFile("users/ana.zip", 2.0, 20, "v2 20")
    for files in ([old, new], [new, old]):
        assert found(*files) == SelectedUsers(
            [UserSource("ana", "supabase://exports/users/ana.zip", 2.0, 20, "v2 20")], {"older_exports": 1}
        )


def test_of_the_same_time_the_last_by_name_is_taken_and_one_without_a_time_is_the_oldest() -> None:
    days = [StoredFile(f"users/ana/{date(2026, 5, day)}.zip", 1.0) for day in (3, 31, 12)]
    unknown = StoredFile("users/ana/z.zip")
    assert taken(*days, unknown) == {"ana": "supabase://exports/users/ana/2026-05-31.zip"}
    assert taken(unknown) == {"ana": "supabase://exports/users/ana/z.zip"}


FILES = st.lists(
    st.builds(
        StoredFile,
        st.builds(
            "users/{}/{}{}".format, st.sampled_from("abc"), st.sampled_from("xyz"), st.sampled_from([".zip", ".png"])
        ),
        st.sampled_from([None, 1.0, 2.0]),
    ),
    unique_by=lambda file: file.key,
)


@given(FILES, st.randoms(use_true_random=False))
def test_in_whatever_order_files_come_each_is_taken_or_counted_and_none_is_newer_than_the_one_taken(
    files: list[StoredFile], rng: Random
) -> None:
    told = found(*files)
    assert found(*rng.sample(files, len(files))) == told
    assert told.passed_over is not None
    assert len(told.users) + sum(told.passed_over.values()) == len(files)
    exports = [file for file in files if file.key.endswith(".zip")]
    assert [user.user_id for user in told.users] == sorted({file.key.split("/")[1] for file in exports})
    for user in told.users:
        theirs = [file for file in exports if file.key.startswith(f"users/{user.user_id}/")]
        assert (user.updated_at or 0) == max(file.updated_at or 0 for file in theirs)
