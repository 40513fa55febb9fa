"""Each case gives the right value; what was wrong once stands in the name of its test."""

import pytest

from tests.cases.commands import command, left_out, messages, texts

REPORT = (
    "# Wind in the valley\n\nThe report in full: the valley gets 5.1 m/s on average. It has three sections and a table "
    "of sites.\n\n## Sites\n\nNorth ridge is best."
)


def without_blank_ends(text: str) -> list[str]:
    """The lines of a text without blanks at their ends; of empty lines side by side one is left."""
    lines: list[str] = []
    for line in text.strip().split("\n"):
        if line.strip() or (lines and lines[-1]):
            lines.append(line.rstrip())
    return lines


def test_extract_gives_a_report_as_an_answer_when_a_widget_state_holds_it() -> None:
    said = [(message["role"], message["text"]) for message in messages("06-deep-research-widget-meta.json")]
    assert said == [
        ("user", "Do a deep research on wind in the valley"),
        ("assistant", REPORT),
        ("user", "Thanks. Which site is best?"),
        ("assistant", "The north ridge."),
    ]


def test_extract_gives_a_report_as_an_answer_when_a_task_result_is_research() -> None:
    said = [(message["role"], message["text"]) for message in messages("09-deep-research-tool-result.json")]
    assert said == [
        ("user", "Research moss"),
        ("assistant", "# Moss\n\nMoss grows on the north side, says the report."),
    ]


def test_extract_opens_frames_when_they_are_context_lists() -> None:
    answer = texts("40-context-list.json")[1]
    assert without_blank_ends(answer) == [
        "Here are some:", "", "**Harbour Masters**", "Easy to learn.", "", "**Salt Road**", "A bit longer.", "",
        "Both are good.",
    ]  # fmt: skip


def test_extract_shows_the_name_when_a_mark_is_a_product_entity() -> None:
    assert texts("01-product-entity.json")[1] == (
        "For a beginner I would take the Nordwind Glide 2 because it is wide. The Nordwind shop is in Tromsdal. "
        "See the size table first. Prices vary."
    )


def test_extract_keeps_marks_when_a_person_typed_them() -> None:
    typed = [message["text"] for message in messages("47-user-pastes.json") if message["role"] == "user"]
    assert typed == [
        "What does 【12†source】 mean? And citeturn0search1? I see [x](sandbox:/mnt/data/x.csv) too.\n"
        "Line two\rLine three\u2028Line four",
        '<img src="[data]"> what is it? url([data])',
        ":::writing\nIs my own text of a docs file\n:::\nWhy does this fail?",
    ]


def test_extract_shows_attributes_when_a_frame_is_for_writing() -> None:
    said = messages("41-writing.json")
    answers = [str(message["text"]).rstrip("\n") for message in said if message["role"] == "assistant"]
    assert answers == [
        "Here it is:\n\nSubject: Order 4711 has not come\nTo: shop@example.org\n\nDear shop,\n\nwhere is it?\n\n"
        "Shall I make it shorter?",
        "Title: Shopping note\n\n# Note\n\nMilk.\n\n```js\n:::\n```\n\nHi Sam!",
        "Fine.\n\nIt goes on and",
        "  - item\n    inside a list\n\nsame line text\nbody six\n\nfour colons\n\n:::warning\nA note of the docs "
        "kind\n:::\n\nno braces\nend",
    ]


def test_inspect_names_group_chats_when_they_are_not_read() -> None:
    ended = command("inspect", "22-group-chats.zip")
    assert ended.code == 0
    assert "group_chats.json" in ended.out + ended.err


def test_extract_reads_group_chats_when_they_have_a_mapping() -> None:
    found = {str(message["conversation_id"]) for message in messages("22-group-chats-mapping.zip")}
    assert found == {"c-a", "c-b", "gg-2"}


def test_extract_prints_one_copy_when_a_conversation_occurs_twice() -> None:
    lines = messages("55-dup-iso.json")
    assert [(line["title"], line["node_id"]) for line in lines] == [
        ("number newer", "c-i-n1"),
        ("number newer", "c-i-n2"),
    ]


def test_extract_continues_code_when_an_answer_goes_on_inside_a_fence() -> None:
    assert texts("30-continued-fence.json")[2] == (
        '    print("done")\n```\n\nThe program ends here. See file.\n\n```sh\npython p.py\n```\nEnd.'
    )


def test_extract_removes_marks_when_they_have_an_older_encoding() -> None:
    assert texts("03-older-pua-marks.json")[1] == "It was built in 1733. It has nine arches. The end."


def test_extract_shortens_data_when_it_is_wrapped_or_escaped() -> None:
    assert texts("59-wrapped-base64.json") == [
        '<img src="[data]"> what is it?',
        "An image: data:image/svg+xml;utf8,<svg/> and [data]",
        '{"url":"[data]"}',
        "ok",
    ]


def test_extract_keeps_marks_when_they_are_in_inline_code() -> None:
    assert texts("04-inline-code-marks.json")[1] == (
        "The run `\ue200cite\ue202turn0search0\ue201` and `【3†source】` and `citeturn0search1` are marks of the model"
        "; `[x](sandbox:/mnt/data/x.csv)` is a link, `data:image/png;base64,AAAA` data."
    )


def test_extract_leaves_out_tool_calls_when_recipients_are_lost() -> None:
    case = "42-slim-toolcalls.json"
    assert texts(case) == ["Make a canvas on bees and draw one", "I made the document.", "Here is the bee."]
    assert left_out(case) == {"tool_call": 3, "type:code": 1}


@pytest.mark.parametrize(
    ("case", "kept"),
    [
        ("32-hidden-reasoning-group.json", ["Say hello", "Hello."]),
        ("43-agent-auto-proceed.json", ["Write chapter five", "The fifth chapter begins at night."]),
        ("44-contextual-retry.json", ["Explain tides", "Tides are long to explain.", "Moon pulls."]),
    ],
)
def test_extract_leaves_out_messages_when_nobody_saw_or_typed_them(case: str, kept: list[str]) -> None:
    assert texts(case) == kept
    assert left_out(case)["hidden"] == 1


def test_extract_gives_quoted_words_when_a_question_is_about_them() -> None:
    question = messages("46-targeted-reply.json")[2]
    assert question["quoted"] == "Lake Aru is deep."
    assert question["text"] == "> Lake Aru is deep.\n\nHow deep?"


def test_extract_gives_the_text_when_a_content_is_a_string() -> None:
    assert texts("58-content-string.json") == ["Plain string question?", "Answer as text"]


def test_extract_finds_the_newest_path_when_current_node_has_no_message() -> None:
    case = "33-current-is-root.json"
    shown = ["Second wording?", "Answer two again", "More", "More it is"]
    assert texts(case, "--branches", "active") == shown
    assert [message["text"] for message in messages(case) if message["thread"] == "main"] == shown
    assert len(messages(case)) == 7


def test_inspect_reports_no_damage_when_each_line_is_a_conversation() -> None:
    assert len(messages("21-jsonl.json")) == 4
    assert "damaged" not in command("inspect", "21-jsonl.json").out + command("inspect", "21-jsonl.json").err


def test_inspect_names_the_method_when_a_member_cannot_be_unpacked() -> None:
    ended = command("inspect", "14-deflate64.zip")
    assert ended.code != 0
    assert "Deflate64" in ended.err
    assert "folder" in ended.err
    assert "cut off" not in ended.err


def test_inspect_names_the_encoding_when_a_file_is_utf_16() -> None:
    ended = command("inspect", "10-utf16le-nobom.json")
    assert ended.code != 0
    assert "UTF-16" in ended.err
    assert "UTF-8" in ended.err
    assert "cut off" not in ended.err
