"""multiprocessing over byte ranges of the file, cut where a regular expression finds a conversation's first keys.

Nothing is parsed to find them, which no other way can beat; but it needs an uncompressed file, keys in the order that
exports have today, and a file without damage.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from multiprocessing import Pool
from pathlib import Path
from typing import BinaryIO

from benchmarks.peers.job import Job, Phases, Rules, take_part
from ray_import.records import RawConversation

START = re.compile(
    rb'\{\s*"title":\s*(?:null|"(?:[^"\\]|\\.)*+"),\s*"create_time":[^",{}\[\]]+,'
    rb'\s*"update_time":[^",{}\[\]]+,\s*"mapping":\s*\{'
)
LOOK_BYTES = 256 * 1024
RANGE_BYTES = 2 * 1024 * 1024
"""Small enough for an even share of work, large enough that handing it out costs nothing."""

Range = tuple[int, int]


def ranges(export: Path) -> list[Range]:
    """The whole file in pieces of about RANGE_BYTES, each from one conversation's beginning to another's."""
    starts: list[int] = []
    with export.open("rb") as file:
        while (start := next_start(file, starts[-1] + RANGE_BYTES if starts else 0)) is not None:
            starts.append(start)
    return list(pairwise([*starts, export.stat().st_size]))


def next_start(file: BinaryIO, at: int) -> int | None:
    """Where the first conversation begins that begins at byte `at` or later."""
    file.seek(at)
    data = b""
    while piece := file.read(LOOK_BYTES):
        data += piece
        if found := START.search(data):
            return at + found.start()
    return None


def conversations(export: Path, piece: Range) -> Iterator[RawConversation]:
    """Those of one range."""
    with export.open("rb") as file:
        file.seek(piece[0])
        data = file.read(piece[1] - piece[0])
    starts = [found.start() for found in START.finditer(data)]
    for position, (begin, end) in enumerate(pairwise([*starts, len(data)])):
        yield RawConversation(export.name, position, piece[0] + begin, data[begin:end].rstrip(b" \t\r\n,]"))


class Worker:
    """One process's share of the job: reads for itself, writes for itself."""

    def __init__(self, job: Job) -> None:
        self._export = job.export
        self._rules = Rules(job)

    def take(self, piece: Range) -> None:
        """Imports one range."""
        self._rules.take(conversations(self._export, piece))


_OF_THIS_PROCESS: list[Worker] = []


def _start(job: Job) -> None:
    _OF_THIS_PROCESS.append(Worker(job))


def _take(piece: Range) -> None:
    _OF_THIS_PROCESS[0].take(piece)


def import_export(job: Job) -> Phases:
    """Hands out ranges to a pool."""
    yield
    with Pool(job.workers, _start, (job,)) as pool:
        for _ in pool.imap_unordered(_take, ranges(job.export)):
            pass
        yield


if __name__ == "__main__":
    take_part(import_export)
