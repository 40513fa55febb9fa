"""A range of an object, read forward over as many connections as that takes."""

from collections.abc import Callable

from ray_import.errors import SourceRefused, SourceUnavailable
from ray_import.source.http import Answer
from ray_import.source.patience import Patience


class Forward:
    """The bytes `[at, end)`. A connection that breaks is followed by one that begins at the byte where it broke."""

    def __init__(
        self, ask: Callable[[int, int], Answer], patience: Patience, start: int, end: int, answer: Answer | None = None
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
