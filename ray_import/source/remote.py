"""An object on a server as bytes that are read by their place, in few requests and constant memory.

It is held in blocks. Where reading begins, or jumps to, two are asked for. Where it goes on, the next range is twice as
long as what was read in one go so far, and from 2 MB on it is all that is left: of the member where one is read, else
of the object. So hardly more is fetched than is read, and a long reading is few requests.
"""

import weakref
from contextlib import ExitStack
from typing import BinaryIO

from ray_import.errors import SourceRefused
from ray_import.settings import ReadLimits
from ray_import.source.address import HttpAddress
from ray_import.source.downloaded import downloaded
from ray_import.source.forward import Forward
from ray_import.source.http import Answer, Client
from ray_import.source.patience import Patience
from ray_import.source.refusals import changed, unavailable
from ray_import.source.streams import Opener, window

BLOCK_BYTES = 64 * 1024
JUMP_BYTES = 2 * BLOCK_BYTES
"""A header and what a first look at its data reads are nearly always within this."""
SKIP_BYTES = JUMP_BYTES
"""Over so much is read, forward, where asking anew would fetch as much and wait."""
REST_FROM_BYTES = 2 * 1024 * 1024

KEPT_BYTES = 8 * 1024 * 1024
"""What is read first stays: directories and heads are looked at several times before members are read."""


def open_remote(address: HttpAddress, patience: Patience, limits: ReadLimits) -> tuple[Opener, int]:
    """The object at `address`, and its size. All of its bytes are those of the version that is there now.

    An object is read once, to a temporary file, where the server gives no ranges, or does not tell whether two answers
    are of the same content. Raises SourceRefused and its kinds, also whenever the object is read; SourceError where
    there is no room for it, or it has more than `limits.max_download_bytes`.
    """
    patience = patience.for_source(address.label, limits)
    client = Client(address, patience)
    with ExitStack() as failed:
        failed.callback(client.close)
        first = patience.persist(lambda: client.get(0, JUMP_BYTES))
        if first.is_part and first.start == 0 and first.size is not None and (first.shows_changes or not first.size):
            remote = _Remote(client, first, first.size)
            weakref.finalize(remote, client.close)
            failed.pop_all()
            return remote.open, first.size
        read_at, size = downloaded(client, first, limits.max_download_bytes)
        return lambda stack: window(stack, read_at, size), size


class _Remote:
    """Blocks of one version of an object. Not for several threads."""

    def __init__(self, client: Client, first: Answer, size: int) -> None:
        self._client = client
        self._size = size
        self._first = first
        self._kept: dict[int, bytes] = {}
        self._last = (-1, b"")
        self._in_one_go = 0
        self._expected_end = size
        self._failure: SourceRefused | None = None
        self._forward = self._going(0, JUMP_BYTES, first)

    def open(self, stack: ExitStack) -> BinaryIO:
        """See `Opener`."""
        return window(stack, self.read_at, self._size, self._expect)

    def _expect(self, end: int) -> None:
        self._expected_end = end

    def read_at(self, offset: int, length: int) -> bytes:
        """See `ReadAt`. Raises SourceRefused and its kinds; what has failed once fails at once from then on."""
        if self._failure is not None:
            raise self._failure
        end = min(offset + length, self._size)
        parts = []
        try:
            while offset < end:
                block = self._block(offset // BLOCK_BYTES, end)
                parts.append(block[offset % BLOCK_BYTES :][: end - offset])
                offset += len(parts[-1])
        except SourceRefused as error:
            self._forward.close()
            self._failure = error.with_traceback(None)
            if not parts:
                raise
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _block(self, number: int, wanted_end: int) -> bytes:
        """The block; reading is about to go on to `wanted_end`."""
        last, block = self._last
        if number == last:
            return block
        self._in_one_go = self._in_one_go + BLOCK_BYTES if number == last + 1 else 0
        block = self._kept.get(number) or self._fetched(number * BLOCK_BYTES, wanted_end)
        self._last = number, block
        return block

    def _fetched(self, start: int, wanted_end: int) -> bytes:
        ahead = self._forward
        if not (ahead.at <= start <= ahead.at + SKIP_BYTES and start < ahead.end):
            ahead.close()
            ahead = self._forward = self._going(self._range_start(start), self._range_end(start, wanted_end))
        while ahead.at < start:
            self._take()
        block = self._take()
        while self._in_one_go < JUMP_BYTES and ahead.at < min(ahead.end, start + JUMP_BYTES):
            self._take()  # a connection that is left in the middle of an answer costs more than the rest of it
        return block

    def _take(self) -> bytes:
        """The next block, kept while there is room."""
        number = self._forward.at // BLOCK_BYTES
        block = self._forward.read(min(BLOCK_BYTES, self._size - self._forward.at))
        if len(self._kept) * BLOCK_BYTES < KEPT_BYTES:
            self._kept[number] = block
        return block

    def _range_start(self, start: int) -> int:
        """A ZIP's directory is before its last bytes, which are looked at first."""
        is_end = not self._in_one_go and start + BLOCK_BYTES >= self._size
        return max(0, start - BLOCK_BYTES) if is_end else start

    def _range_end(self, start: int, wanted_end: int) -> int:
        go_on = self._size if self._in_one_go >= REST_FROM_BYTES else start + 2 * self._in_one_go
        end = max(start + JUMP_BYTES, wanted_end, min(go_on, self._expected_end))
        return min(-(-end // BLOCK_BYTES) * BLOCK_BYTES, self._size)

    def _going(self, start: int, end: int, answer: Answer | None = None) -> Forward:
        return Forward(self._ask, self._client.patience, start, min(end, self._size), answer)

    def _ask(self, start: int, end: int) -> Answer:
        """Raises SourceRefused where the object is another one by now."""
        answer = self._client.get(start, end)
        if not self._first.is_of_same_content(answer):
            answer.close()
            raise changed(self._client.address)
        if not answer.is_part or answer.start != start:
            answer.close()
            raise unavailable(self._client.address, "the server sent another range than the requested one")
        return answer
