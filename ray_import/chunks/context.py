"""The end of the message that a side thread answers: its first chunk begins with that (extraction.md §6)."""

from collections.abc import Sequence
from typing import NamedTuple

from ray_import.chunks.boundary import first_character, first_word
from ray_import.chunks.rendering import LABELS, before_text
from ray_import.records import Message, Span

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
