"""extraction.md §4: calls of tools in conversations that name no recipient."""

import json
from typing import Any

import pytest

from tests.support.strategies import START
from tests.unit.chatgpt.talks import chain, extracted, kept, node, said

CALLS: list[dict[str, Any]] = [
    {"prompt": "a bee", "size": "1024x1024"},
    {"prompt": "a bee", "n": 1},
    {"prompt": "a bee", "size": "1024x1024", "n": 1, "referenced_image_ids": []},
    {"name": "Bees", "type": "document", "content": "# Bees\n\n{They} fly."},
    {"path": "/Deep Research App/start", "args": {"user_query": "bees"}},
    {"updates": [{"pattern": ".*", "replacement": "x"}]},
    {"search_query": [{"q": "bees"}], "response_length": "short"},
]


def call(text: str, **fields: object) -> dict[str, Any]:
    return said(text, "assistant", **fields)


ANSWER = said("Here it is.", "assistant")


@pytest.mark.parametrize("arguments", CALLS)
@pytest.mark.parametrize(
    "following",
    [
        [ANSWER],
        [said("Made.", "tool")],
        [said("context", "system"), None, ANSWER],
        [said("", "assistant"), said("Thanks")],
        [said("hm", "assistant", metadata={"is_visually_hidden_from_conversation": True})],
        [call(json.dumps(CALLS[0])), said("Thanks")],
    ],
)
def test_a_call_is_left_out_when_no_recipient_is_named_and_an_answer_follows(
    arguments: dict[str, Any], following: list[Any]
) -> None:
    found = extracted(chain(said(), call(json.dumps(arguments)), *following))
    assert "1" not in kept(found)
    assert found.left_out["tool_call"] == 1


@pytest.mark.parametrize("text", [' \n{"updates": []}\n', '{\n  "prompt": "a",\n  "n": 1\n}', '{"updates": "\\ud83d"}'])
def test_a_call_is_known_when_it_is_spread_over_lines_or_mended(text: str) -> None:
    assert extracted(chain(call(text), ANSWER)).left_out == {"tool_call": 1}


@pytest.mark.parametrize(
    "text",
    [
        '{"prompt": "a bee"}', '{"name": "Bees", "type": "document"}', '{"path": "/x"}', '{"args": {}}', "{}",
        '[{"updates": []}]', '"updates"', '{"data": {"updates": []}}', '{"updates": []', '{"updates": [] ,}',
        'Here: {"updates": []}', '{"updates": []} as you asked', '{"updates": []}\n{"updates": []}',
        '```json\n{"updates": []}\n```', '{"Updates": []}', '{"updates": NaN}', "{updates}",
    ],
)  # fmt: skip
def test_json_is_kept_when_it_may_be_an_answer(text: str) -> None:
    found = extracted(chain(said(), call(text), ANSWER))
    assert (kept(found), found.left_out) == (["0", "1", "2"], {})


@pytest.mark.parametrize(
    "following",
    [
        [],
        [None],
        [said("Thanks")],
        [said("Thanks"), ANSWER],
        [said("context", "system"), said("Thanks"), ANSWER],
        [said("Continue", metadata={"is_auto_proceed_message": True}), ANSWER],
        [said("", metadata={"is_visually_hidden_from_conversation": True}), said("Made.", "tool")],
        [said("?", "critic")],
    ],
)
def test_json_is_kept_when_nothing_but_a_user_follows_in_its_thread(following: list[Any]) -> None:
    assert "1" in kept(extracted(chain(said(), call('{"updates": []}'), *following)))


def test_json_is_kept_when_the_answer_follows_in_another_thread() -> None:
    mapping = {
        "q": node(said(create_time=START)), "call": node(call('{"updates": []}', create_time=START + 1), "q"),
        "side": node(said("Made.", "tool", create_time=START + 2), "call"),
        "next": node(said("Thanks", create_time=START + 3), "call"),
    }  # fmt: skip
    assert kept(extracted(mapping, current_node="next")) == ["q", "call", "next"]
    assert kept(extracted(mapping, current_node="side")) == ["q", "next"]


@pytest.mark.parametrize("role", ["user", "assistant", "system", "tool"])
@pytest.mark.parametrize("recipient", ["all", "python"])
def test_json_is_kept_when_any_message_has_a_recipient(role: str, recipient: str) -> None:
    found = extracted(chain(said(), call('{"updates": []}'), ANSWER, said("x", role, recipient=recipient)))
    assert "1" in kept(found)


@pytest.mark.parametrize("recipient", [None, "", 5, ["all"]])
def test_a_recipient_is_none_when_it_names_nobody(recipient: object) -> None:
    found = extracted(chain(said(), call('{"updates": []}', recipient=recipient), ANSWER))
    assert found.left_out == {"tool_call": 1}


def test_json_is_kept_when_a_user_wrote_it() -> None:
    assert kept(extracted(chain(said('{"updates": []}'), ANSWER))) == ["0", "1"]


def test_calls_of_side_threads_are_calls_when_the_active_branch_alone_is_kept() -> None:
    mapping = {
        "q": node(said(create_time=START)), "old": node(call('{"updates": []}', create_time=START + 1), "q"),
        "made": node(said("Made.", "assistant", create_time=START + 2), "old"),
        "new": node(said("ok", "assistant", create_time=START + 3), "q"),
    }  # fmt: skip
    found = extracted(mapping, "active")
    assert (kept(found), found.left_out) == (["q", "new"], {"tool_call": 1, "inactive_branch": 1})


def test_a_report_is_a_duplicate_when_a_call_stands_before_the_answer_that_repeats_it() -> None:
    report = said("# Wind", "tool", metadata={"is_async_task_result_message": True, "async_task_type": "research"})
    found = extracted(chain(said(), report, call('{"updates": []}'), said("# Wind", "assistant")))
    assert (kept(found), found.left_out) == (["0", "3"], {"tool_call": 1, "duplicate_report": 1})
