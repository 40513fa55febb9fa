"""Which messages a person saw as chat, and why the others are left out (extraction.md §4)."""

from typing import Any

from ray_import.extraction.values import as_dict, as_label, is_set

NOT_CHAT = frozenset({
    "app_pairing_content", "audio", "citable_code_output", "code", "computer_initialize_state", "computer_output",
    "developer_content", "execution_output", "image", "image_asset_pointer", "model_editable_context",
    "reasoning_recap", "sonic_webpage", "super_widget", "system_content", "system_error", "system_message",
    "tether_browsing_code", "tether_browsing_display", "tether_quote", "thoughts", "user_editable_context",
})  # fmt: skip
"""Content types that the app shows as something else than chat, or not at all (format.md §4)."""

CHAT = frozenset({"", "text", "multimodal_text"})


def role_of(message: dict[str, Any]) -> str:
    """`author.role`, or `unknown`."""
    return as_label(as_dict(message.get("author")).get("role")) or "unknown"


def content_type_of(message: dict[str, Any]) -> str:
    """`content.content_type`, "" where there is none."""
    return as_label(as_dict(message.get("content")).get("content_type"))


def why_left_out(message: dict[str, Any]) -> str | None:
    """The reason to leave out `message`, the first that holds; None where it may be kept (text allowing)."""
    role = role_of(message)
    if role not in ("user", "assistant"):
        return f"role:{role}"
    metadata = as_dict(message.get("metadata"))
    content_type = content_type_of(message)
    if is_set(metadata.get("is_visually_hidden_from_conversation")):
        return "hidden"
    if is_set(metadata.get("is_user_system_message")) or content_type == "user_editable_context":
        return "custom_instructions"
    if is_set(metadata.get("is_thinking_preamble_message")):
        return "thinking_preamble"
    recipient = as_label(message.get("recipient"))
    if recipient not in ("", "all"):
        return f"to:{recipient}"
    if content_type in NOT_CHAT and not (content_type == "code" and recipient == "all"):
        return f"type:{content_type}"
    return None


def unknown_type(message: dict[str, Any]) -> str | None:
    """The content type, where these rules have never heard of it."""
    content_type = content_type_of(message)
    return content_type if content_type not in CHAT and content_type not in NOT_CHAT else None
