"""Which messages are kept (rules §4): the reason why a message is left out, by its own fields alone."""

from string import ascii_lowercase

KEPT_TYPES = ("text", "multimodal_text")
LEFT_OUT_TYPES = (
    "execution_output", "tether_browsing_display", "tether_browsing_code", "tether_quote", "sonic_webpage",
    "system_error", "model_editable_context", "thoughts", "reasoning_recap", "computer_output",
    "citable_code_output", "app_pairing_content", "super_widget", "system_message", "developer_content",
    "system_content", "computer_initialize_state", "code", "image_asset_pointer", "image", "audio",
)  # fmt: skip
"""The types of the format's table that are no chat text (format §4)."""

HIDING_FLAGS = (
    "is_visually_hidden_from_conversation",
    "is_visually_hidden_reasoning_group",
    "is_auto_proceed_message",
)


def fields_of(message: dict[str, object], name: str) -> dict[str, object]:
    """The object `message[name]`, empty where there is none."""
    value = message.get(name)
    return value if isinstance(value, dict) else {}


def is_set(metadata: dict[str, object], flag: str) -> bool:
    """Whether a flag is true, also where a tool wrote it as a number or a word."""
    return metadata.get(flag) in (True, "true")


def role_of(message: dict[str, object]) -> str:
    """`author.role`; `unknown` where there is none."""
    role = fields_of(message, "author").get("role")
    return role if isinstance(role, str) and role else "unknown"


def content_type_of(message: dict[str, object]) -> str:
    """`content.content_type`; empty where it is absent."""
    value = fields_of(message, "content").get("content_type")
    return value if isinstance(value, str) else ""


def recipient_of(message: dict[str, object]) -> str:
    """The recipient; empty where it is absent or null."""
    value = message.get("recipient")
    return value if isinstance(value, str) else ""


def reason(message: dict[str, object]) -> str | None:
    """Why a message is left out, whatever its text: the first reason that holds, in the order of the rules."""
    metadata = fields_of(message, "metadata")
    role = role_of(message)
    checks = (
        (f"role:{role}", role not in ("user", "assistant")),
        ("hidden", is_hidden(metadata)),
        ("channel:analysis", message.get("channel") == "analysis"),
        ("custom_instructions", _is_custom_instructions(message, metadata)),
        ("thinking_preamble", is_set(metadata, "is_thinking_preamble_message")),
        (f"to:{recipient_of(message)}", recipient_of(message) not in ("", "all")),
        (f"type:{content_type_of(message)}", _is_left_out_type(message)),
    )
    return next((name for name, holds in checks if holds), None)


def would_keep(message: dict[str, object]) -> bool:
    """What §3 asks of a path of `current_node`: a message "that §4 would keep by role, flags, recipient and type"."""
    return reason(message) is None


def is_hidden(metadata: dict[str, object]) -> bool:
    """The rule: "`hidden` (`is_visually_hidden_from_conversation`, `is_visually_hidden_reasoning_group`,
    `is_auto_proceed_message`, and `is_contextual_retry_user_message` where `contextual_retry_message` is absent or a
    preset, a single token `[a-z_]+`; a value with a space or an upper-case letter was typed: the message stays)"
    """
    if any(is_set(metadata, flag) for flag in HIDING_FLAGS):
        return True
    if not is_set(metadata, "is_contextual_retry_user_message"):
        return False
    value = metadata.get("contextual_retry_message")
    if not isinstance(value, str):
        return True
    return all(letter in ascii_lowercase + "_" for letter in value)


def _is_custom_instructions(message: dict[str, object], metadata: dict[str, object]) -> bool:
    flagged = is_set(metadata, "is_user_system_message")
    return flagged or content_type_of(message) == "user_editable_context"


def _is_left_out_type(message: dict[str, object]) -> bool:
    """Kept are "`text`, `multimodal_text`, absent, or `code` with an explicit `recipient: all`"."""
    kind = content_type_of(message)
    if kind == "code":
        return recipient_of(message) != "all"
    return kind in LEFT_OUT_TYPES


def is_unknown_type(message: dict[str, object]) -> bool:
    """The rule: "An unknown content type on a visible user or assistant message … is counted as
    `unknown_type:<name>`."
    """
    kind = content_type_of(message)
    return bool(kind) and kind not in (*KEPT_TYPES, *LEFT_OUT_TYPES, "user_editable_context")
