"""The exports of the service's benchmarks, laid out as the stand-in for Storage serves them."""

import os
import random
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import orjson

from benchmarks.profile_data import chats_of, words_of
from benchmarks.service_clients import Wanted
from benchmarks.service_site import BUCKET, user_id
from tests.support.generate import write_zip
from tests.support.profile.chats import DAY, JANUARY_2024, Chat
from tests.support.user_exports import write_users

SMALLEST_KB, LARGEST_KB = 20.0, 1_000.0
BAD_SHARE = 0.03
"""Of the exports are missing, as many are no exports, and as many have a conversation that cannot be read."""


def put_exports(storage: Path, jobs: int, seed: int = 0) -> list[Wanted]:
    """Exports for so many jobs; each third job is the second one of a user, with another export."""
    rng = random.Random(seed)
    seconds = jobs // 3
    firsts = _put(storage, jobs - seconds, "first", rng)
    agains = _put(storage, seconds, "second", rng, firsts)
    return firsts + agains


def _put(storage: Path, count: int, name: str, rng: random.Random, before: Sequence[Wanted] = ()) -> list[Wanted]:
    sizes = [SMALLEST_KB * (LARGEST_KB / SMALLEST_KB) ** rng.random() for _ in range(count)]
    bad = max(1, round(count * BAD_SHARE)) if count >= 6 else 0
    made = storage.parent / name
    made.mkdir()
    users = write_users(made, sizes, missing=bad, foreign=bad, damaged=bad, seed=rng.randrange(2**32))
    wanted = []
    for number, source in enumerate(users.sources.values()):
        zipped = rng.random() < 0.5
        each = Wanted(user_id(number), f"{name}.{'zip' if zipped else 'json'}", before[number] if before else None)
        target = object_of(storage, each.user_id, each.key)
        if Path(source).exists():
            (_zip if zipped else shutil.copyfile)(Path(source), target)
        wanted.append(each)
    shutil.rmtree(made)
    return wanted


def put_chats(storage: Path, users: int) -> list[Wanted]:
    """Exports with planted facts, each of several requests to Claude."""
    rng = random.Random(0)
    wanted = []
    for number in range(users):
        chats = chats_of(rng.uniform(0.03, 0.12), seed=number + 1, words=words_of(random.Random(number)))
        each = Wanted(user_id(number), "chats.json")
        object_of(storage, each.user_id, each.key).write_bytes(orjson.dumps([conversation_of(one) for one in chats]))
        wanted.append(each)
    return wanted


def put_copies(storage: Path, export: Path, users: Sequence[str]) -> None:
    """The same export for each of these users, as `export.zip`, without taking its place on the disk again."""
    for user in users:
        os.link(export, object_of(storage, user, "export.zip"))


def zip_of(folder: Path, megabytes: float) -> Path:
    """A ZIP (deflated at level 6) of so many MB of JSON; what is in `folder` already is used again."""
    path = folder / f"export-{megabytes:g}mb.zip"
    if not path.exists():
        unfinished = path.with_suffix(".part")
        write_zip(unfinished, megabytes)
        unfinished.replace(path)
    return path


def object_of(storage: Path, user: str, key: str) -> Path:
    """The file that becomes the object `key` in the user's folder."""
    path = storage / BUCKET / user / key
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def conversation_of(chat: Chat) -> dict[str, object]:
    """A chat in the form of an export."""
    began = JANUARY_2024 + chat.day * DAY
    root = f"{chat.id}-root"
    mapping: dict[str, dict[str, object]] = {root: {"id": root, "message": None, "parent": None, "children": []}}
    last = root
    for position, line in enumerate(chat.lines):
        node = f"{chat.id}-{position}"
        message = {
            "id": node,
            "author": {"role": "assistant" if position % 2 else "user", "name": None, "metadata": {}},
            "create_time": began + position,
            "content": {"content_type": "text", "parts": [line]},
            "status": "finished_successfully",
            "end_turn": True,
            "weight": 1.0,
            "metadata": {},
            "recipient": "all",
        }
        mapping[last]["children"] = [node]
        mapping[node] = {"id": node, "message": message, "parent": last, "children": []}
        last = node
    return {
        "title": chat.title,
        "create_time": began,
        "update_time": began + len(chat.lines),
        "mapping": mapping,
        "current_node": last,
        "conversation_id": chat.id,
        "id": chat.id,
    }


def _zip(source: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        archive.write(source, "conversations.json")
