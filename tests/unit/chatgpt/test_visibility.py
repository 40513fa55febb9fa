"""extraction.md §4: which messages are kept, and under which reason every other one is counted."""

from typing import Any

import pytest

from ray_import.chatgpt import visibility
from ray_import.chatgpt.item import message_of

NEVER_CHAT = (
    "app_pairing_content", "audio", "citable_code_output", "computer_output", "execution_output", "image",
    "image_asset_pointer", "model_editable_context", "reasoning_recap", "sonic_webpage", "super_widget", "system_error",
    "system_message", "developer_content", "system_content", "computer_initialize_state", "tether_browsing_code",
    "tether_browsing_display", "tether_quote", "thoughts",
)  # fmt: skip


def message(role: object = "user", content_type: object = "text", **fields: object) -> dict[str, Any]:
    return {"author": {"role": role}, "content": {"content_type": content_type, "parts": ["hi"]}, **fields}


def labels(value: dict[str, Any]) -> tuple[str, str]:
    """Role and content type."""
    read = message_of(value)
    return visibility.role_of(read), visibility.content_type_of(read)


def why_left_out(value: dict[str, Any]) -> str | None:
    return visibility.why_left_out(message_of(value), *labels(value))


@pytest.mark.parametrize("role", ["user", "assistant"])
@pytest.mark.parametrize("recipient", [{}, {"recipient": None}, {"recipient": "all"}, {"recipient": 5}])
@pytest.mark.parametrize("content_type", ["text", "multimodal_text", None])
def test_what_user_and_assistant_say_to_each_other_is_kept(role: str, recipient: Any, content_type: object) -> None:
    assert why_left_out(message(role, content_type, **recipient)) is None


@pytest.mark.parametrize(
    "kept",
    [
        {"author": {"role": "user"}, "content": {"parts": ["hi"]}},
        {"author": {"role": "user"}},
        message(metadata=None),
        message(metadata=[]),
        message(metadata={"is_visually_hidden_from_conversation": False, "is_user_system_message": None}),
        message(metadata={"is_visually_hidden_from_conversation": "false", "is_user_system_message": {"a": 1}}),
        message("assistant", status="in_progress", weight=0.0, end_turn=False, channel="final"),
        message("assistant", metadata={"real_author": "tool:web"}),
        message("assistant", channel="commentary"),
        message("assistant", channel=["analysis"]),
        message(metadata={"contextual_retry_message": "shorter"}),
        message(metadata={"is_contextual_retry_user_message": False, "contextual_retry_message": "shorter"}),
        message(metadata={"is_auto_proceed_message": False, "is_visually_hidden_reasoning_group": 0}),
    ],
)
def test_nothing_else_makes_a_message_hidden(kept: dict[str, Any]) -> None:
    assert why_left_out(kept) is None


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        (message("r\n" + "x" * 100), "role:r\ufffd" + "x" * 58),
        (message(recipient="\x1b[2J"), "to:\ufffd[2J"),
        (message("system"), "role:system"),
        (message("tool"), "role:tool"),
        (message("function"), "role:function"),
        (message("AI"), "role:AI"),
        (message(""), "role:unknown"),
        (message(None), "role:unknown"),
        (message(["user"]), "role:unknown"),
        ({}, "role:unknown"),
        ({"author": None}, "role:unknown"),
        ({"author": "user"}, "role:unknown"),
        (message(metadata={"is_visually_hidden_from_conversation": True}), "hidden"),
        (message(metadata={"is_visually_hidden_from_conversation": "true"}), "hidden"),
        (message(metadata={"is_visually_hidden_from_conversation": 1}), "hidden"),
        (message("assistant", metadata={"is_visually_hidden_reasoning_group": True}), "hidden"),
        (message("assistant", metadata={"is_visually_hidden_reasoning_group": "true"}), "hidden"),
        (message(metadata={"is_auto_proceed_message": True}), "hidden"),
        (message(metadata={"is_auto_proceed_message": 1}, recipient="python"), "hidden"),
        (message("assistant", channel="analysis"), "channel:analysis"),
        (message("user", channel="analysis", recipient="all"), "channel:analysis"),
        (message("tool", channel="analysis"), "role:tool"),
        (message(metadata={"is_user_system_message": True}), "custom_instructions"),
        (message(content_type="user_editable_context"), "custom_instructions"),
        (message("assistant", metadata={"is_thinking_preamble_message": True}), "thinking_preamble"),
        (message("assistant", recipient="python"), "to:python"),
        (message("assistant", recipient="dalle.text2im"), "to:dalle.text2im"),
        (message("assistant", recipient="assistant"), "to:assistant"),
        (message("assistant", content_type="code", recipient="python"), "to:python"),
        (message("assistant", content_type="code"), "type:code"),
        (message("assistant", content_type="code", recipient=None), "type:code"),
        *((message("assistant", content_type=name), f"type:{name}") for name in NEVER_CHAT),
        *((message(content_type=name, recipient="all"), f"type:{name}") for name in NEVER_CHAT),
    ],
)
def test_every_other_message_has_its_reason(left_out: dict[str, Any], reason: str) -> None:
    assert why_left_out(left_out) == reason


@pytest.mark.parametrize("hint", [{}, *({"contextual_retry_message": hint} for hint in (
    "shorter", "more_casual", "_", None, "", 5, ["Be kind"], "shor\0ter",
))])  # fmt: skip
def test_a_retry_is_hidden_when_its_hint_was_not_typed(hint: dict[str, Any]) -> None:
    assert why_left_out(message(metadata={"is_contextual_retry_user_message": True, **hint})) == "hidden"


@pytest.mark.parametrize("hint", [
    "Shorter", "make it shorter", "SHORTER", "shorter ", "shorter\n", "shorter!", "kürzer", "短く", "no-lists", "x2",
])  # fmt: skip
def test_a_retry_is_kept_when_its_hint_was_typed(hint: str) -> None:
    flags = {"is_contextual_retry_user_message": True, "contextual_retry_message": hint}
    assert why_left_out(message(metadata=flags)) is None


def test_code_that_is_explicitly_for_all_is_kept() -> None:
    assert why_left_out(message("assistant", content_type="code", recipient="all")) is None


@pytest.mark.parametrize(
    ("all_from_here_on", "reason"),
    list(
        enumerate(
            [
                "role:tool",
                "hidden",
                "channel:analysis",
                "custom_instructions",
                "thinking_preamble",
                "to:bio",
                "type:thoughts",
            ]
        )
    ),
)
def test_of_several_reasons_the_first_in_the_rules_order_is_counted(all_from_here_on: int, reason: str) -> None:
    flags = ["is_visually_hidden_from_conversation", "", "is_user_system_message", "is_thinking_preamble_message"]
    odd = message(
        "tool" if all_from_here_on == 0 else "assistant",
        "thoughts",
        recipient="bio" if all_from_here_on <= 5 else "all",
        channel="analysis" if all_from_here_on <= 2 else "final",
        metadata={flag: at >= all_from_here_on for at, flag in enumerate(flags, start=1)},
    )
    assert why_left_out(odd) == reason


@pytest.mark.parametrize(
    "content_type", ["text", "multimodal_text", "code", "user_editable_context", None, 5, *NEVER_CHAT]
)
def test_a_type_of_the_rules_is_not_unknown(content_type: object) -> None:
    assert not visibility.is_unknown(labels(message(content_type=content_type))[1])


def test_an_unknown_type_may_be_kept_and_is_named() -> None:
    odd = message(content_type="hologram\n")
    assert (why_left_out(odd), labels(odd)[1]) == (None, "hologram\ufffd")
    assert visibility.is_unknown("hologram\ufffd")


@pytest.mark.parametrize("odd", [{}, {"author": 5, "content": 5}, {"author": {}, "content": {}}, {"content": ["text"]}])
def test_a_message_without_role_and_type_has_names_for_them(odd: dict[str, Any]) -> None:
    assert labels(odd) == ("unknown", "")
