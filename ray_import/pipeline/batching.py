"""Raw conversations to batches, by bytes."""

from collections.abc import Iterable, Iterator

from ray_import.errors import SourceRefused
from ray_import.records import Batch, Frame, RawConversation

MOST_CONVERSATIONS = 5_000
"""Of a batch: what is kept of each, whatever its size, is some hundred bytes in the driver and in calls of the sink."""


def batches_of(conversations: Iterable[RawConversation], batch_bytes: int) -> Iterator[Batch]:
    """Groups neighbours until a batch holds `batch_bytes`, or 5,000 of them; a larger conversation is a batch of its
    own, and is given away before the next one is read.

    What was read before a source is refused is a batch, too. Raises SourceRefused then.
    """
    held: list[RawConversation] = []
    size = 0
    refused: SourceRefused | None = None
    try:
        for conversation in conversations:
            if held and size + len(conversation.data) > batch_bytes:
                yield _batch(held)
                held, size = [], 0
            held.append(conversation)
            size += len(conversation.data)
            del conversation
            if size > batch_bytes or len(held) >= MOST_CONVERSATIONS:
                yield _batch(held)
                held, size = [], 0
    except SourceRefused as error:
        refused = error
    if held:
        yield _batch(held)
    if refused is not None:
        raise refused


def split_batch(batch: Batch) -> tuple[Batch, Batch]:
    """The two halves of a batch of at least two conversations; its payload is bytes."""
    middle = len(batch.frames) // 2
    parts = [[_raw(batch, frame) for frame in half] for half in (batch.frames[:middle], batch.frames[middle:])]
    return _batch(parts[0]), _batch(parts[1])


def _batch(conversations: list[RawConversation]) -> Batch:
    frames = []
    start = 0
    for raw in conversations:
        frames.append(Frame(raw.member, raw.position, start, len(raw.data), raw.damage))
        start += len(raw.data)
    return Batch(b"".join(raw.data for raw in conversations), start, tuple(frames))


def _raw(batch: Batch, frame: Frame) -> RawConversation:
    data = batch.payload[frame.start : frame.start + frame.length]
    return RawConversation(frame.member, frame.position, frame.start, data, frame.damage)
