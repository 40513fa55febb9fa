"""A conversation's messages become units: each message once, in order, no unit over its size, in linear time."""

import hashlib
from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import orjson

from ray_import.chunks.rows import MessageRow
from ray_import.destinations.profiles import ProfileConversation
from ray_import.profile.fencing import HEADER_BYTES, header_bytes, line_bytes
from ray_import.profile.settings import bytes_of_tokens, tokens_of_bytes
from ray_import.profile.units import PROMPT_VERSION, UNIT_TOKENS, Line, Unit

UNIT_BYTES = bytes_of_tokens(UNIT_TOKENS) - HEADER_BYTES
"""What the lines of a unit may take. The title is not in it: a new title cuts a conversation as before."""

PIECE_BYTES = 4_000
"""A message is only cut where this much room is left; shorter messages stay whole."""

_SEAMS = 1 << 32

_BOUNDARIES = ("\n\n", "\n", ". ", "。", " ")


class Titled(Protocol):
    """A conversation, or what stands for one."""

    @property
    def product(self) -> str: ...
    @property
    def conversation_id(self) -> str: ...
    @property
    def content_hash(self) -> str: ...
    @property
    def title(self) -> str: ...


class Cut(NamedTuple):
    """The units of a conversation, and the ids of the larger ones whose answers were cut off."""

    units: list[Unit]
    split_ids: list[str]


def units_of(
    conversation: ProfileConversation, messages: Sequence[MessageRow], model: str, split: Container[str]
) -> list[Unit]:
    """The units of a conversation's messages, in order. Those whose ids are in `split` are replaced by their halves."""
    return cut(conversation, messages, model, split).units


def has_words(messages: Sequence[MessageRow]) -> bool:
    """Whether the user wrote anything: without, no fact can come of the conversation."""
    return any(message.role == "user" and message.text.strip() for message in messages)


def cut(conversation: Titled, messages: Sequence[MessageRow], model: str, split: Container[str]) -> Cut:
    """As `units_of`, with the ids of the units that were replaced."""
    units, split_ids = list[Unit](), list[str]()
    for lines, size in _groups(messages):
        waiting = [_unit(conversation, lines, size, model)]
        while waiting:
            unit = waiting.pop()
            if unit.id in split and len(unit.lines) > 1:
                split_ids.append(unit.id)
                waiting += reversed(halves_of(unit, model))
            else:
                units.append(unit)
    return Cut(units, split_ids)


def units_by_id(
    conversation: Titled, messages: Sequence[MessageRow], model: str, wanted: Collection[str]
) -> Iterator[Unit]:
    """The units of these ids, halves among them, in order."""
    missing = set(wanted)
    for lines, size in _groups(messages):
        waiting = [_unit(conversation, lines, size, model)]
        while waiting and missing:
            unit = waiting.pop()
            if unit.id in missing:
                missing.discard(unit.id)
                yield unit
            elif len(unit.lines) > 1:
                waiting += reversed(halves_of(unit, model))


def halves_of(unit: Unit, model: str) -> tuple[Unit, Unit]:
    """The two units that replace one whose answer was cut off: always the same two. Raises ValueError for a unit of a
    single line."""
    sizes = [line_bytes(line) for line in unit.lines]
    if len(sizes) < 2:
        raise ValueError("a unit of one line has no halves")
    middle = middle_of(sizes)
    before = sum(sizes[:middle])
    return (
        _unit(unit, unit.lines[:middle], before, model),
        _unit(unit, unit.lines[middle:], sum(sizes) - before, model),
    )


def middle_of(sizes: Sequence[int]) -> int:
    """Where to cut two or more sizes into two parts that are most alike; neither part is empty."""
    half, middle, before = sum(sizes) / 2, 1, sizes[0]
    while middle < len(sizes) - 1 and before + sizes[middle] / 2 <= half:
        before += sizes[middle]
        middle += 1
    return middle


def unit_tag(model: str) -> str:
    """What the ids of all units of this model and of the prompt's version begin with."""
    return hashlib.blake2b(f"{PROMPT_VERSION}\0{model}".encode(), digest_size=4).hexdigest()


def hold_all(unit_ids: Iterable[str], message_count: int) -> bool:
    """Whether these units of one conversation hold all its messages, by their ids alone.

    An id ends with the number of messages that begin in the unit, and with the difference of its two seams: a seam is
    the place between two pieces of a message where a unit ends and the next one begins. If no unit is missing, the
    differences add up to nothing.
    """
    messages = seams = 0
    for unit_id in unit_ids:
        _, begun, difference = unit_id.split("-")
        messages += int(begun)
        seams += int(difference, 16)
    return messages == message_count and seams % _SEAMS == 0


def _unit(conversation: Titled, lines: Sequence[Line], size: int, model: str) -> Unit:
    return Unit(
        id=_unit_id(conversation.product, conversation.conversation_id, lines, model),
        product=conversation.product,
        conversation_id=conversation.conversation_id,
        content_hash=conversation.content_hash,
        title=conversation.title,
        tokens=tokens_of_bytes(size + header_bytes(conversation.title)),
        lines=tuple(lines),
    )


def _unit_id(product: str, conversation_id: str, lines: Sequence[Line], model: str) -> str:
    """The conversation is in it: a chat that was branched into a new one has messages of the same ids and words."""
    content = hashlib.blake2b(_joined(product, conversation_id), digest_size=16)
    for line in lines:
        content.update(_joined(
            line.node_id, line.role, line.created_at or "", str(line.piece), line.text, line.quoted, *line.attachments
        ))  # fmt: skip
    messages = sum(1 for line in lines if line.piece == 0)
    seams = _seam(lines[-1], lines[-1].piece if lines[-1].continues else -1) - _seam(lines[0], lines[0].piece - 1)
    return f"{unit_tag(model)}{content.hexdigest()}-{messages}-{seams % _SEAMS:x}"


def _seam(line: Line, piece: int) -> int:
    """A number for the place behind this piece of the line's message; 0 for none, before or behind a message."""
    if piece < 0:
        return 0
    return int.from_bytes(hashlib.blake2b(_joined(line.node_id, str(piece)), digest_size=4).digest())


def _joined(*parts: str) -> bytes:
    """The parts with their lengths, so that no two lists of parts give the same bytes."""
    encoded = [part.encode(errors="surrogatepass") for part in parts]
    return b"".join([",".join(str(len(part)) for part in encoded).encode(), b";", *encoded])


def _groups(messages: Iterable[MessageRow]) -> Iterator[tuple[list[Line], int]]:
    """The lines of each unit, and their size in bytes."""
    filling = _Filling()
    for message in messages:
        yield from filling.add(message)
    if filling.lines:
        yield filling.take()


class _Filling:
    """Lines that are to become a unit, in order."""

    def __init__(self) -> None:
        self.lines = list[Line]()
        self._size = 0

    def take(self) -> tuple[list[Line], int]:
        lines, size = self.lines, self._size
        self.lines, self._size = [], 0
        return lines, size

    def add(self, message: MessageRow) -> Iterator[tuple[list[Line], int]]:
        """Adds a message, in pieces if it is too long, and gives what is full."""
        start = piece = 0
        while True:
            line = self._next(message, start, piece)
            if line is None:
                yield self.take()
                continue
            self.lines.append(line)
            self._size += line_bytes(line)
            start, piece = start + len(line.text), piece + 1
            if start >= len(message.text):
                return
            yield self.take()

    def _next(self, message: MessageRow, start: int, piece: int) -> Line | None:
        """The rest of a message, or as much of it as there is room for. None where it had better begin a new unit."""
        room = UNIT_BYTES - self._size
        line = _line(message, message.text[start : start + room], piece)  # never a copy of all of a long text
        if start + len(line.text) == len(message.text) and line_bytes(line) <= room:
            return line
        if self.lines and (room < PIECE_BYTES or len(message.text) - start <= PIECE_BYTES):
            return None
        return _shortened(line, room)


def _line(message: MessageRow, text: str, piece: int) -> Line:
    return Line(
        node_id=message.node_id,
        position=message.position,
        role=message.role,
        created_at=message.created_at,
        text=text,
        piece=piece,
        quoted=message.quoted if piece == 0 else "",
        attachments=_names(message.attachments) if piece == 0 else (),
    )


def _names(attachments: str) -> tuple[str, ...]:
    return () if attachments == "[]" else tuple(str(name) for name in orjson.loads(attachments))


def _shortened(line: Line, room: int) -> Line:
    """The beginning of a line that fits, up to the end of a paragraph, a sentence or a word where one is near."""
    text = line.text
    while len(text) > 1 and (size := line_bytes(replace(line, text=text))) > room:
        text = text[: max(1, min(len(text) - 1, len(text) * room // size))]
    for boundary in _BOUNDARIES:
        end = text.rfind(boundary, len(text) * 3 // 4)
        if end > 0:
            text = text[: end + len(boundary)]
            break
    return replace(line, text=text, continues=True)
