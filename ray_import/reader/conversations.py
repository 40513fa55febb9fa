"""The conversations of one member, one after the other, as raw bytes."""

from collections.abc import Iterator

from ray_import.reader.damage import LONGEST_START_BYTES, next_start, resume_after
from ray_import.reader.framing import CannotFrame, end_of_value, end_of_value_by_ijson
from ray_import.reader.locate import Shape, locate
from ray_import.reader.window import Window
from ray_import.records import Problem, RawConversation
from ray_import.settings import ReadLimits
from ray_import.source.containers import DAMAGE, Member

SAMPLE_BYTES = 64 * 1024
"""Of what is too large to be kept, the first and the last bytes are, as many each."""


def read_conversations(member: Member, limits: ReadLimits) -> Iterator[RawConversation | Problem]:
    """Gives every item of `member` in order, good or damaged, and what was wrong with the whole.

    At most `max_conversation_bytes` and a window are held. Items are cut, not parsed: what they are is
    for the extraction to say.
    """
    with member.open() as stream:
        window = Window(stream, limits.window_bytes, DAMAGE)
        shape = locate(window)
        if shape is Shape.OTHER:
            yield Problem("not_json", member.name, "the member does not begin with [ or {")
        elif shape is Shape.SINGLE:
            yield from _Items(member.name, window, limits).single()
        else:
            yield from _Items(member.name, window, limits).of_array()
        if window.failure:
            yield Problem("damaged", member.name, f"reading stopped at byte {window.offset:,}: {window.failure}")


class _Items:
    """Cuts the items of one member, counting them."""

    def __init__(self, member: str, window: Window, limits: ReadLimits) -> None:
        self._member = member
        self._window = window
        self._max_bytes = limits.max_conversation_bytes
        self._position = 0
        self._unfinished = False
        self._over = False

    def single(self) -> Iterator[RawConversation | Problem]:
        yield from self._next_item()
        yield from self._nothing_after()

    def of_array(self) -> Iterator[RawConversation | Problem]:
        while not self._over:
            match self._window.skip_blank():
                case b"":
                    yield self._truncated()
                    return
                case b"]":
                    self._window.at += 1
                    yield from self._nothing_after()
                    return
                case b"}" | b":":
                    self._window.at += 1  # left over of a damaged item
                case _:
                    yield from self._next_item()

    def _next_item(self) -> Iterator[RawConversation | Problem]:
        window = self._window
        while True:
            end = self._framed_end()
            if end is not None:
                yield self._take(end, "")
                return
            found = resume_after(window.data, window.at, ended=window.ended)
            if found is not None:
                # A balanced value goes on undamaged: it may be mended where the rules say how.
                yield self._take(found.end - window.at, "" if found.balanced else "damaged")
                return
            if window.held_bytes > self._max_bytes:
                yield self._skip_oversized()
                return
            if not window.grow():
                yield from self._rest()
                return

    def _framed_end(self) -> int | None:
        """The proven length of the value at `at`, reading on as long as it is only unfinished."""
        window = self._window
        while True:
            with memoryview(window.data) as whole, whole[window.at :] as view:
                end, self._unfinished = self._end_in(view)
            if end is not None or not self._unfinished:
                return end
            if window.held_bytes > self._max_bytes or not window.grow():
                return None

    def _end_in(self, view: memoryview) -> tuple[int | None, bool]:
        """The length, if known, and else whether the value may only be unfinished."""
        for way in (end_of_value, end_of_value_by_ijson):
            try:
                end = way(view)
            except CannotFrame:
                continue
            # A number at the end of what is held may go on; a bracket or a quote cannot.
            known = end is not None and (end < len(view) or self._window.ended or view[-1] in b'}]"')
            return (end, False) if known else (None, True)
        return None, False

    def _take(self, length: int, damage: str) -> RawConversation:
        window = self._window
        data = bytes(window.data[window.at : window.at + length]).rstrip(b" \t\r\n," if damage else b" \t\r\n")
        item = RawConversation(self._member, self._position, window.offset, data, damage)
        window.at += length
        self._position += 1
        return item

    def _skip_oversized(self) -> RawConversation:
        """Lets go of an item that is larger than may be held, up to where the next one begins."""
        window = self._window
        offset = window.offset
        first = bytes(window.data[window.at : window.at + SAMPLE_BYTES])
        last = self._let_go(window.at + len(first), b"")
        while True:
            start = next_start(window.data, window.at, len(window.data))
            if start is not None and (start.whole or window.held_bytes <= self._max_bytes):
                last = self._let_go(start.at, last)
                if start.whole:
                    break
            else:
                last = self._let_go(len(window.data) - LONGEST_START_BYTES, last)
            if not window.grow():
                last = self._let_go(len(window.data), last)
                self._over = last.rstrip().endswith((b"]", b"]}"))
                break
        item = RawConversation(self._member, self._position, offset, first + last, "too_large")
        self._position += 1
        return item

    def _let_go(self, until: int, last: bytes) -> bytes:
        """Moves on to index `until`; gives the last bytes that were passed, of those before and these."""
        window = self._window
        until = max(until, window.at)
        passed = bytes(window.data[max(window.at, until - SAMPLE_BYTES) : until])
        window.at = until
        return (last + passed)[-SAMPLE_BYTES:]

    def _rest(self) -> Iterator[RawConversation | Problem]:
        """What is left at the stream's end and is no whole item: cut off, or damaged up to the end."""
        self._over = True
        closed = self._window.data.rstrip().endswith((b"]", b"]}"))
        if self._unfinished or not closed:
            yield self._truncated()
        if not self._unfinished:
            yield self._take(self._window.held_bytes, "damaged")
        self._window.at = len(self._window.data)

    def _truncated(self) -> Problem:
        return Problem(
            "truncated",
            self._member,
            f"cut off in item {self._position}, which begins at byte {self._window.offset:,}; all before it is in",
        )

    def _nothing_after(self) -> Iterator[Problem]:
        """Reads to the end, so that the archive's checksum is compared, and tells of what is left over."""
        window = self._window
        while window.skip_blank() in (b"]", b"}"):
            window.at += 1
        if window.held_bytes:
            yield Problem(
                "trailing_data",
                self._member,
                f"something follows the conversations at byte {window.offset:,}",
            )
        while not window.ended:
            window.at = len(window.data)
            window.grow()
