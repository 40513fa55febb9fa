"""Would unpacking in a thread of its own help the driver? `python -m benchmarks.read_ahead export.zip`.

Reads, cuts and batches the export as the driver does, by turns as it is and with a thread that unpacks ahead.
"""

import queue
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import BinaryIO, cast

from ray_import.pipeline.batching import batches_of
from ray_import.pipeline.sources import Sources, open_sources
from ray_import.settings import ImportSettings
from ray_import.source.export import Member
from ray_import.source.streams import Opener

PIECES, PIECE_BYTES, ROUNDS = 16, 256 * 1024, 5


class Ahead:
    """A stream of what a thread reads ahead; good for whole reads of whole files."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._pieces: queue.Queue[bytes] = queue.Queue(PIECES)
        self._left = b""
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while piece := self._stream.read(PIECE_BYTES):
            self._pieces.put(piece)
        self._pieces.put(b"")

    def read(self, size: int) -> bytes:
        left = self._left or self._pieces.get()
        self._left = left[size:]
        return left[:size]


def ahead_of(opener: Opener) -> Opener:
    """The same, read ahead."""

    @contextmanager
    def read_to_the_end(stack: ExitStack) -> Iterator[Ahead]:
        stream = Ahead(opener(stack))
        yield stream
        stream.thread.join()

    return lambda stack: cast("BinaryIO", stack.enter_context(read_to_the_end(stack)))


def ms_per_megabyte(sources: Sources, batch_bytes: int) -> float:
    """How long the driver's part of an import takes."""
    began = time.perf_counter()
    size = sum(len(batch.payload) for batch in batches_of(sources.conversations(), batch_bytes))
    return 1000 * (time.perf_counter() - began) / (size / 1e6)


def _ahead(member: Member) -> Member:
    return replace(member, opener=ahead_of(member.opener))


def main(path: str) -> None:
    """Print both medians."""
    settings = ImportSettings()
    as_it_is, in_a_thread = [], []
    for _ in range(ROUNDS):
        sources = open_sources([Path(path)], settings.read)
        as_it_is.append(ms_per_megabyte(sources, settings.flow.batch_bytes))
        threaded = tuple(replace(one, members=tuple(map(_ahead, one.members))) for one in sources.exports)
        in_a_thread.append(ms_per_megabyte(Sources(threaded, settings.read), settings.flow.batch_bytes))
    print(f"as it is {median(as_it_is):.2f} ms/MB, unpacked in a thread {median(in_a_thread):.2f} ms/MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
