"""The part of a stream that is being looked at."""

import re
import sys
from typing import BinaryIO

from ray_import.errors import SourceRefused
from ray_import.source.reasons import TrailingData, in_words

PIECE_BYTES = 64 * 1024
_NOT_BLANK = re.compile(rb"[^ \t\r\n,]")


class Window:
    """Bytes of a stream from `at` on, grown on demand and let go of when `at` moves past them.

    A stream that fails is at its end: `failure` then says why, so that whatever was read before is still used.
    `trailing` tells that something follows the end of a gzip. One that a server refuses raises SourceRefused instead,
    once all of that is used.
    """

    def __init__(
        self, stream: BinaryIO, window_bytes: int, failures: tuple[type[Exception], ...], most_bytes: int = sys.maxsize
    ) -> None:
        """Reads `window_bytes` at a time or more; holds no more than `most_bytes` and a window."""
        self._stream = stream
        self._window_bytes = window_bytes
        self._most_bytes = most_bytes
        self._failures = failures
        self._before = 0
        self.data = bytearray()
        self.at = 0
        self.ended = False
        self.failure = ""
        self.trailing = False
        self.passed_comma = False
        """Whether there was a comma in what `skip_blank` skipped last."""

    @property
    def offset(self) -> int:
        """How many bytes of the stream lie before `at`."""
        return self._before + self.at

    @property
    def held_bytes(self) -> int:
        """How many bytes are there from `at` on."""
        return len(self.data) - self.at

    def grow(self) -> bool:
        """Reads on, as much again as is held (so that looking again from `at` stays linear).

        False at the stream's end. Every view of `data` has to be released before.
        """
        if self.ended:
            return False
        if self.at:
            self._before += self.at
            del self.data[: self.at]
            self.at = 0
        held = len(self.data)
        self._read(max(self._window_bytes, min(held, self._most_bytes - held)))
        return len(self.data) > held

    def _read(self, wanted: int) -> None:
        """In pieces, because a packing that only zipfile knows gives nothing of one in the middle of which it fails.

        A source that is refused, too, first gives what was read before: the error comes again at the next read.
        """
        held = len(self.data)
        upto = held + wanted
        try:
            while len(self.data) < upto and not self.ended:
                piece = self._stream.read(min(PIECE_BYTES, upto - len(self.data)))
                self.data += piece
                self.ended = not piece
        except SourceRefused:
            if len(self.data) == held:
                raise
        except TrailingData:
            self.trailing = self.ended = True
        except self._failures as error:
            self.failure = in_words(error)
            self.ended = True

    def skip_blank(self) -> bytes:
        """Moves `at` to the next byte that is neither white space nor a comma, and gives it; b"" at the end."""
        self.passed_comma = False
        while True:
            found = _NOT_BLANK.search(self.data, self.at)
            upto = found.start() if found else len(self.data)
            self.passed_comma = self.passed_comma or self.data.find(b",", self.at, upto) >= 0
            self.at = upto
            if found:
                return found.group()
            if not self.grow():
                return b""

    def skip_byte_order_mark(self) -> None:
        """Leaves out a UTF-8 BOM at the start."""
        while self.held_bytes < 3 and self.grow():
            pass
        if self.data.startswith(b"\xef\xbb\xbf"):
            self.at = 3
