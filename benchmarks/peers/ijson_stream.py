"""One process that streams: ijson builds conversation after conversation, orjson writes each again for the rules."""

from collections.abc import Iterator
from pathlib import Path

import ijson
import orjson

from benchmarks.peers.job import Job, Phases, Rules, take_part
from ray_import.records import RawConversation


def conversations(export: Path) -> Iterator[RawConversation]:
    """One after another. `use_float`, since the default builds Decimals, slower; a larger buffer is no faster."""
    with export.open("rb") as file:
        for position, value in enumerate(ijson.items(file, "item", use_float=True)):
            yield RawConversation(export.name, position, 0, orjson.dumps(value))


def import_export(job: Job) -> Phases:
    """Reads a batch, works on it, reads on."""
    yield
    Rules(job).take(conversations(job.export))
    yield


if __name__ == "__main__":
    take_part(import_export)
