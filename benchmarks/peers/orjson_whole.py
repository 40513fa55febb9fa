"""One process, and the whole file at once by orjson.

orjson gives no raw bytes, so each conversation is written again: the rules take bytes, and of bytes is the hash by
which an unchanged one is recognised.
"""

import gc
from collections.abc import Iterator
from pathlib import Path

import orjson

from benchmarks.peers.job import Job, Phases, Rules, take_part
from ray_import.records import RawConversation


def conversations(export: Path) -> Iterator[RawConversation]:
    """All of them, letting go of each as soon as it is used."""
    values = orjson.loads(export.read_bytes())
    gc.freeze()  # or every collection goes through the whole file
    values.reverse()
    position = 0
    while values:
        yield RawConversation(export.name, position, 0, orjson.dumps(values.pop()))
        position += 1


def import_export(job: Job) -> Phases:
    """Reads everything, then works."""
    yield
    Rules(job).take(conversations(job.export))
    yield


if __name__ == "__main__":
    take_part(import_export)
