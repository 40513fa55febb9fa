"""How a chunk shows a message: its label, its attachments, the words it quotes, its own text (extraction.md §6)."""

from ray_import.records import Message

CONTINUED = " (continued)"
LABELS = {
    role: (f"\n\n{name}: ".encode(), f"\n\n{name}{CONTINUED}: ".encode())
    for role, name in {"user": "User", "assistant": "Assistant"}.items()
}


def rendered_text(message: Message) -> str:
    """What a chunk shows of a message. Cuts are places in this text."""
    return before_text(message) + message.text if message.attachments or message.quoted else message.text


def before_text(message: Message) -> str:
    """What is shown before the message's own text: a line with its attachments, then the quoted words."""
    attached = f"[attached: {', '.join(message.attachments)}]\n" if message.attachments else ""
    return attached + quoted_lines(message.quoted) if message.quoted else attached


def quoted_lines(quoted: str) -> str:
    """The words that a question is about as a Markdown quote, with the empty line behind it."""
    return "> " + quoted.replace("\n", "\n> ") + "\n\n"
