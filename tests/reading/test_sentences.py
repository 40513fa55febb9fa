"""The reading itself, sentence by sentence: examples made by hand, so that the oracle is not trusted blindly."""

import json

import pytest
from markdown_it import MarkdownIt

from tests.reading.code_regions import code_flags
from tests.reading.conversation import Reading, read
from tests.reading.identity import stored_key, time_of
from tests.reading.words import answered, title_of, typed

CITE = "\ue200cite\ue202turn0search1\ue201"
LINE_76 = "iVBORw0KGgo1" * 6 + "ABC9"


def mark(kind: str, *fields: str) -> str:
    return "\ue200" + "\ue202".join((kind, *fields)) + "\ue201"


def said(role: str, text: str, **others: object) -> dict[str, object]:
    return {"author": {"role": role}, "content": {"content_type": "text", "parts": [text]}, **others}


def reading_of(*messages: tuple[str, str | None, dict[str, object] | None], **item: object) -> Reading:
    mapping = {key: {"parent": parent, "message": message} for key, parent, message in messages}
    reading = read(json.dumps({"id": "c", "mapping": mapping, **item}).encode())
    assert reading is not None
    return reading


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1700000000, 1700000000.0),
        (1700000000000, 1700000000.0),
        ("1700000000.5", 1700000000.5),
        ("2023-11-14T22:13:20Z", 1700000000.0),
        ("2023-11-14T23:13:20+01:00", 1700000000.0),
        ("2014-12-31T23:59:59Z", None),
        (0, None),
        (True, None),
        ("soon", None),
        ([], None),
    ],
)
def test_time_of_gives_seconds_when_a_value_is_a_time(value: object, seconds: float | None) -> None:
    assert time_of(value) == seconds


def test_stored_key_is_a_hash_when_it_is_long() -> None:
    assert stored_key("k" * 200) == "k" * 200
    assert len(stored_key("é" * 101)) == len("sha256:") + 32


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        (f"It is wide.{CITE} Yes", "It is wide. Yes"),
        ("a " + mark("entity", '["company","Nordwind","maker"]') + " b", "a Nordwind b"),
        ("a " + mark("product_entity", '["turn0product1","Glide 2"]') + " b", "a Glide 2 b"),
        ("a " + mark("hotel", '{"name":"Ruh"}') + " b", "a Ruh b"),
        ("a" + mark("hotel", '["turn0hotel1"]') + " b", "a b"),
        ("a" + mark("product", '["turn0product1","turn0product2"]') + " b", "a b"),
        (mark("link_title", "the table", "turn0search3"), "the table"),
        (mark("video", "A film", "turn0video1"), "A film"),
        (mark("navlist", '{"title":"News"}'), "News"),
        (mark("products", '{"selections":[["turn0product1","A"],["turn0product2","B"]],"tags":["x"]}'), "A, B"),
        ("a" + mark("image_group", '{"query":["x"],"title":"y"}'), "a"),
        ("\ue203seen words\ue204 stay", "seen words stay"),
        ("\ue200cite\ue202 is cut off", "cite is cut off"),
        ("\ue600cite\ue602turn2view0\ue601 a\ue142cite\ue142turn6view0\ue141", " a"),
        ("icons \ue142 and \ue601, \ue600 stay", "icons \ue142 and \ue601, \ue600 stay"),
        ("\ue600trail\ue602turn2view0\ue601", "\ue600trail\ue602turn2view0\ue601"),
        ("a【12†source】【3:0†x】 【重要】", "a 【重要】"),
        ('【{"image_fetch": "a】b"}】【oaicite:1】【{no】', "【{no】"),
        ("cited citeturn0search3 fileciteturn1file2turn2file3, linked", "cited  , linked"),
        ("[the file](sandbox:/mnt/x.csv) [a](https://b)", "the file [a](https://b)"),
        (f"`{CITE}` ``a ` {CITE}`` ` {CITE}", f"`{CITE}` ``a ` {CITE}`` ` "),
        (f"```\n{CITE}\n```\n{CITE}", f"```\n{CITE}\n```\n"),
        (f"- a\n  ```\n  {CITE}\nb{CITE}", f"- a\n  ```\n  {CITE}\nb"),
        (f"> ```\n> {CITE}\nb{CITE}", f"> ```\n> {CITE}\nb"),
        (f"one ` \n\n two{CITE} `", "one ` \n\n two `"),
        ("data:a/b;base64,AAAA=", "[data]"),
        ("`data:a/b;base64,AAAA=`", "`data:a/b;base64,AAAA=`"),
        (f"`data:a/b;base64,{'A' * 300}`", "`[data]`"),
    ],
)
def test_answered_gives_what_a_person_sees_when_marks_are_in_a_text(written: str, seen: str) -> None:
    assert answered(written).text == seen


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("a\n:::writing\nb\n:::\nc", "a\nb\nc"),
        (
            ':::writing{subject="Say \\"hi\\"" recipient="a@b" title="} x"}\nb\n:::',
            'Subject: Say "hi"\nTo: a@b\nTitle: } x\n\nb',
        ),
        (':::writing{id="1"} same line\nb\n:::', "same line\nb"),
        ("  ::::contextList\nb\n  ::::", "b"),
        (":::writing\nb", "b"),
        ("a\n:::\nb", "a\n:::\nb"),
        (":::writing\n:::warning\nb\n:::\nc\n:::", ":::warning\nb\n:::\nc"),
        ("::::writing\n:::contextList\nb\n:::\n::::\n:::", "b\n:::"),
        ("::::writing\nb\n:::\n::::", "b\n:::"),
        ("```\n:::writing\n```\n:::writing\n```\n:::\n```\n:::", "```\n:::writing\n```\n```\n:::\n```"),
        (":::writingdesk\nb\n:::", ":::writingdesk\nb\n:::"),
    ],
)  # fmt: skip
def test_answered_opens_frames_when_they_are_known(written: str, seen: str) -> None:
    assert answered(written).text == seen


def test_answered_counts_names_when_they_are_unknown() -> None:
    words = answered(":::warning\n" + mark("hotel", '["turn0hotel1","Ruh"]') + "\n:::")
    assert (words.unknown_frames, words.unknown_marks) == (["warning"], ["hotel"])


@pytest.mark.parametrize(
    ("behind_comma", "left"),
    [
        (f"\n{LINE_76}\n{LINE_76}\nAB12", ""),
        (f"{LINE_76}\n{LINE_76}\nAB12\nwords", "\nwords"),
        (f'{LINE_76}\nAB12">', '">'),
        (f"{LINE_76}\nAB12\n", "\nAB12\n"),
        (f"{LINE_76}\n{LINE_76}\nEnd", "\nEnd"),
        (f"{LINE_76}\n{LINE_76}A\n", f"\n{LINE_76}A\n"),
        ("AAAA\nBBBB", "\nBBBB"),
        ("\\/AAAA==", ""),
    ],
)
def test_typed_shortens_data_when_it_is_wrapped(behind_comma: str, left: str) -> None:
    assert typed(f"data:image/png;base64,{behind_comma}").text == f"[data]{left}"


def test_typed_keeps_marks_when_a_person_wrote_them() -> None:
    assert typed(f"{CITE} 【1†a】 :::writing").text == f"{CITE} 【1†a】 :::writing"


def test_title_of_resolves_complete_marks_alone() -> None:
    place = mark("place", '["turn0place1","Tromsdal"]')
    assert title_of(f"{place}\r\n【1†a】 \ue200cite") == "Tromsdal 【1†a】 \ue200cite"


@pytest.mark.parametrize(
    ("parent_role", "second", "expected"),
    [
        ("assistant", f"{CITE}\n```\n{CITE}", f"{CITE}\n```\n"),
        ("user", f"{CITE}\n```\n{CITE}", f"\n```\n{CITE}"),
        ("assistant", f"{CITE}\n```py\n{CITE}", f"\n```py\n{CITE}"),
        ("assistant", f"{CITE}\n```\nx\n```\n{CITE}", "\n```\nx\n```\n"),
    ],
)
def test_read_continues_code_when_an_answer_goes_on(parent_role: str, second: str, expected: str) -> None:
    reading = reading_of(("a", None, said(parent_role, "x\n```py\ny")), ("b", "a", said("assistant", second)))
    assert reading.messages[1].text == expected


def test_read_parts_threads_when_the_tree_has_forks() -> None:
    reading = reading_of(
        ("r", None, None),
        ("q", "r", said("user", "q", create_time=1700000000)),
        ("old", "q", said("assistant", "old", create_time=1700000001)),
        ("new", "q", said("assistant", "new", create_time=1700000002)),
        ("more", "old", said("user", "more", create_time=1700000003)),
        current_node="new",
    )
    assert [(m.node, m.parent, m.thread) for m in reading.messages] == [
        ("q", None, "main"),
        ("old", "q", "old"),
        ("new", "q", "main"),
        ("more", "old", "old"),
    ]


def test_read_cuts_a_cycle_when_parents_go_round() -> None:
    reading = reading_of(("a", "b", said("user", "a")), ("b", "a", said("assistant", "b")), ("c", "b", None))
    assert reading.notes == {"cycle": 1}
    assert [m.node for m in reading.messages] == ["a", "b"]


@pytest.mark.parametrize(
    ("metadata", "hidden"),
    [
        ({"contextual_retry_message": "shorter"}, True),
        ({}, True),
        ({"contextual_retry_message": "Shorter"}, False),
        ({"contextual_retry_message": "be brief"}, False),
    ],
)
def test_read_hides_a_retry_when_it_is_a_preset(metadata: dict[str, object], hidden: bool) -> None:
    message = said("user", "x", metadata={"is_contextual_retry_user_message": True, **metadata})
    assert reading_of(("a", None, message)).left_out["hidden"] == hidden


def report(text: str, identity: str) -> dict[str, object]:
    state = {"report_message": {"id": identity, "content": {"parts": [text]}}}
    return said("tool", "x", metadata={"chatgpt_sdk": {"widget_state": state}}, recipient="assistant")


def test_read_keeps_the_last_report_when_they_are_equal() -> None:
    reading = reading_of(
        ("a", None, report("one", "1")), ("b", "a", report("two", "1")), ("c", "b", report("two", "2")),
        ("d", "c", said("assistant", "two")), ("e", "d", report(" ", "3")),
    )  # fmt: skip
    assert [m.node for m in reading.messages] == ["d"]
    assert reading.left_out == {"duplicate_report": 3, "role:tool": 1}


def test_read_keeps_a_report_when_a_question_is_between() -> None:
    reading = reading_of(
        ("r", None, None), ("a", "r", report("two", "1")), ("b", "a", said("user", "?")),
        ("c", "b", said("assistant", "two")),
    )  # fmt: skip
    assert [m.node for m in reading.messages] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("recipient", "follower", "reasons"),
    [
        ({}, said("assistant", "done"), {"tool_call": 1}),
        ({}, said("user", "thanks"), {}),
        ({"recipient": "all"}, said("assistant", "done"), {}),
    ],
)
def test_read_leaves_out_a_tool_call_when_recipients_are_lost(
    recipient: dict[str, object], follower: dict[str, object], reasons: dict[str, int]
) -> None:
    reading = reading_of(
        ("r", None, None),
        ("q", "r", said("user", "q", **recipient)),
        ("a", "q", said("assistant", '{"prompt":"a bee","n":1}')),
        ("b", "a", follower),
    )
    assert reading.left_out == reasons


MARKDOWN = [
    "- a\n  ```\n  x\n\n  y\nz", "> ```\n> x\ny\n> z", "1. a\n   ~~~\n   x\n   ~~~\n   b", "- a\n\n      ```\n  ```\nx",
    "```` a`b\nx\n````", "```\nx\n~~~\n```` \ny", "> - ```\n>   x\n> y\n\nz", "a\n    ```\nb\n   ```\nc",
    "- ```\n  a\n  ```",
    "2. a\n2. ```\nb", "a\n2. ```\nb", "- - ```\n    x\n  y", "* * *\n```\na", "-\n  ```\n  a\n", "> a\n```\n> b\n```",
]  # fmt: skip


@pytest.mark.parametrize("text", MARKDOWN)
def test_code_flags_find_the_fences_of_commonmark(text: str) -> None:
    fenced: set[int] = set()
    for token in MarkdownIt().parse(text):
        if token.type == "fence" and token.map is not None:
            fenced.update(range(token.map[0], min(token.map[1], text.count("\n") + 1)))
    flags, _ = code_flags(text)
    found, at = set(), 0
    for number, line in enumerate(text.split("\n")):
        if line and all(flags[at : at + len(line)]):
            found.add(number)
        at += len(line) + 1
    assert found == {number for number in fenced if text.split("\n")[number]}
