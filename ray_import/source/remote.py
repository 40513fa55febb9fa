"""An object on a server as bytes that are read by their place, in few requests and constant memory.

It is held in blocks. Where reading begins, or jumps to, two are asked for. Where it goes on, the next range is twice as
long as what was read in one go so far, and from 2 MB on it is all that is left: of the member where one is read, else
of the object. So hardly more is fetched than is read, and a long reading is few requests.

A server without ranges, and a pipe, are read once, to a temporary file without a name.
"""

import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from ray_import.errors import SourceError, SourceRefused, SourceUnavailable
from ray_import.settings import ReadLimits
from ray_import.source.address import HttpAddress
from ray_import.source.http import Answer, Client
from ray_import.source.patience import RetryPolicy
from ray_import.source.refusals import changed, unavailable
from ray_import.source.streams import Opener, ReadAt, opening, read_at_of, window


class Forward:
    """The bytes `[at, end)`. A connection that breaks is followed by one that begins at the byte where it broke."""

    def __init__(
        self,
        ask: Callable[[int, int], Answer],
        patience: RetryPolicy,
        start: int,
        end: int,
        answer: Answer | None = None,
    ) -> None:
        """`ask` gives an answer for a range that is not asked for yet; `answer` is one for this range."""
        self._ask = ask
        self._patience = patience
        self._answer = answer
        self._ready = b""
        self.at = start
        self.end = end

    def read(self, length: int) -> bytes:
        """Exactly so many bytes, which have to be there. Raises SourceRefused and its kinds; nothing is lost by it."""
        parts = []
        while length > 0:
            piece, self._ready = self._ready or self._next(), b""
            parts.append(piece[:length])
            self._ready = piece[length:]
            length -= len(parts[-1])
            self.at += len(parts[-1])
        if self.at == self.end and self._answer is not None:
            next(self._answer.pieces, b"")  # sees the end: the connection can be used again
            self.close()
        return b"".join(parts)

    def close(self) -> None:
        """Lets go of the connection."""
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def _next(self) -> bytes:
        """At least a byte. After a break the first attempt is made at once: it is the only one, nearly always."""
        if self._answer is not None:
            try:
                return self._piece()
            except SourceUnavailable:
                pass
        return self._patience.persist(self._piece)

    def _piece(self) -> bytes:
        if self._answer is None:
            self._answer = self._ask(self.at, self.end)
        try:
            piece = next(self._answer.pieces, b"")
        except SourceRefused:
            self.close()
            raise
        if not piece:  # a server may send less than it is asked for, but not nothing
            self.close()
            return self._piece()
        return piece


def downloaded(client: Client, first: Answer, most_bytes: int) -> tuple[ReadAt, int]:
    """The whole object, and its length; the file is gone with the ReadAt, and with the process however that ends.

    `first` is an answer that is open already, of which a part is not used: all bytes come in one answer. A connection
    that breaks begins again. Raises SourceRefused and its kinds, ResourcesExhausted, SourceError where there is no room
    for it or it has more than `most_bytes`.
    """
    label, why = client.address.label, _why(first)
    waiting: list[Answer] = [first] if not first.is_part else []
    if first.is_part:
        first.close()

    def attempt() -> int:
        answer = waiting.pop() if waiting else client.get()
        try:
            return _copied(answer, file, f"{label} {why}", most_bytes)
        finally:
            answer.close()

    with ExitStack() as failed:
        with room_for(f"{label} {why}", first.size):
            file = failed.enter_context(tempfile.TemporaryFile(buffering=0))
        size = client.patience.persist(attempt)
        failed.pop_all()
    return read_at_of(file), size


def _why(first: Answer) -> str:
    """Why ranges are of no use."""
    if first.is_part and first.size is not None:
        return "is sent without an ETag or a date that identifies its version"
    return "is sent without support for ranges"


def _copied(answer: Answer, file: BinaryIO, what: str, most_bytes: int) -> int:
    """Writes all of `answer` to `file`, over what an attempt before has left there."""
    _refuse_more_than(most_bytes, answer.size or 0, what)
    file.seek(0)
    file.truncate()
    size = 0
    for piece in answer.pieces:
        size += len(piece)
        _refuse_more_than(most_bytes, size, what)
        rest = memoryview(piece)
        while rest:
            with room_for(what, answer.size):
                rest = rest[file.write(rest) :]
    return size


def _refuse_more_than(most_bytes: int, size: int, what: str) -> None:
    if size > most_bytes:
        raise SourceError(
            f"{what}, and is larger than the download limit of {most_bytes:,} bytes.",
            "Raise --max-download-bytes (the download goes to TMPDIR), or download it and import the file.",
        )


@contextmanager
def room_for(what: str, size: int | None) -> Iterator[None]:
    """Raises SourceError where an OSError says that a temporary file for `what` cannot be made or written."""
    try:
        with opening():
            yield
    except OSError as error:
        needs = f"{size:,} bytes" if size else "room"
        raise SourceError(
            f"{what}: reading it needs {needs} in TMPDIR ({error.strerror}).",
            "Set TMPDIR to a folder with more room, or download it and import the file.",
        ) from None


BLOCK_BYTES = 64 * 1024
JUMP_BYTES = 2 * BLOCK_BYTES
"""A header and what a first look at its data reads are nearly always within this."""
SKIP_BYTES = JUMP_BYTES
"""Over so much is read, forward, where asking anew would fetch as much and wait."""
REST_FROM_BYTES = 2 * 1024 * 1024

KEPT_BYTES = 8 * 1024 * 1024
"""What is read first stays: directories and heads are looked at several times before members are read."""


def open_remote(address: HttpAddress, patience: RetryPolicy, limits: ReadLimits) -> tuple[Opener, int]:
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


PIECE_BYTES = 1024 * 1024


def piped(path: Path, label: str, most_bytes: int) -> tuple[Opener, int]:
    """All that comes through the pipe at `path` until its writer ends, and the size of that.

    The temporary file is gone with the Opener, and with the process however that ends. Raises SourceError where there
    is no room for it, or more than `most_bytes` come.
    """
    what = f"{label} is a pipe"
    size = 0
    with path.open("rb", buffering=0) as pipe, ExitStack() as failed:
        with room_for(what, None):
            file = failed.enter_context(tempfile.TemporaryFile(buffering=0))
        while piece := pipe.read(PIECE_BYTES):
            size += len(piece)
            if size > most_bytes:
                raise SourceError(
                    f"{what}, and more than the limit of {most_bytes:,} bytes came through it.",
                    "Raise --max-download-bytes (pipes are copied to TMPDIR), or write it to a file and import that.",
                )
            rest = memoryview(piece)
            while rest:
                with room_for(what, None):
                    rest = rest[file.write(rest) :]
        failed.pop_all()
    read_at = read_at_of(file)
    return lambda stack: window(stack, read_at, size), size
