"""The items of one member, cut out of its window one after the other."""

import re
from collections.abc import Callable, Iterator

from ray_import.reader.framing import CannotFrame, end_of_value, end_of_value_by_ijson
from ray_import.reader.locate import Shape, ends_wrapper
from ray_import.reader.recovery import LONGEST_START_BYTES, Starts, brackets_too_many, next_start, resume_after
from ray_import.reader.window import Window
from ray_import.records import Problem, RawConversation
from ray_import.settings import ReadLimits

SAMPLE_BYTES = 64 * 1024
"""Of what is too large to be kept, the first and the last bytes are, as many each."""


class HeadTailSample:
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


Way = Callable[[memoryview], int | None]

_NOT_SPACE = re.compile(rb"[^ \t\r\n]")


class Items:
    """Cuts the items of one member, counting them."""

    def __init__(self, member: str, window: Window, limits: ReadLimits, shape: Shape) -> None:
        self._member = member
        self._window = window
        self._max_bytes = limits.max_conversation_bytes
        self._reader = limits.reader
        self._shape = shape
        self._position = 0
        self._starts = Starts()
        self._unfinished = False
        """Whether all that is known against the item at hand is that it does not end."""
        self._complete = False
        """Whether the end of the last item, or of the array, was seen (or its lack was told)."""
        self._in_array = shape is not Shape.SINGLE
        self._is_lines = shape is Shape.SINGLE
        """Whether nothing was found so far but objects with white space between them: one a line is a way to write an
        array."""
        self._goes_on = False
        """Whether it was told that more follows the first end."""

    def read(self) -> Iterator[RawConversation | Problem]:
        """Every item, good or damaged, and what is wrong with what is around them."""
        while mark := self._window.skip_blank():
            if mark == b"]" and (self._in_array or self._goes_on):
                self._window.at += 1
                self._complete = True
                yield from self._after_the_array()
            elif self._complete and not self._in_array:
                yield from self._after_the_array()
            else:
                self._complete = not self._in_array
                yield from self._next_item()
        if not self._complete:
            yield self._truncated()

    def _next_item(self) -> Iterator[RawConversation | Problem]:
        window = self._window
        if brackets := brackets_too_many(window.data, window.at):
            yield self._take(brackets, "damaged")
            return
        while True:
            end = self._proven_end()
            if end is not None:
                yield self._take(end, "")
                return
            is_full = window.held_bytes > self._max_bytes
            starts = self._starts.of((window.offset - window.at, len(window.data)))
            found = resume_after(window.data, window.at, ended=window.ended or is_full, starts=starts)
            if found is not None:
                # A balanced value goes on undamaged: it may be mended where the rules say how.
                yield self._take(found.end - window.at, "" if found.balanced else "damaged")
                return
            if is_full:
                offset = window.offset
                sample, followed = self._skip_to_next_start(ahead=1)
                yield self._item(offset, sample.rstrip(b" \t\r\n,"), "too_large")
                self._complete = self._complete or (not followed and _closed(sample))
                return
            if window.ended:
                yield from self._rest()
                return
            window.grow()

    def _proven_end(self) -> int | None:
        """The length of the value at `at`, reading on as long as it is only unfinished."""
        window = self._window
        while True:
            with memoryview(window.data) as whole, whole[window.at :] as view:
                end = self._end_in(view)
            if end is not None or not self._unfinished:
                return end
            if window.held_bytes > self._max_bytes or not window.grow():
                return None

    def _end_in(self, view: memoryview) -> int | None:
        """The length that a decoder proves and that what follows does not belie."""
        self._unfinished = False
        for way in self._ways():
            try:
                end = way(view)
            except CannotFrame:
                continue
            is_item = self._is_item(end)
            self._unfinished = is_item is None
            return end if is_item else None
        return None

    def _ways(self) -> tuple[Way, ...]:
        """ijson cannot tell where a value ends that is in no brackets."""
        if self._reader == "auto" or self._window.data[self._window.at] not in b"{[":
            return (end_of_value, end_of_value_by_ijson)
        return (end_of_value,) if self._reader == "framing" else (end_of_value_by_ijson,)

    def _is_item(self, end: int | None) -> bool | None:
        """Whether what is JSON up to there may be an item; None where that is not known yet.

        An object is itself, whatever junk follows; but a string may begin with the quote that ends another,
        and an array that holds a conversation with a bracket too many.
        """
        mark = self._window.data[self._window.at]
        if mark == ord("[") and self._holds_conversation(end):
            return False
        if end is None:
            return None
        if mark == ord("{"):
            return True
        found = _NOT_SPACE.search(self._window.data, self._window.at + end)
        if found is None:
            return True if self._window.ended else None
        return found.group() in (b",", b"]", b"{")  # a comma may be missing

    def _holds_conversation(self, end: int | None) -> bool:
        """Whether a whole conversation lies in the item at hand, as far as that is there."""
        window = self._window
        start = next_start(window.data, window.at + 1, len(window.data) if end is None else window.at + end)
        return start is not None and start.whole

    def _take(self, length: int, damage: str) -> RawConversation:
        window = self._window
        if length > self._max_bytes:
            return self._too_large(length)
        with memoryview(window.data) as view:
            data = bytes(view[window.at : window.at + length]).rstrip(b" \t\r\n," if damage else b" \t\r\n")
        item = self._item(window.offset, data, damage)
        window.at += length
        return item

    def _too_large(self, length: int) -> RawConversation:
        """An item that was found to be larger than is allowed: its first and last bytes."""
        offset = self._window.offset
        passed = HeadTailSample()
        passed.add(self._window, self._window.at + length)
        return self._item(offset, passed.sample.rstrip(b" \t\r\n,"), "too_large")

    def _item(self, offset: int, data: bytes, damage: str) -> RawConversation:
        item = RawConversation(self._member, self._position, offset, data, damage)
        self._position += 1
        return item

    def _skip_to_next_start(self, ahead: int) -> tuple[bytes, bool]:
        """Lets go of what is there, up to where a conversation begins, `ahead` bytes on or later.

        Gives the first and the last bytes that were passed, and whether there is such a conversation.
        """
        window = self._window
        passed = HeadTailSample()
        while True:
            start = next_start(window.data, window.at + ahead, len(window.data))
            found_at = len(window.data) - LONGEST_START_BYTES if start is None else start.at
            if found_at > window.at:
                passed.add(window, found_at)
                ahead = 0
            if start is not None and (start.whole or window.held_bytes > self._max_bytes):
                return passed.sample, True
            if not window.grow():
                passed.add(window, len(window.data))
                return passed.sample, False

    def _rest(self) -> Iterator[RawConversation | Problem]:
        """What is left at the stream's end and is no whole item: cut off, or damaged up to the end."""
        window = self._window
        if self._unfinished or not _closed(window.data):
            yield self._truncated()
        if not self._unfinished:
            yield self._take(window.held_bytes, "damaged")
        elif window.data[window.at] == ord("{"):
            with memoryview(window.data) as view:
                rest = bytes(view[window.at :])
            yield self._item(window.offset, rest, "truncated")
        window.at = len(window.data)
        self._complete = True

    def _truncated(self) -> Problem:
        where = f"cut off in item {self._position}, which begins at byte {self._window.offset:,}"
        return Problem("truncated", self._member, f"{where}; all items before it were read")

    def _after_the_array(self) -> Iterator[RawConversation | Problem]:
        """Reads to the end, so that the archive's checksum is compared, and tells of what is left over.

        A bracket too many ends the array too early: where conversations follow, it goes on.
        """
        window = self._window
        after_comma = window.passed_comma
        follows = window.skip_blank()
        offset = window.offset
        if follows == b"{" and self._is_lines and not after_comma:
            yield from self._next_item()
            return
        self._is_lines = False
        if follows in (b"{", b"["):  # one export behind another
            self._in_array = follows == b"["
            window.at += self._in_array
            yield from self._more_follows(offset)
            return
        sample, found = self._skip_to_next_start(ahead=0)
        if found:
            yield from self._more_follows(offset)
            if b"{" in sample:
                yield self._item(offset, sample, "damaged")
        elif self._shape in (Shape.WRAPPER, Shape.DAMAGED_WRAPPER):
            ends = ends_wrapper(sample, is_all=len(sample) == window.offset - offset)
            if ends is None:
                yield Problem("truncated", self._member, "cut off after the conversations; all of them were read")
            elif not ends:
                yield Problem(
                    "damaged", self._member, f"the data after the conversations, at byte {offset:,}, is not valid JSON"
                )
        elif follows:
            yield Problem("trailing_data", self._member, f"extra data follows the conversations at byte {offset:,}")

    def _more_follows(self, offset: int) -> Iterator[Problem]:
        self._complete = False
        if not self._goes_on:
            what = "object" if self._shape is Shape.SINGLE else "array"
            yield Problem("damaged", self._member, f"the {what} ends before byte {offset:,}, but more data follows")
        self._goes_on = True


def _closed(rest: bytes | bytearray) -> bool:
    """Whether the array, or the object around it, ends with these bytes."""
    return rest.rstrip().endswith((b"]", b"]}"))
