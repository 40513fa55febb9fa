"""A stream for libraries that read a part of it whole, of a size that the archive itself claims."""

from typing import BinaryIO

from ray_import.errors import UnsafeArchive


class Bounded:
    """Reads `most_bytes` of `stream` in all, then raises UnsafeArchive with `name`, which names what is read.

    `count` is how many bytes were read; it may be set back.
    """

    def __init__(self, stream: BinaryIO, most_bytes: int, name: str) -> None:
        self.count = 0
        self._stream = stream
        self._most_bytes = most_bytes
        self._name = name
        self.seek = stream.seek
        self.tell = stream.tell

    def read(self, size: int = -1) -> bytes:
        """Like a stream's. What is asked for is refused before it is held."""
        left = self._most_bytes - self.count
        data = self._stream.read(left + 1 if size < 0 else size) if size <= left else b""
        self.count += len(data)
        if size > left or len(data) > left:
            raise UnsafeArchive(
                f"{self._name} is larger than {self._most_bytes:,} bytes: no export has so many files.",
                "If you trust it, unpack it and import the folder.",
            )
        return data
