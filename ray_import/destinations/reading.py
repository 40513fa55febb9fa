"""What a reader asks of a destination: which conversations there are, and the messages of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ray_import.chunks.rows import PRODUCT, MessageRow


@dataclass(frozen=True, slots=True)
class StoredConversation:
    """An imported conversation without its texts; times are ISO 8601 in UTC.

    `message_count` is the number of kept messages, whether they are stored (`has_messages`) or not.
    """

    user_id: str
    product: str
    conversation_id: str
    title: str
    create_time: str | None
    update_time: str | None
    model: str | None
    is_starred: bool
    is_archived: bool
    project: str | None
    memory_scope: str | None
    has_messages: bool
    message_count: int
    chunk_count: int

    @property
    def link(self) -> str | None:
        """Where the product shows it; None for a product without links, and where the id is not the product's own."""
        if self.product != PRODUCT or self.conversation_id.startswith(("unidentified-", "sha256:")):
            return None
        return f"https://chatgpt.com/c/{self.conversation_id}"


class Reading(Protocol):
    """Reads what is imported. Raises what a Sink raises."""

    def conversations(self, user_id: str | None, wanted: str, limit: int) -> list[StoredConversation]:
        """The conversations that `wanted` may mean, of one user or of all: those with this id, or else those whose id
        begins with it or whose title contains each of its words, upper or lower case. The newest first, at most
        `limit`."""

    def messages(self, user_id: str, product: str, conversation_id: str) -> list[MessageRow]:
        """The stored messages of one conversation, by position."""


def words_of(wanted: str) -> Sequence[str]:
    """The words that a title has to contain."""
    return wanted.split()
