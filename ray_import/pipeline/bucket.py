"""Whose exports lie in a folder of a bucket: the newest of each user, and what is passed over."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from ray_import.chatgpt.files import is_part_of_export, without_ending
from ray_import.pipeline.users import UserSource, what_is_wrong_with_id
from ray_import.source.storage import StorageFolder, StoredFile

PassedOver = Literal["older_exports", "no_exports", "parts_of_exports", "no_users", "no_addresses"]
"""Older than another one of the user; by its name no export, or a part of one that lies unpacked; in the place of a
user, but without a name that a user can have; of a key that no source can have."""
PASSED_OVER = get_args(PassedOver)


@dataclass(frozen=True, slots=True)
class SelectedUsers:
    """The users of a run; where they were looked for, how many files were passed over, by why.

    `others` are those who are listed, too, but whom the run is not to be over. `of_unknown_age` of the users have been
    taken though nobody knows how old their exports are. With `nobody_lacking` those were asked for who lack something,
    and none of them does.
    """

    users: list[UserSource]
    passed_over: Mapping[str, int] | None = None
    others: frozenset[str] = frozenset()
    of_unknown_age: int = 0
    nobody_lacking: bool = False


def newest_exports(files: Iterable[StoredFile], place: StorageFolder) -> SelectedUsers:
    """The newest export of each user below `place`, by user; of equal times the one whose key sorts last.

    `USER/…/export.zip`, however deep, is an export of USER, and so is `USER.zip`. A file whose time is not known is
    older than all others. Who is taken does not depend on the order of `files`, or on one that comes twice.
    """
    newest: dict[str, StoredFile] = {}
    passed_over = Counter[str]()
    for file in files:
        user_id, why = _user_of(file.key, place.folder)
        known = newest.get(user_id)
        if why is not None:
            passed_over[why] += 1
        elif known is None:
            newest[user_id] = file
        elif known.key != file.key:
            passed_over["older_exports"] += 1
            newest[user_id] = max(known, file, key=_age)
    users = [
        UserSource(user_id, place.source(file.key), file.updated_at, file.size_bytes, file.version)
        for user_id, file in sorted(newest.items())
    ]
    return SelectedUsers(users, {why: passed_over[why] for why in PASSED_OVER if passed_over[why]})


def _user_of(key: str, folder: str) -> tuple[str, PassedOver | None]:
    """Whose export an object is, or why it is none."""
    if {"", ".", ".."} & set(key.split("/")):
        return "", "no_addresses"
    first, *deeper = key.removeprefix(f"{folder}/" if folder else "").split("/")
    name = deeper[-1] if deeper else first
    stem = without_ending(name)
    if stem is None or (deeper and name.startswith("._")):
        return "", "no_exports"
    if deeper and is_part_of_export(name):
        return "", "parts_of_exports"
    user_id = first if deeper else stem
    return user_id, None if what_is_wrong_with_id(user_id) is None else "no_users"


def _age(file: StoredFile) -> tuple[float, str]:
    return (float("-inf") if file.updated_at is None else file.updated_at, file.key)
