"""Threads to chunks: nothing lost, no chunk over its limit, time linear in the text (extraction.md §6).

A thread is its messages' rendered texts end to end. A chunk shows a range of that, [first, end): the
fresh part [fresh, end) follows where the chunk before ended, and what lies before `fresh` repeats that
one's end. So the overlap needs no text of its own, and the fresh parts, joined, are the thread.

Cuts are places in rendered texts; spans are places in the messages' own texts, without the attachments and the quoted
words that stand before these.

The first chunk of a side thread begins with the end of the message that it answers.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from ray_import.chunks.boundary import first_boundary, first_character, first_word, last_boundary
from ray_import.chunks.rendering import CONTINUED, LABELS, before_text, rendered_text
from ray_import.records import Chunk, Conversation, Message, Span
from ray_import.settings import BYTES_PER_TOKEN, ChunkSettings

_LONGEST_MARK_BYTES = 4
"""So many bytes before a cut tell whether a word begins there."""


class Context(NamedTuple):
    """The bytes of a context, label included, and its span; `span.at` counts from the first of these bytes."""

    content: bytes
    span: Span


class _Ancestor(NamedTuple):
    """A message with side threads below it. `end` holds the last bytes of what a chunk would show of it."""

    message: Message
    before_bytes: int
    text_bytes: int
    end: bytes


class Contexts:
    """The contexts of a conversation's side threads.

    Many threads may begin below one long message, so each message is encoded once at most, and only its end is held.
    """

    def __init__(self, messages: Sequence[Message], overlap_bytes: int) -> None:
        self._overlap_bytes = overlap_bytes
        has_side_threads = any(message.thread != messages[0].thread for message in messages)
        self._messages = {message.node_id: message for message in messages} if has_side_threads else {}
        self._ancestors: dict[str, _Ancestor] = {}

    def before(self, first: Message, room_bytes: int) -> Context | None:
        """The context of the thread that begins with `first`: at most the overlap and `room_bytes`, label included.

        None if no kept message is above `first`, or if no word of it fits.
        """
        ancestor = self._ancestor(first.parent_id)
        if ancestor is None:
            return None
        room_bytes = min(room_bytes, self._overlap_bytes)
        message, before_bytes, text_bytes, end = ancestor
        label, continued = LABELS[message.role]
        rendered_bytes = before_bytes + text_bytes
        begin = 0
        if len(label) + rendered_bytes > room_bytes:
            label = continued
            cut = self._cut(end, room_bytes - len(label), is_less=room_bytes < self._overlap_bytes)
            if cut is None:
                return None
            begin = rendered_bytes - len(end) + cut
            end = end[cut:]
        start = max(0, begin - before_bytes)
        at = len(label) + max(0, before_bytes - begin)
        return Context(label + end, Span(message.node_id, start, text_bytes, text_bytes, at, context=True))

    def _ancestor(self, node_id: str | None) -> _Ancestor | None:
        message = self._messages.get(node_id or "")
        if message is None:
            return None
        if message.node_id not in self._ancestors:
            before, text = before_text(message).encode(), message.text
            text_bytes = len(text) if text.isascii() else len(text.encode())
            most = self._overlap_bytes + _LONGEST_MARK_BYTES
            end = text[-most:].encode()
            end = end[-most:] if text_bytes >= most else (before + end)[-most:]
            self._ancestors[message.node_id] = _Ancestor(message, len(before), text_bytes, end)
        return self._ancestors[message.node_id]

    @staticmethod
    def _cut(end: bytes, left: int, *, is_less: bool) -> int | None:
        """Where the last `left` bytes of `end`, or less, begin: at a word. A word that does not fit is cut only if
        there is the whole overlap for it."""
        if left <= 0:
            return None
        start = len(end) - left
        cut = first_word(end, start)
        if cut is None and not is_less:
            cut = first_character(end, start, len(end))
        return cut if cut is not None and cut < len(end) else None


TITLE_SHARE = 4
"""At most a quarter of a chunk is its title."""

ENCODED_CHARACTERS = 8 * 1024 * 1024
"""A thread with more text is encoded message by message, and not held twice."""
ENCODED_MESSAGES = 16
"""Of such a thread; a chunk that shows more encodes some of them again."""


def estimate_tokens(size_bytes: int) -> int:
    """UTF-8 bytes / 4, rounded up: never less for text in any script than a tokenizer's usual count."""
    return -(-size_bytes // BYTES_PER_TOKEN)


def chunk_conversation(conversation: Conversation, settings: ChunkSettings) -> Iterator[Chunk]:
    """The chunks of each thread in turn, in the order in which the threads begin."""
    header = _header(conversation.title, settings.target_tokens * BYTES_PER_TOKEN // TITLE_SHARE)
    contexts = Contexts(conversation.messages, settings.overlap_tokens * BYTES_PER_TOKEN)
    for messages in _by_thread(conversation.messages):
        yield from _Thread(messages, contexts, header, settings).chunks()


def _by_thread(messages: Iterable[Message]) -> list[list[Message]]:
    threads: dict[str, list[Message]] = {}
    for message in messages:
        threads.setdefault(message.thread, []).append(message)
    return list(threads.values())


def _header(title: str, max_bytes: int) -> bytes:
    header = f"# {title or 'Untitled'}".encode()
    if len(header) > max_bytes:
        header = header[: max_bytes - len("…".encode())].decode(errors="ignore").rstrip().encode() + "…".encode()
    return header


def _encoded(messages: Sequence[Message]) -> "list[bytes] | _EncodedOnDemand":
    if sum(len(message.text) + len(message.quoted) for message in messages) <= ENCODED_CHARACTERS:
        return [rendered_text(message).encode() for message in messages]
    return _EncodedOnDemand(messages)


class _EncodedOnDemand:
    """The messages' rendered texts in UTF-8, of which the last ones asked for are held."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        self._encoded = lru_cache(ENCODED_MESSAGES)(lambda i: rendered_text(messages[i]).encode())

    def __getitem__(self, message: int) -> bytes:
        return self._encoded(message)

    def __len__(self) -> int:
        return len(self._messages)


class _Place(NamedTuple):
    """A place in a thread: `offset` bytes into the text of its message number `message`."""

    message: int
    offset: int


_BEGIN = _Place(0, 0)


class _Thread:
    """All in UTF-8 bytes, which are decoded once, when a chunk is put together."""

    def __init__(self, messages: list[Message], contexts: Contexts, header: bytes, settings: ChunkSettings) -> None:
        self._messages = messages
        self._texts = _encoded(messages)
        self._labels = [LABELS[message.role] for message in messages]
        self._before_bytes = {
            i: len(before_text(message).encode())
            for i, message in enumerate(messages)
            if message.attachments or message.quoted
        }
        self._header = header
        self._room = settings.target_tokens * BYTES_PER_TOKEN - len(header)
        self._overlap = settings.overlap_tokens * BYTES_PER_TOKEN
        left = self._room - self._whole_bytes(0) if self._fits_alone(0) else self._overlap
        self._context = contexts.before(messages[0], left)

    def chunks(self) -> Iterator[Chunk]:
        shown = [(*self._shown(first, fresh, end), fresh) for first, fresh, end in self._ranges()]
        self._texts = []
        shown.reverse()  # popped from the end, each chunk is freed once it has been yielded
        count = len(shown)
        for index in range(count):
            content, size, spans, fresh = shown.pop()
            yield Chunk(
                thread=self._messages[0].thread,
                index=index,
                count=count,
                content=content,
                tokens=estimate_tokens(size),
                spans=spans,
                created_at=self._messages[fresh.message].create_time,
            )

    def _ranges(self) -> Iterator[tuple[_Place, _Place, _Place]]:
        """Each chunk as (first, fresh, end); a fresh place is never at a message's end."""
        fresh = _BEGIN
        while fresh.message < len(self._texts):
            first = self._overlap_before(fresh)
            context = self._context if fresh == _BEGIN else None
            end = self._end_of_chunk(first, fresh, self._room - (len(context.content) if context else 0))
            yield first, fresh, end
            fresh = end if end.offset < len(self._texts[end.message]) else _Place(end.message + 1, 0)

    def _label_bytes(self, message: int, offset: int) -> int:
        return len(self._labels[message][offset > 0])

    def _overlap_before(self, fresh: _Place) -> _Place:
        """Goes back over whole messages while they fit, then into the one before, up to a boundary.

        Rather than that a message is cut, the overlap before it is less.
        """
        left = self._overlap
        if fresh.offset:
            begin = first_boundary(self._texts[fresh.message], fresh.offset - left, fresh.offset)
            if begin:
                return _Place(fresh.message, begin)
            left -= fresh.offset
        elif self._fits_alone(fresh.message):
            left = min(left, self._room - self._whole_bytes(fresh.message))
        message = fresh.message
        while message > 0:
            text = self._texts[message - 1]
            left -= self._label_bytes(message - 1, 0)
            if len(text) > left:
                left -= len(CONTINUED)
                begin = first_boundary(text, len(text) - left, len(text)) if left > 0 else len(text)
                return _Place(message - 1, begin) if begin < len(text) else _Place(message, 0)
            left -= len(text)
            message -= 1
        return _Place(message, 0)

    def _end_of_chunk(self, first: _Place, fresh: _Place, left: int) -> _Place:
        """Where the chunk from `first` on ends, if it has `left` bytes."""
        message, offset = first.message, first.offset
        while True:
            text = self._texts[message]
            left -= self._label_bytes(message, offset)
            if len(text) - offset > left:
                break
            left -= len(text) - offset
            message, offset = message + 1, 0
            if message == len(self._texts):
                return _Place(message - 1, len(text))
        at_start_of_fresh = message == fresh.message
        if not at_start_of_fresh and (self._fits_alone(message) or left < self._room // 8):
            return _Place(message - 1, len(self._texts[message - 1]))
        start = fresh.offset if at_start_of_fresh else offset
        return _Place(message, last_boundary(text, start, offset + left))

    def _fits_alone(self, message: int) -> bool:
        """Whether a message would be whole in the next chunk, so that it need not be cut in this one."""
        return self._whole_bytes(message) <= self._room

    def _whole_bytes(self, message: int) -> int:
        return self._label_bytes(message, 0) + len(self._texts[message])

    def _shown(self, first: _Place, fresh: _Place, end: _Place) -> tuple[str, int, tuple[Span, ...]]:
        """A chunk's content, its size in bytes, and what it shows."""
        pieces = [self._header]
        spans = []
        at = len(self._header)
        if self._context is not None and fresh == _BEGIN:
            content, span = self._context
            pieces.append(content)
            spans.append(msgspec.structs.replace(span, at=at + span.at))
            at += len(content)
        for message in range(first.message, end.message + 1):
            text = self._texts[message]
            start = first.offset if message == first.message else 0
            stop = end.offset if message == end.message else len(text)
            new_from = stop if message < fresh.message else max(fresh.offset, start) if message == fresh.message else 0
            label = self._labels[message][start > 0]
            at += len(label)
            span = Span(self._messages[message].node_id, start, new_from, stop, at)
            if message in self._before_bytes:
                span = self._clipped(span, self._before_bytes[message])
            spans.append(span)
            pieces += label, text[start:stop]
            at += stop - start
        return b"".join(pieces).decode(), at, tuple(spans)

    @staticmethod
    def _clipped(shown: Span, before: int) -> Span:
        """The part of a piece of a rendered text that is in the message's own text, behind its first `before` bytes."""
        at = shown.at + min(max(before - shown.start, 0), shown.end - shown.start)
        start, fresh, end = (max(place - before, 0) for place in (shown.start, shown.fresh, shown.end))
        return Span(shown.node_id, start, fresh, end, at)
