"""Made-up ChatGPT exports of any size: `python -m tests.support.generate --mb 300 --out x.json`.

Streams: memory does not grow with the size. The same seed, shape and size give the same bytes.
"""

import argparse
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from tests.support.synthetic.conversations import Account
from tests.support.synthetic.tree import Shape

MEGABYTE = 1_000_000
SIDE_FILES: dict[str, object] = {
    "user.json": {
        "id": "user-benchmark",
        "email": "nobody@example.org",
        "chatgpt_plus_user": True,
        "phone_number": None,
    },
    "message_feedback.json": [],
    "model_comparisons.json": [],
    "shared_conversations.json": [{"id": "s1", "conversation_id": "c1", "title": "Shared", "is_anonymous": True}],
    "group_chats.json": {"chats": []},
    "shopping.json": [],
    "sora.json": {},
}


@dataclass(frozen=True, slots=True)
class ExportFacts:
    """What was written. `bytes` are those of the JSON, before any compression."""

    bytes: int
    conversations: int
    messages: int


def write_export(path: Path, megabytes: float, seed: int = 0, *, shape: Shape = "full") -> ExportFacts:
    """Write `megabytes` (of 10^6 bytes) as one minified JSON array; the last conversation may exceed it."""
    with path.open("wb") as file:
        return _write(file.write, megabytes, Account(seed, shape))


def write_exports(directory: Path, count: int, megabytes: float, seed: int = 0) -> None:
    """So many exports of so many megabytes each, all of one person and without common conversations."""
    account = Account(seed, "full")
    for number in range(count):
        with (directory / f"export-{number:06}.json").open("wb") as file:
            _write(file.write, megabytes, account)


def write_zip(path: Path, megabytes: float, seed: int = 0, *, shape: Shape = "full") -> ExportFacts:
    """The same JSON, deflated into a ZIP as `conversations.json` beside a real export's small files."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in SIDE_FILES.items():
            archive.writestr(_member(name), orjson.dumps(content))
        with archive.open(_member("conversations.json"), "w", force_zip64=True) as member:
            return _write(member.write, megabytes, Account(seed, shape))


def _member(name: str) -> zipfile.ZipInfo:
    """A deflated member with a fixed date, for the same seed has to give the same bytes."""
    member = zipfile.ZipInfo(name, date_time=(2026, 1, 1, 0, 0, 0))
    member.compress_type = zipfile.ZIP_DEFLATED
    return member


def _write(write: Callable[[bytes], int], megabytes: float, account: Account) -> ExportFacts:
    target = int(megabytes * MEGABYTE)
    written = conversations = messages = 0
    while written + 1 < target:
        conversation = account.converse(target - written)
        written += write(b"[" if conversations == 0 else b",") + write(conversation.json)
        conversations += 1
        messages += conversation.messages
    written += write(b"]" if conversations else b"[]")
    return ExportFacts(written, conversations, messages)


def main() -> None:
    """Write a made-up ChatGPT export."""
    options = argparse.ArgumentParser(prog="python -m tests.support.generate", description=main.__doc__)
    options.add_argument("--mb", type=float, required=True, help="megabytes (10^6 bytes) of JSON")
    options.add_argument("--out", type=Path, required=True, help="the file to write")
    options.add_argument("--seed", type=int, default=0, help="another seed gives other conversations")
    options.add_argument("--slim", action="store_true", help="the shape without children and recipients")
    options.add_argument("--zip", action="store_true", help="write a ZIP")
    chosen = options.parse_args()
    write = write_zip if chosen.zip else write_export
    print(write(chosen.out, chosen.mb, chosen.seed, shape="slim" if chosen.slim else "full"))


if __name__ == "__main__":
    main()
