"""Where the product and the reading differ on one conversation."""

from dataclasses import dataclass

from ray_import.chatgpt.extract import extract
from ray_import.records import Conversation, Message
from ray_import.settings import Branches
from tests.reading.conversation import Reading, ReadMessage, read


@dataclass(frozen=True)
class Difference:
    """One value on which the two do not agree. `place` names it (`title`, `text of n3`)."""

    place: str
    product: object
    reading: object

    def __str__(self) -> str:
        return f"{self.place}\n    product {self.product!a}\n    reading {self.reading!a}"


def differences(raw: bytes, branches: Branches = "all") -> list[Difference]:
    """All differences on one item of an export."""
    reading = read(raw, active_only=branches == "active")
    product = extract(raw, branches)
    if reading is None or not isinstance(product, Conversation):
        both = (isinstance(product, Conversation), reading is not None)
        return [] if both[0] == both[1] else [Difference("is a conversation", *both)]
    pairs = [
        ("title", product.title, reading.title),
        ("create_time", product.create_time, reading.create_time),
        ("update_time", product.update_time, reading.update_time),
        ("nodes", product.nodes, reading.nodes),
        ("without_message", product.without_message, reading.without_message),
        ("left_out", dict(product.left_out), dict(reading.left_out)),
        ("notes", dict(product.notes), dict(reading.notes)),
        ("id", product.id, _id_like(product.id, reading)),
        ("messages", [m.node_id for m in product.messages], [m.node for m in reading.messages]),
    ]
    found = [Difference(place, mine, right) for place, mine, right in pairs if mine != right]
    read_by_node = {message.node: message for message in reading.messages}
    for message in product.messages:
        if message.node_id in read_by_node:
            found += _of_message(message, read_by_node[message.node_id])
    return found


def _id_like(product: str, reading: Reading) -> str:
    """The id that the reading expects: `unidentified-` and 16 hex digits of any hash where it has none."""
    if reading.id is not None:
        return reading.id
    digits = product.removeprefix("unidentified-")
    made = len(digits) == 16 and all(digit in "0123456789abcdef" for digit in digits)
    return product if made else "unidentified-<16 hex digits>"


def _of_message(message: Message, right: ReadMessage) -> list[Difference]:
    pairs = [
        ("parent", message.parent_id, right.parent),
        ("thread", message.thread, right.thread),
        ("active", message.on_active_path, right.active),
        ("role", message.role, right.role),
        ("time", message.create_time, right.time),
        ("text", *_alike(message.text, right.text, right.role)),
        ("quoted", *_alike(message.quoted, right.quoted, "assistant")),
        ("attachments", message.attachments, right.attachments),
        ("model", message.model, right.model),
    ]
    return [
        Difference(f"{place} of {message.node_id[:20]}", mine, expected)
        for place, mine, expected in pairs
        if mine != expected
    ]


def _alike(product: str, reading: str, role: str) -> tuple[str, str]:
    """Both texts; the same one twice where an assistant's differ in white space alone.

    The rules do not say which blanks and line breaks go with a mark or with the line of a frame.
    """
    if role == "assistant" and loose(product) == loose(reading):
        return reading, reading
    return product, reading


def loose(text: str) -> str:
    """`text` with one blank or one line break for each run of white space, and none at its ends."""
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)
