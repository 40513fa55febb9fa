"""What is kept of bytes that are let go of."""

from ray_import.reader.window import Window

SAMPLE_BYTES = 64 * 1024
"""Of what is too large to be kept, the first and the last bytes are, as many each."""


class Passed:
    """The first and the last bytes of what was let go of."""

    def __init__(self) -> None:
        self._first = b""
        self._last = b""

    def add(self, window: Window, until: int) -> None:
        """Moves the window on to index `until`, if that is further on."""
        if until <= window.at:
            return
        at = min(window.at + SAMPLE_BYTES - len(self._first), until)
        self._first += bytes(window.data[window.at : at])
        self._last = (self._last + bytes(window.data[max(at, until - SAMPLE_BYTES) : until]))[-SAMPLE_BYTES:]
        window.at = until

    @property
    def sample(self) -> bytes:
        """At most twice SAMPLE_BYTES."""
        return self._first + self._last
