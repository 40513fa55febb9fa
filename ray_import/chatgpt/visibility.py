"""Which messages a person saw as chat, and why the others are left out (extraction.md §4).

Some files do not name the recipient of any message (§4, the SLIM shape): a tool call there looks like an answer that is
one JSON object. In doubt it is an answer, because people ask for JSON, too.
"""

import re
from collections.abc import Iterator

from ray_import.chatgpt.decode import as_label, as_str, decode_text, is_set
from ray_import.chatgpt.item import Metadata, RawMessage

NOT_CHAT = frozenset({
    "app_pairing_content", "audio", "citable_code_output", "code", "computer_initialize_state", "computer_output",
    "developer_content", "execution_output", "image", "image_asset_pointer", "model_editable_context",
    "reasoning_recap", "sonic_webpage", "super_widget", "system_content", "system_error", "system_message",
    "tether_browsing_code", "tether_browsing_display", "tether_quote", "thoughts", "user_editable_context",
})  # fmt: skip
"""Content types that the app shows as something else than chat, or not at all (format.md §4)."""

CHAT = frozenset({"", "text", "multimodal_text"})

ROLES = ("user", "assistant", "tool", "system")

RECIPIENTS = frozenset({
    "assistant", "bio", "browser", "canmore.comment_textdoc", "canmore.create_textdoc", "canmore.update_textdoc",
    "computer.do", "computer.get", "computer.initialize", "computer.sync_file", "container.exec", "dalle.text2im",
    "file_search", "file_search.msearch", "image_gen.text2im", "myfiles_browser", "python", "web", "web.run",
    "web.search",
})  # fmt: skip
"""To whom else than the person messages are addressed in usual exports: always counted by name."""

_NONE = Metadata()

_PRESET = re.compile("[a-z_]+")
"""How the app names the hints that it offers for a retry (`shorter`). A person types words, or a capital letter."""


def role_of(message: RawMessage) -> str:
    """`author.role`, or `unknown`."""
    role = message.author.role if message.author else None
    return role if role in ROLES else as_label(role) or "unknown"


def content_type_of(message: RawMessage) -> str:
    """`content.content_type`, "" where there is none."""
    content = message.content
    if content is None or isinstance(content, str):
        return ""
    kind = content.content_type
    return kind if type(kind) is str and kind in CHAT else as_label(kind)  # nearly always


def recipient_of(message: RawMessage) -> str:
    """To whom the message is addressed; "" if nobody is named."""
    return as_label(message.recipient)


def why_left_out(message: RawMessage, role: str, content_type: str) -> str | None:
    """The reason to leave out `message`, the first that holds; None where it may be kept (text allowing)."""
    if role not in ("user", "assistant"):
        return f"role:{role}"
    metadata = message.metadata or _NONE
    if _is_hidden(metadata):
        return "hidden"
    if message.channel == "analysis":
        return "channel:analysis"
    if is_set(metadata.is_user_system_message) or content_type == "user_editable_context":
        return "custom_instructions"
    if is_set(metadata.is_thinking_preamble_message):
        return "thinking_preamble"
    recipient = message.recipient
    if recipient not in (None, "all") and (recipient := as_label(recipient)):
        return f"to:{recipient}"
    if content_type in NOT_CHAT and not (content_type == "code" and recipient == "all"):
        return f"type:{content_type}"
    return None


def _is_hidden(metadata: Metadata) -> bool:
    if not (
        metadata.is_visually_hidden_from_conversation
        or metadata.is_visually_hidden_reasoning_group
        or metadata.is_auto_proceed_message
        or metadata.is_contextual_retry_user_message
    ):
        return False  # nearly always
    return (
        is_set(metadata.is_visually_hidden_from_conversation)
        or is_set(metadata.is_visually_hidden_reasoning_group)
        or is_set(metadata.is_auto_proceed_message)
        or (is_set(metadata.is_contextual_retry_user_message) and _is_preset(metadata.contextual_retry_message))
    )


def _is_preset(hint: object) -> bool:
    """Whether nobody typed this hint for a retry: it is one that the app offers, or there is none."""
    typed = as_str(hint)
    return not typed or _PRESET.fullmatch(typed) is not None


def is_unknown(content_type: str) -> bool:
    """Whether these rules have never heard of the type."""
    return content_type not in CHAT and content_type not in NOT_CHAT


_KEYS = tuple(map(frozenset, (
    ("prompt", "size"), ("prompt", "n"), ("name", "type", "content"), ("path", "args"), ("updates",), ("search_query",),
)))  # fmt: skip
"""What the arguments of a known tool hold: pictures (two ways), a new document, an app, changes, a search."""


def may_be_call(text: str) -> bool:
    """Whether the whole of `text` is one JSON object with the keys of a known tool."""
    if not text.lstrip().startswith("{") or not text.rstrip().endswith("}"):
        return False
    value = decode_text(text)
    return isinstance(value, dict) and any(keys <= value.keys() for keys in _KEYS)


def followed_calls(calls: set[int], order: list[int], threads: list[str], roles: list[str]) -> Iterator[int]:
    """Those of `calls` that the assistant or a tool goes on from: nobody was meant to read them.

    The next message of the same thread decides that, kept or not, of those that have one of the three `roles`.
    """
    next_role: dict[str, str] = {}
    for i in reversed(order):
        if roles[i] in ("user", "assistant", "tool"):
            if i in calls and next_role.get(threads[i], "user") != "user":
                yield i
            next_role[threads[i]] = roles[i]
