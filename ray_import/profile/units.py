"""A conversation cut into units: what one request reads whole, and is never asked about again while it is unchanged."""

from dataclasses import dataclass

PROMPT_VERSION = "1"
"""Raised whenever the prompt or the schema of facts changes, so that all units are sent again."""

UNIT_TOKENS = 6_500
"""A longer conversation becomes several units. Two full ones, or many small ones, make a request (see `packing`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A message, or a piece of a long one, as a prompt shows it under one number. `text` is the author's own words.

    `piece` counts the pieces of a message from 0, `continues` is whether another one follows; joined, their texts are
    the message's text. `quoted` (what the
    message replies to) and `attachments` (names of files) are other people's words, and stand in piece 0 only.
    """

    node_id: str
    position: int
    role: str
    created_at: str | None
    text: str
    piece: int = 0
    continues: bool = False
    quoted: str = ""
    attachments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Consecutive lines of one conversation. `id` is a hash of its content, the prompt's version and the model, so that
    the same content has the same id whenever and wherever it is cut. `tokens` is what it takes in a prompt."""

    id: str
    product: str
    conversation_id: str
    content_hash: str
    title: str
    tokens: int
    lines: tuple[Line, ...]
