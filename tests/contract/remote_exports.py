"""Exports as they are packed and broken, and what reading one from anywhere gives."""

import gzip
import io
import random
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ray_import.pipeline.sources import open_sources
from ray_import.records import Problem, RawConversation
from ray_import.settings import ReadLimits
from ray_import.source.patience import RetryPolicy
from tests.unit.source.exports import Style, conversation, exported, zipped
from tests.unit.source.test_containers import METHOD, patched

READ = ReadLimits()


def talks(name: str, count: int, seed: int = 1) -> bytes:
    """An export of conversations that hardly pack."""
    chance = random.Random(seed)
    return exported([conversation(f"{name}{i}", chance.randbytes(1000).hex(), "Yes.") for i in range(count)])


JSON = talks("c", 200)
SHARDS = {f"conversations-{i:03}.json": talks(f"s{i}-", 30, i) for i in range(4)}
PICTURES = {f"file-{i}/picture-{i}.png": random.Random(i).randbytes(200_000) for i in range(40)}


def with_pictures(conversations: bytes) -> bytes:
    """An export as it is downloaded: pictures, stored, before and behind the conversations."""
    pictures = list(PICTURES.items())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in pictures[:20]:
            archive.writestr(name, data)
        archive.writestr("conversations.json", conversations, zipfile.ZIP_DEFLATED)
        for name, data in pictures[20:]:
            archive.writestr(name, data)
    return buffer.getvalue()


def _tarred(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


_BROKEN = JSON.replace(b'"c7-0"', b'"c7-0', 1)
_LINES = b"\n".join(exported([conversation(f"l{i}")], Style("single")) for i in range(300))
_BROWSER = {f"chats/Gespräch {i}.json": exported([conversation(f"b{i}")], Style("single", i > 2)) for i in range(5)}
_MANIFEST = b'{"files":["conversations-000.json","conversations-009.json"]}'

EXPORTS: dict[str, bytes] = {
    "plain.json": JSON,
    "one block.json": talks("o", 1),
    "cut off.json": JSON[:-5000],
    "damaged.json": _BROKEN,
    "plain.json.gz": gzip.compress(JSON),
    "cut off.json.gz": gzip.compress(talks("g", 60))[:-3000],
    "shards.zip": zipped(SHARDS),
    "pictures.zip": with_pictures(JSON),
    "missing shard.zip": zipped({**SHARDS, "export_manifest.json": _MANIFEST}),
    "cut off.zip": zipped({"a.png": PICTURES["file-0/picture-0.png"], "conversations.json": JSON})[:-90_000],
    "wrong bit.zip": zipped({"conversations.json": JSON}).replace(b"PK\x01\x02", b"PK\x01\x03"),
    "packed.zip": zipped({"one.zip": zipped(SHARDS), "two.zip": zipped({"conversations.json": JSON})}),
    "stored.zip": zipped({"one.zip": zipped(SHARDS)}, zipfile.ZIP_STORED),
    "lines.json": _LINES,
    "cut off lines.json": _LINES[:-100],
    "lines.json.gz": gzip.compress(_LINES),
    "lines.zip": zipped({"conversations.json": _LINES}),
    "copies.zip": zipped({"conversations (2).json": JSON, "conversations (1).json": _LINES}),
    "browser.zip": zipped({**PICTURES, **_BROWSER, "settings.json": b"{}"}),
    "packed browser.zip": zipped({"one.zip": zipped(_BROWSER), "two.zip": zipped({"a.json": b"[]"})}),
    "group chats.zip": zipped({"conversations.json": _LINES, "group_chats.json": b'{"chats":' + JSON + b"}"}),
    "unread.zip": zipped({"conversations.json": JSON, "group_chats.json": b'[{"id":"g"}]', "old.zip": zipped(SHARDS)}),
    "one in UTF-16.zip": zipped({**SHARDS, "conversations-007.json": JSON.decode().encode("utf-16-be")}),
    "one in Deflate64.zip": patched(zipped(SHARDS), "conversations-001.json", METHOD, "<H", 9),
    "shards.tar": _tarred({**PICTURES, **SHARDS}),
    "shards.tar.gz": gzip.compress(_tarred(SHARDS)),
}


@dataclass(frozen=True, slots=True)
class Read:
    """All that came out of a source."""

    items: list[RawConversation]
    problems: list[Problem]
    bytes_read: int
    bytes_total: int | None


def read(source: str | Path, patience: RetryPolicy, limits: ReadLimits = READ) -> Read:
    """Reads `source` as an import does; its label is left out of where problems are."""
    sources = open_sources([source], limits, patience)
    items = list(sources.conversations())
    told = [Problem(p.kind, p.where.replace(sources.label, "SOURCE"), p.detail) for p in sources.problems]
    return Read(items, told, sources.bytes_read, sources.bytes_total)
