"""An object that is not read by ranges: read once, to a temporary file without a name."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

from ray_import.errors import SourceError
from ray_import.source.http import Answer, Client
from ray_import.source.streams import ReadAt, opening, read_at_of


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
