"""extraction.md §4: Deep Research reports, which a tool's message shows and a person reads as an answer."""

import json
from typing import Any

import pytest

from tests.support.strategies import START
from tests.unit.chatgpt.talks import chain, extracted, kept, node, said

TEXT = "# Wind\n\nNorth is best."


def report_message(text: object = TEXT, name: object = "rep-1") -> dict[str, Any]:
    return {"id": name, "author": {"role": "assistant"}, "content": {"content_type": "text", "parts": [text]}}


def state(text: object = TEXT, name: object = "rep-1") -> dict[str, Any]:
    return {"version": 1, "status": "completed", "report_message": report_message(text, name), "plan": {"steps": []}}


def widget(value: object, said_text: str = "Started.", **metadata: object) -> dict[str, Any]:
    return said(said_text, "tool", metadata={"chatgpt_sdk": {"widget_state": value}, **metadata})


def shown(text: object = TEXT, name: object = "rep-1") -> dict[str, Any]:
    """A tool's message with a report in its widget."""
    return widget(json.dumps(state(text, name)))


def result(text: object = TEXT, **metadata: object) -> dict[str, Any]:
    return said(text, "tool", metadata={"is_async_task_result_message": True, "async_task_type": "research"} | metadata)


def told(value: object, before: str = "", after: str = "") -> dict[str, Any]:
    text = value if isinstance(value, str) else json.dumps(value)
    return said(f"{before}The latest state of the widget is: {text}{after}", "tool")


@pytest.mark.parametrize(
    "message",
    [
        shown(),
        widget(state()),
        widget(json.dumps(state(), indent=1)),
        widget(f" {json.dumps(state())}\n"),
        widget(state(), is_async_task_result_message=True, async_task_type="research"),
        told(state()),
        told(json.dumps(state(), indent=1), "\n ", "\n"),
        {**told(""), "content": {"content_type": "text", "text": told(state())["content"]["parts"][0]}},
        {**told(""), "content": {"content_type": "code", "text": told(state())["content"]["parts"][0]}},
        {**told(""), "content": {"content_type": "text", "parts": ["", told(state())["content"]["parts"][0]]}},
        {**told(""), "content": {"parts": [{"text": told(state())["content"]["parts"][0]}]}},
        {**told(""), "content": told(state())["content"]["parts"][0]},
        widget({"report_message": report_message() | {"content": {"parts": ["# Wind\n", {"text": "North is best."}]}}}),
        widget({"report_message": report_message() | {"content": {"parts": [None, TEXT], "content_type": "code"}}}),
        widget(state(TEXT, 7)),
        widget(state(TEXT, None)),
        widget(state(f"{TEXT}\ue200cite\ue202turn0search1\ue201\0")),
        widget({"report_message": {}}) | {"content": told(state())["content"]},
        result(),
        result(is_async_task_result_message="true"),
        result(f"{TEXT}\ue200cite\ue202turn0search1\ue201"),
        result() | {"content": {"content_type": "tether_quote", "text": TEXT}},
        result() | {"content": TEXT},
        result(chatgpt_sdk={"widget_state": "{}"}),
    ],
)
def test_a_report_is_an_answer_at_its_place_when_a_tools_message_shows_it(message: dict[str, Any]) -> None:
    message = message | {"create_time": START + 5}
    found = extracted(chain(said("Research wind"), message, said("Thanks")), default_model_slug="gpt-5")
    answer = found.messages[1]
    assert (answer.node_id, answer.parent_id, answer.thread, answer.on_active_path) == ("1", "0", "main", True)
    assert (answer.role, answer.text, answer.create_time, answer.model) == ("assistant", TEXT, START + 5, "gpt-5")
    assert (kept(found), found.messages[2].parent_id, found.left_out) == (["0", "1", "2"], "1", {})


@pytest.mark.parametrize("message", [shown(), result()])
@pytest.mark.parametrize(
    "fields",
    [
        {"recipient": "assistant"},
        {"recipient": "python", "channel": "commentary"},
        {"channel": "analysis"},
        {"is_visually_hidden_from_conversation": True},
        {"is_visually_hidden_reasoning_group": True, "is_user_system_message": True},
    ],
)
def test_a_report_is_kept_when_its_message_is_hidden_or_addressed_to_a_tool(
    message: dict[str, Any], fields: dict[str, Any]
) -> None:
    metadata = {name: value for name, value in fields.items() if name.startswith("is_")}
    found = extracted(chain(said(), message | fields | {"metadata": message["metadata"] | metadata}))
    assert [m.text for m in found.messages] == ["hi", TEXT]


@pytest.mark.parametrize(
    "message",
    [
        widget(None), widget(5), widget("{"), widget("[]"), widget("report_message"),
        widget(f"{json.dumps(state())} x"),
        widget({}), widget({"report_message": TEXT}), widget({"report_message": {"id": "rep-1"}}), widget([state()]),
        widget({"report_message": report_message() | {"content": TEXT}}),
        widget({"report_message": report_message() | {"content": {"parts": []}}}),
        widget({"report_message": report_message() | {"content": {"parts": [None, {"image": 1}]}}}),
        widget({"status": "running", "plan": "report_message"}), shown(" \n"), shown(""), shown(5),
        shown("\ue200cite\ue202turn0search1\ue201"),
        said("Started.", "tool", metadata={"chatgpt_sdk": state()}), said("x", "tool", metadata={"chatgpt_sdk": "{}"}),
        said("x", "tool", metadata={"chatgpt_sdk": [{"widget_state": state()}]}), said("x", "tool", metadata=state()),
        told("{"), told({}), told(state(" ")), told(state(), "It says: "), told(state(), after=" Done."),
        said(json.dumps(state()), "tool"), result(" \n"), result("\ue200cite\ue202turn0search1\ue201"), result(None),
        result(async_task_type="image_gen"), result(async_task_type=None), result(is_async_task_result_message=False),
        result("The latest state of the widget is: {}"),
    ],
)  # fmt: skip
def test_a_tools_message_is_left_out_when_it_shows_no_report_or_a_blank_one(message: dict[str, Any]) -> None:
    found = extracted(chain(said(), message))
    assert (kept(found), found.left_out) == (["0"], {"role:tool": 1})


@pytest.mark.parametrize("role", ["user", "assistant", "system", "critic"])
def test_a_widget_shows_no_report_when_its_message_is_not_a_tools(role: str) -> None:
    found = extracted(chain(shown() | {"author": {"role": role}}))
    assert [m.text for m in found.messages] == (["Started."] if role in ("user", "assistant") else [])


THANKS = said("Thanks")


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([shown(), shown()], ["1"]),
        ([shown(), THANKS, shown(), shown(), THANKS], ["1", "3", "4"]),
        ([shown("a", "x"), shown("b", "x")], ["1"]),
        ([shown("a", "x"), shown("a", "y")], ["1"]),
        ([shown("a", "x"), shown("b", "x"), shown("b", "y")], ["2"]),
        ([shown("a", "x"), shown("b", "y")], ["0", "1"]),
        ([shown("a", ""), shown("b", ""), shown("c", None), shown("d", 5), shown("e", 5)], ["0", "1", "2", "3", "4"]),
        ([result("a"), result("a"), shown("a")], ["2"]),
        ([result("a"), shown("b", "a")], ["0", "1"]),
        ([shown("a\ue200cite\ue202turn0search1\ue201"), shown("a", "y")], ["1"]),
        ([shown("a", "x"), shown(" ", "x")], ["0"]),
        ([shown("a"), said("b"), result("a"), said("b")], ["1", "2", "3"]),
    ],
)
def test_the_last_report_of_a_thread_is_kept_when_text_or_id_are_equal(
    messages: list[dict[str, Any]], expected: list[str]
) -> None:
    found = extracted(chain(*messages))
    assert kept(found) == expected
    left_out = len(messages) - len(expected) - found.left_out["role:tool"]
    assert found.left_out["duplicate_report"] == left_out


def test_messages_are_below_the_nearest_kept_one_when_a_report_between_is_a_duplicate() -> None:
    found = extracted(chain(said(), shown(), said("Well?"), shown()))
    assert [(m.node_id, m.parent_id) for m in found.messages] == [("0", None), ("2", "0"), ("3", "2")]


def forked() -> dict[str, Any]:
    """The same report on the shown path and on a side thread, and twice on another side thread."""
    return {
        "q": node(said(create_time=START), None),
        "old": node(shown() | {"create_time": START + 1}, "q"),
        "two": node(shown() | {"create_time": START + 2}, "q"),
        "two again": node(result() | {"create_time": START + 3}, "two"),
        "new": node(shown() | {"create_time": START + 4}, "q"),
    }


def test_a_report_is_kept_when_its_copy_is_in_another_thread() -> None:
    found = extracted(forked())
    assert [(m.node_id, m.thread) for m in found.messages] == [
        ("q", "main"), ("old", "old"), ("two again", "two"), ("new", "main"),
    ]  # fmt: skip
    assert found.left_out == {"duplicate_report": 1}


def test_reports_of_side_threads_are_left_out_when_the_active_branch_alone_is_kept() -> None:
    found = extracted(forked(), "active")
    assert kept(found) == ["q", "new"]
    assert found.left_out == {"duplicate_report": 1, "inactive_branch": 2}


def answer(text: str = TEXT, **fields: object) -> dict[str, Any]:
    return said(text, "assistant", **fields)


@pytest.mark.parametrize(
    "between",
    [
        [],
        [said("Started.", "tool"), said("", "assistant"), None],
        [said("hidden", "assistant", metadata={"is_visually_hidden_from_conversation": True})],
        [said("context", "system"), said("call", "assistant", recipient="python")],
        [shown(TEXT, "rep-2")],
    ],
)
def test_a_report_is_a_duplicate_when_the_next_answer_repeats_it(between: list[Any]) -> None:
    found = extracted(chain(said(), shown(), *between, answer(f"{TEXT}\ue200cite\ue202turn0search1\ue201")))
    assert kept(found) == ["0", str(len(between) + 2)]
    assert found.left_out["duplicate_report"] == 1 + (between == [shown(TEXT, "rep-2")])


@pytest.mark.parametrize(
    "between",
    [
        [said("Say it again.")],
        [said("", "user")],
        [said("Continue", metadata={"is_auto_proceed_message": True})],
        [answer("First this.")],
        [shown("Another report.", "rep-2")],
    ],
)
def test_a_report_is_kept_when_something_stands_before_the_answer_that_repeats_it(between: list[Any]) -> None:
    found = extracted(chain(said(), shown(), *between, answer()))
    assert "1" in kept(found)
    assert "duplicate_report" not in found.left_out


@pytest.mark.parametrize("other", ["# Wind", f"{TEXT} And more.", f"As I found: {TEXT}"])
def test_a_report_is_kept_when_the_next_answer_is_another_one(other: str) -> None:
    assert kept(extracted(chain(shown(), answer(other)))) == ["0", "1"]
    assert kept(extracted(chain(answer(), shown()))) == ["0", "1"]


def test_a_report_is_kept_when_the_answer_that_repeats_it_is_in_another_thread() -> None:
    mapping = {
        "q": node(said(), None), "report": node(shown() | {"create_time": START}, "q"),
        "old": node(answer(create_time=START + 1), "report"),
        "new": node(said("Thanks", create_time=START + 2), "report"),
    }  # fmt: skip
    assert kept(extracted(mapping)) == ["q", "report", "old", "new"]
