"""An export that comes through a pipe: read once, to a temporary file without a name."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

from ray_import.errors import SourceError
from ray_import.source.downloaded import room_for
from ray_import.source.streams import Opener, read_at_of, window

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
