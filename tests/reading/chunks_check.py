"""What holds of every conversation's chunks (rules §6), checked with nothing but the chunks and the kept messages."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

BYTES_PER_TOKEN = 4


class SpanLike(Protocol):
    """A span as rules §6 describe it, in UTF-8 bytes."""

    @property
    def node_id(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def fresh(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def at(self) -> int: ...
    @property
    def context(self) -> bool: ...


class ChunkLike(Protocol):
    """What is looked at of a chunk."""

    @property
    def thread(self) -> str: ...
    @property
    def index(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def content(self) -> str: ...
    @property
    def tokens(self) -> int: ...
    @property
    def spans(self) -> Sequence[SpanLike]: ...
    @property
    def created_at(self) -> float | None: ...


class MessageLike(Protocol):
    """What is looked at of a kept message."""

    @property
    def node_id(self) -> str: ...
    @property
    def parent_id(self) -> str | None: ...
    @property
    def thread(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def create_time(self) -> float | None: ...


class Limits(NamedTuple):
    """The size of a chunk and of what two chunks share, in tokens."""

    target_tokens: int
    overlap_tokens: int


def broken_promises(
    title: str, messages: Sequence[MessageLike], chunks: Sequence[ChunkLike], limits: Limits
) -> list[str]:
    """A line for each promise of §6 that does not hold."""
    by_node = {message.node_id: message for message in messages}
    found = [line for chunk in chunks for line in _of_chunk(title, chunk, by_node, limits)]
    threads = list(dict.fromkeys(chunk.thread for chunk in chunks))
    if sorted(threads) != sorted({message.thread for message in messages}):
        found.append(f"the threads of the chunks are {threads}")
    for thread in threads:
        own = [chunk for chunk in chunks if chunk.thread == thread]
        found += _of_thread(thread, own, [message for message in messages if message.thread == thread], by_node)
    return found


def _of_chunk(title: str, chunk: ChunkLike, by_node: dict[str, MessageLike], limits: Limits) -> Iterator[str]:
    where = f"chunk {chunk.index} of {chunk.thread}"
    content = chunk.content.encode()
    if len(content) > limits.target_tokens * BYTES_PER_TOKEN:
        yield f"{where}: no chunk exceeds the target, header and overlap included; it has {len(content)} bytes"
    if chunk.tokens != -(-len(content) // BYTES_PER_TOKEN):
        yield f"{where}: tokens are estimated as UTF-8 bytes / 4, not {chunk.tokens}"
    if title and not chunk.content.startswith("# "):
        yield f"{where}: `# <title>` is on every chunk"
    for span in chunk.spans:
        text = by_node[span.node_id].text.encode()
        if not 0 <= span.start <= span.fresh <= span.end <= len(text):
            yield f"{where}: {span} is no piece of a text of {len(text)} bytes"
        if content[span.at : span.at + span.end - span.start] != text[span.start : span.end]:
            yield f"{where}: `content[at : at+end-start]` equals `[start, end)` of the message's text, not so {span}"
        if not (_whole(text[: span.start]) and _whole(text[: span.fresh]) and _whole(text[: span.end])):
            yield f"{where}: never inside a code point, but {span}"
    yield from _of_overlap(where, chunk, limits)


def _of_overlap(where: str, chunk: ChunkLike, limits: Limits) -> Iterator[str]:
    shared = sum(span.fresh - span.start for span in chunk.spans)
    if shared > limits.overlap_tokens * BYTES_PER_TOKEN:
        yield f"{where}: at most {limits.overlap_tokens} tokens are shared, not {shared} bytes"


def _whole(piece: bytes) -> bool:
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True


def _of_thread(
    thread: str, chunks: Sequence[ChunkLike], messages: Sequence[MessageLike], by_node: dict[str, MessageLike]
) -> Iterator[str]:
    numbers = [(chunk.index, chunk.count) for chunk in chunks]
    if numbers != [(number, len(chunks)) for number in range(len(chunks))]:
        yield f"{thread}: the chunks are numbered {numbers}"
    fresh = {message.node_id: b"" for message in messages}
    order: list[str] = []
    for chunk in chunks:
        for span in chunk.spans:
            if span.context:
                yield from _of_context(thread, chunk, span, messages, by_node)
            elif span.node_id not in fresh:
                yield f"{thread}: a chunk never mixes two threads, but shows {span.node_id}"
            else:
                if len(fresh[span.node_id]) != span.fresh:
                    yield f"{thread}: {span} does not continue where the message was cut"
                fresh[span.node_id] += by_node[span.node_id].text.encode()[span.fresh : span.end]
                order.append(span.node_id)
        yield from _of_time(thread, chunk, by_node)
    for message in messages:
        if fresh[message.node_id] != message.text.encode():
            yield f"{thread}: without overlaps the chunks give back {message.node_id} exactly; they do not"
    if list(dict.fromkeys(order)) != [message.node_id for message in messages]:
        yield f"{thread}: the messages are shown in the order {order}"


def _of_context(
    thread: str,
    chunk: ChunkLike,
    span: SpanLike,
    messages: Sequence[MessageLike],
    by_node: dict[str, MessageLike],
) -> Iterator[str]:
    """A side thread's first chunk begins with its nearest kept ancestor as context."""
    if thread == "main" or chunk.index != 0 or span is not chunk.spans[0]:
        yield f"{thread}: {span} is context, but not at the beginning of a side thread"
    if span.node_id != messages[0].parent_id:
        yield f"{thread}: context is the nearest kept ancestor, not {span.node_id}"
    if span.fresh != span.end:
        yield f"{thread}: nothing of context is new, but {span}"
    if span.end != len(by_node[span.node_id].text.encode()):
        yield f"{thread}: context is the end of a message, not {span}"


def _of_time(thread: str, chunk: ChunkLike, by_node: dict[str, MessageLike]) -> Iterator[str]:
    """`created_at` (time of the first message that is fresh in it)."""
    fresh = [span.node_id for span in chunk.spans if not span.context and (span.end > span.fresh or not span.end)]
    if fresh and chunk.created_at != by_node[fresh[0]].create_time:
        yield f"{thread}: chunk {chunk.index} is of {chunk.created_at}, its first message is not"
