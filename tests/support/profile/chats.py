"""Stored conversations with planted facts, in a real destination."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ray_import.chunks.rows import ConversationRows, ImportJob, MessageRow, iso_time
from ray_import.destinations.base import Sink
from tests.support.model_api.planted import Planted

JANUARY_2024 = 1_704_067_200.0
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation: its lines by turns, `user` first."""

    id: str
    lines: tuple[str, ...]
    title: str = "A chat"
    day: int = 0


def chat(number: int, *facts: Planted, padding: int = 0) -> Chat:
    """A conversation in which the user says these facts, with so many characters of small talk around them."""
    said = [f"{fact.quote} {filler(padding, number)}".strip() for fact in facts] or [filler(40, number)]
    lines = [line for at, text in enumerate(said) for line in (text, f"I see, {number} {at}.")]
    return Chat(f"c-{number:04}", tuple(lines), f"Chat {number}", number)


def fact_of(number: int) -> Planted:
    """One that no other number has."""
    categories = ("preference", "project", "work", "interest", "belief")
    return Planted(categories[number % len(categories)], f"thing {number}", f"value {number}")


def filler(characters: int, seed: int = 0) -> str:
    """Small talk of this length that is the same nowhere else."""
    words = [f"word{seed}x{at}" for at in range(characters // 8)]
    return " ".join(words)


def store(sink: Sink, user_id: str, chats: Sequence[Chat], *, messages: bool = True) -> None:
    """Imports these conversations."""
    job = ImportJob(str(uuid.uuid4()), user_id, JANUARY_2024)
    sink.start_job(job, "chats", "nobody/0/0")
    for at in range(0, len(chats), 500):
        sink.write(job, "settings", [rows_of(job, one, messages) for one in chats[at : at + 500]], [])
    sink.update_job(job.id, {}, "complete")


def rows_of(job: ImportJob, one: Chat, messages: bool = True) -> ConversationRows:
    """The rows of a conversation, without chunks."""
    digest = hashlib.sha256(repr(one).encode()).hexdigest()
    began = JANUARY_2024 + one.day * DAY
    rows = tuple(
        MessageRow(
            user_id=job.user_id,
            product=job.product,
            conversation_id=one.id,
            node_id=f"{one.id}-{position}",
            parent_id=f"{one.id}-{position - 1}" if position else None,
            thread="main",
            on_active_path=True,
            position=position,
            role="assistant" if position % 2 else "user",
            created_at=iso_time(began + position),
            model=None,
            text=text,
            quoted="",
            attachments="[]",
            import_id=job.id,
        )
        for position, text in enumerate(one.lines)
    )
    made = ConversationRows(
        conversation_id=one.id,
        product=job.product,
        content_hash=f"sha256:{digest}",
        title=one.title,
        create_time=iso_time(began),
        update_time=iso_time(began + len(rows)),
        node_count=len(rows),
        message_count=len(rows),
        chunks=(),
        messages=rows,
        has_messages=True,
    )
    return made if messages else replace(made, messages=(), has_messages=False)
