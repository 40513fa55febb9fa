"""extraction.md §1-§5, put together: one raw conversation to its kept messages, and a count for every other one."""

from collections import Counter
from typing import Any

import orjson
import pytest
from hypothesis import given

from ray_import.chatgpt.extract import NotAConversation, content_hash, extract
from ray_import.errors import RecordError
from ray_import.records import Conversation, Message
from tests.support.strategies import SHAPES, START, Shape, conversations
from tests.unit.chatgpt.talks import chain, extracted, kept, node, said


def only(message: dict[str, Any]) -> Message:
    (kept,) = extracted({"a": node(message)}).messages
    return kept


# What is a conversation, and which one


@pytest.mark.parametrize(
    "item",
    [None, 42, "text", [], {}, {"id": "c"}, {"mapping": None}, {"mapping": []}, {"mapping": "text"}, {"chats": []}],
)
def test_an_item_without_a_mapping_object_is_not_a_conversation(item: object) -> None:
    assert extract(orjson.dumps(item)) == NotAConversation()


def test_an_empty_mapping_is_a_conversation_without_messages() -> None:
    found = extracted({})
    assert (found.nodes, found.messages, found.left_out) == (0, (), Counter())


def test_what_is_no_json_is_a_reject() -> None:
    with pytest.raises(RecordError):
        extract(b'{"mapping": {}')


@pytest.mark.parametrize(
    ("names", "identity"),
    [
        ({"conversation_id": "c", "id": "i"}, "c"),
        ({"id": "i"}, "i"),
        ({"conversation_id": None, "id": "i"}, "i"),
        ({"conversation_id": "", "id": "i"}, "i"),
        ({"conversation_id": " \0", "id": "i"}, "i"),
        ({"conversation_id": 42, "id": "i"}, "42"),
        ({"conversation_id": True, "id": "i"}, "i"),
        ({"conversation_id": 4.5, "id": "i"}, "i"),
        ({"conversation_id": "c\0d"}, "cd"),
    ],
)
def test_a_conversation_is_known_by_its_conversation_id_else_its_id(names: dict[str, Any], identity: str) -> None:
    found = extract(orjson.dumps({"mapping": {}, **names}))
    assert isinstance(found, Conversation)
    assert found.id == identity


def test_a_conversation_without_any_id_is_known_by_its_content() -> None:
    first, again, other = (b'{"mapping": {}}', b'{"mapping": {}}', b'{"mapping":  {}}')
    ids = [found.id for raw in (first, again, other) if isinstance(found := extract(raw), Conversation)]
    assert ids[0] == f"unidentified-{content_hash(first).removeprefix('sha256:')[:16]}" == ids[1] != ids[2]
    assert len(ids[0]) == len("unidentified-") + 16


def test_the_hash_of_the_same_bytes_is_the_same_wherever_they_lie() -> None:
    assert content_hash(b"abc") == content_hash(memoryview(b"xabcx")[1:4]) != content_hash(b"abd")


def test_content_hash_names_its_algorithm() -> None:
    assert content_hash(b"abc") == "sha256:ba7816bf8f01cfea414140de5dae2223"


@pytest.mark.parametrize(
    ("title", "line"),
    [
        ("Talk", "Talk"),
        (" a\nb\0 \u2028c ", "a b c"),
        ("", ""),
        (None, ""),
        (5, ""),
        (["Talk"], ""),
        ("漢 👩", "漢 👩"),
    ],
)
def test_a_title_is_one_line_and_empty_where_there_is_none(title: object, line: str) -> None:
    assert extracted({}, title=title).title == line


def test_the_conversations_times_are_read_like_all_times() -> None:
    found = extracted({}, create_time=str(START), update_time=(START + 1) * 1000)
    assert (found.create_time, found.update_time) == (START, START + 1)
    assert extracted({}, create_time="?").create_time is None


def test_a_message_is_known_by_its_nodes_key_not_by_its_own_id() -> None:
    copied = said(id="same")
    found = extracted({"a": node(copied) | {"id": "other"}, "b": node(copied, "a")})
    assert [(m.node_id, m.parent_id) for m in found.messages] == [("a", None), ("b", "a")]


def test_two_node_keys_that_differ_only_in_nul_are_refused() -> None:
    with pytest.raises(RecordError) as caught:
        extracted({"a": node(said()), "a\0": node(said())})
    assert caught.value.message == "ambiguous_node_keys"


# Order, times, branches


def test_messages_come_in_the_order_of_the_graph_with_their_effective_times() -> None:
    found = extracted(
        {
            "late": node(said(create_time=START + 9), "root"),
            "child": node(said(create_time="?"), "early"),
            "root": node(),
            "early": node(said(create_time=(START + 2) * 1000), "root"),
            "timeless": node(said(), "root"),
        },
        create_time=START,
    )
    assert [(m.node_id, m.create_time) for m in found.messages] == [
        ("timeless", START), ("early", START + 2), ("child", START + 2), ("late", START + 9),
    ]  # fmt: skip


FORKED = {
    "root": node(),
    "q": node(said("q", create_time=START + 1), "root"),
    "old": node(said("old", "assistant", create_time=START + 2), "q"),
    "old2": node(said("old2", create_time=START + 3), "old"),
    "tool": node(said("tool", "tool", create_time=START + 3), "old"),
    "new": node(said("new", "assistant", create_time=START + 4), "q"),
}


def test_every_branch_is_kept_and_told_apart() -> None:
    found = extracted(FORKED, current_node="new")
    assert [(m.node_id, m.thread, m.on_active_path) for m in found.messages] == [
        ("q", "main", True), ("old", "old", False), ("old2", "old2", False), ("new", "main", True),
    ]  # fmt: skip


def test_with_branches_active_the_shown_path_alone_is_kept_and_the_rest_counted() -> None:
    found = extracted(FORKED, "active", current_node="new")
    assert [m.node_id for m in found.messages] == ["q", "new"]
    assert found.left_out == {"inactive_branch": 2, "role:tool": 1}


def test_parent_id_is_the_nearest_kept_message_above_when_others_are_left_out() -> None:
    found = extracted({
        "root": node(), "setup": node(said(role="system"), "root"), "q": node(said(), "setup"),
        "t": node(said(role="tool"), "q"), "t2": node(None, "t"), "a": node(said(role="assistant"), "t2"),
        "b": node(said(role="assistant"), "t"), "c": node(said(), "a"),
    })  # fmt: skip
    assert {m.node_id: m.parent_id for m in found.messages} == {"q": None, "a": "q", "b": "q", "c": "a"}


@given(conversations())
def test_kept_messages_are_a_tree_when_others_are_left_out(item: dict[str, Any]) -> None:
    """Each is below the first kept message that is met on the way up."""
    found = extract(orjson.dumps(item))
    assert isinstance(found, Conversation)
    seen: set[str | None] = {None}
    keys = {m.node_id for m in found.messages}
    for m in found.messages:
        assert m.parent_id in seen
        seen.add(m.node_id)
        walk, passed = item["mapping"][m.node_id].get("parent"), {m.node_id}
        while walk in item["mapping"] and walk not in keys and walk not in passed:
            passed.add(walk)
            walk = item["mapping"][walk].get("parent")
        assert m.parent_id in (walk, None)
        assert m.parent_id == walk or found.notes["cycle"] or walk not in keys


def test_cut_cycles_are_noted() -> None:
    found = extracted({"a": node(said(), "b"), "b": node(said(), "a"), "c": node(said(), "c")})
    assert found.notes == {"cycle": 2}
    assert {m.node_id for m in found.messages} == {"a", "b", "c"}
    assert extracted(FORKED).notes == {}


@pytest.mark.parametrize("parent", [None, 5, ["a"], {}, True])
def test_a_parent_that_is_no_key_makes_a_root(parent: object) -> None:
    found = extracted({"a": node(said()), "b": {"message": said(), "parent": parent}})
    assert [m.parent_id for m in found.messages] == [None, None]


@pytest.mark.parametrize("children", [None, [], ["b", "b"], ["missing"], ["a"], 5])
def test_children_are_not_looked_at(children: object) -> None:
    mapping = {"a": node(said()) | {"children": children}, "b": node(said(), "a") | {"children": children}}
    assert [m.parent_id for m in extracted(mapping).messages] == [None, "a"]


def test_the_current_node_decides_which_branch_is_the_shown_one() -> None:
    found = extracted(FORKED, current_node="old2")
    assert [(m.node_id, m.thread) for m in found.messages] == [
        ("q", "main"), ("old", "main"), ("old2", "main"), ("new", "new"),
    ]  # fmt: skip


@pytest.mark.parametrize("current", [None, "missing", 5, ["old2"], {}])
def test_a_current_node_that_is_none_is_not_used(current: object) -> None:
    found = extracted(FORKED, current_node=current)
    assert [m.node_id for m in found.messages if m.on_active_path] == ["q", "new"]


@pytest.mark.parametrize(
    ("left_out", "usable"),
    [
        (node(), False),
        (node(said("setup", "system")), False),
        (node(said("setup", metadata={"is_visually_hidden_from_conversation": True})), False),
        (node(said("setup", metadata={"is_user_system_message": True})), False),
        (node(said("setup", "assistant", recipient="python")), False),
        (node(said("setup", "assistant", channel="analysis")), False),
        (node({"author": {"role": "assistant"}, "content": {"content_type": "thoughts"}}), False),
        (node(said("setup", "tool")), False),
        (node(said("", "assistant")), True),
        (node(said("setup")), True),
        (
            node(said("# Report", "tool", metadata={"is_async_task_result_message": 1, "async_task_type": "research"})),
            True,
        ),
    ],
)
@pytest.mark.parametrize("current", ["top", "root"])
def test_current_node_is_not_used_when_every_message_on_its_path_is_left_out(
    left_out: dict[str, Any], usable: bool, current: str
) -> None:
    mapping = {
        "root": node(), "top": left_out | {"parent": "root"},
        "q": node(said("q", create_time=START + 1), "top"),
        "a": node(said("a", "assistant", create_time=START + 2), "q"),
        "b": node(said("b", "assistant", create_time=START + 3), "q"),
    }  # fmt: skip
    found = extracted(mapping, current_node=current)
    shown = [m.node_id for m in found.messages if m.on_active_path]
    if usable and current == "top":
        assert set(shown) <= {"top"}
    else:
        assert shown[-2:] == ["q", "b"]
    assert kept(extracted(mapping, "active", current_node=current)) == shown


# What is kept, and what is counted


def test_every_node_is_without_message_or_kept_or_left_out_under_its_reason() -> None:
    found = extracted({
        "1": None, "2": 42, "3": {}, "4": {"message": None}, "5": {"message": "text"}, "6": {"message": [said()]},
        "7": node({}), "8": node(said(role="system")), "9": node(said(metadata={"is_user_system_message": True})),
        "10": node(said(" \n")), "11": node(said("\ue200cite\ue202turn0search1\ue201", "assistant")),
        "12": node(said(recipient="python")), "13": node(said(metadata={"is_visually_hidden_from_conversation": 1})),
        "14": node({"author": {"role": "assistant"}, "content": {"content_type": "thoughts", "text": "hm"}}),
        "15": node({"author": {"role": "user"}, "content": None}), "16": node(said("kept")),
        "17": node(said("I will now", "assistant", metadata={"is_thinking_preamble_message": True})),
    })  # fmt: skip
    assert (found.nodes, found.without_message) == (17, 6)
    assert [m.text for m in found.messages] == ["kept"]
    assert found.left_out == {
        "role:unknown": 1, "role:system": 1, "custom_instructions": 1, "no_text": 3, "to:python": 1, "hidden": 1,
        "type:thoughts": 1, "thinking_preamble": 1,
    }  # fmt: skip


def test_an_unknown_type_is_kept_and_counted_by_name() -> None:
    odd = {"author": {"role": "assistant"}, "content": {"content_type": "hologram", "text": "see"}}
    silent = {"author": {"role": "assistant"}, "content": {"content_type": "hologram", "beam": 5}}
    found = extracted({"a": node(odd), "b": node(silent, "a")})
    assert [m.text for m in found.messages] == ["see"]
    assert (found.notes, found.left_out) == ({"unknown_type:hologram": 2}, {"no_text": 1})


def test_an_unknown_type_that_nobody_saw_is_not_noted() -> None:
    odd = {"content": {"content_type": "hologram", "text": "see"}, "author": {"role": "assistant"}}
    hidden = {"metadata": {"is_visually_hidden_from_conversation": True}}
    found = extracted({"a": node(odd | {"author": {"role": "tool"}}), "b": node(odd | {"recipient": "bio"}),
                       "c": node(odd | hidden)})  # fmt: skip
    assert (found.notes, found.left_out) == ({}, {"role:tool": 1, "to:bio": 1, "hidden": 1})


def test_all_messages_are_counted_by_role_and_type() -> None:
    found = extracted({
        "a": node(said()), "b": node(said()), "c": node(said(role="tool")), "d": node({"content": {"parts": ["x"]}}),
        "e": node(),
    })  # fmt: skip
    assert found.seen_types == {"user text": 2, "tool text": 1, "unknown (none)": 1}


@given(conversations())
def test_the_sum_holds_for_every_conversation(item: dict[str, Any]) -> None:
    raw = orjson.dumps(item)
    found, active = extract(raw, count_types=True), extract(raw, "active", count_types=True)
    assert isinstance(found, Conversation)
    assert isinstance(active, Conversation)
    for one in (found, active):
        assert one.nodes == len(item["mapping"])
        assert one.nodes == one.without_message + len(one.messages) + one.left_out.total()
        assert one.without_message + one.seen_types.total() == one.nodes
        assert len({m.node_id for m in one.messages}) == len(one.messages)
    assert active.messages == tuple(m for m in found.messages if m.on_active_path)
    assert active.left_out["inactive_branch"] == len(found.messages) - len(active.messages)


@given(conversations())
def test_every_kept_message_is_a_users_or_an_assistants_with_text(item: dict[str, Any]) -> None:
    found = extract(orjson.dumps(item))
    assert isinstance(found, Conversation)
    for message in found.messages:
        assert message.role in ("user", "assistant")
        assert message.text.strip()
        role = item["mapping"][message.node_id]["message"]["author"]["role"]
        assert role == message.role or (role, message.role) == ("tool", "assistant")


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_talk_is_extracted_from_every_shape(shape: Shape) -> None:
    """The SLIM shape has no `recipient`, `status`, `children`, the FLAT one no tree at all (format.md §3)."""
    extra = {"status": "finished_successfully", "weight": 1.0, "recipient": "all", "metadata": {}, "channel": None}
    mapping: dict[str, dict[str, Any]] = {}
    for i, text in enumerate(["one", "two", "three"]):
        message = said(text, "user" if i % 2 == 0 else "assistant", create_time=START + i)
        mapping[f"n{i}"] = {"id": f"n{i}", "message": message | (extra if shape == "full" else {})}
        if shape != "flat":
            mapping[f"n{i}"]["parent"] = f"n{i - 1}" if i else None
        if shape == "full":
            mapping[f"n{i}"]["children"] = [f"n{i + 1}"] if i < 2 else []
    found = extracted(mapping, current_node=None if shape == "flat" else "n2")
    assert [(m.text, m.role, m.thread, m.create_time) for m in found.messages] == [
        ("one", "user", "main", START), ("two", "assistant", "main", START + 1), ("three", "user", "main", START + 2),
    ]  # fmt: skip


# Texts and attachments


def test_the_text_is_what_a_person_saw() -> None:
    answer = "\ue203It rained\ue204\ue200cite\ue202turn0search1\ue201.\r\n\0```\n\ue200\n```"
    assert only(said(answer, "assistant")).text == "It rained.\n```\n\ue200\n```"


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_the_text_is_the_content_when_that_is_a_bare_string(role: str) -> None:
    message = only({"author": {"role": role}, "content": "As it is\r\n\0here."})
    assert (message.role, message.text) == (role, "As it is\nhere.")
    assert extracted(chain({"author": {"role": role}, "content": " "})).left_out == {"no_text": 1}


def test_references_delete_nothing_by_their_matched_text() -> None:
    references = [
        {"type": "attribution", "matched_text": "The whole answer.", "start_idx": 0, "end_idx": 17},
        {"type": "sources_footnote", "matched_text": " ", "start_idx": 17, "end_idx": 18},
        {"type": "grouped_webpages", "matched_text": "\ue200cite\ue202turn0search1\ue201"},
    ]
    text = "The whole answer. \ue200cite\ue202turn0search1\ue201"
    answer = said(text, "assistant", metadata={"content_references": references})
    assert only(answer).text == "The whole answer. "


CITE = "\ue200cite\ue202turn0search1\ue201"


def test_marks_are_taken_out_of_an_assistants_text_alone() -> None:
    text = f"a{CITE} 【1†source】\n:::writing\n\0b\r\n:::"
    assert only(said(text)).text == f"a{CITE} 【1†source】\n:::writing\nb\n:::"
    assert only(said(text, "assistant")).text == "a \nb\n"


def test_unknown_frames_and_marks_of_answers_are_counted_by_name() -> None:
    text = ":::tip\n\ue200hotel\ue202A\ue201 \ue200hotel\ue202B\ue201\n:::"
    found = extracted({"u": node(said(text)), "a": node(said(text, "assistant"), "u")})
    assert found.notes == {"unknown_frame:tip": 1, "unknown_mark:hotel": 2}
    assert [m.text for m in found.messages] == [text, ":::tip\nA B\n:::"]


@pytest.mark.parametrize(
    ("targeted", "quoted"),
    [
        ("Lake Aru is deep.", "Lake Aru is deep."),
        (f"Lake{CITE} `{CITE}`\r\n\0deep", f"Lake `{CITE}`\ndeep"),
        (":::writing\na\n:::\nb", "a\nb"),
        (CITE, ""), (" \n", ""), ("", ""), (None, ""), (5, ""), (["a"], ""), ({"text": "a"}, ""),
    ],
)  # fmt: skip
def test_the_words_that_a_question_is_about_are_stored_apart_and_cleaned(targeted: object, quoted: str) -> None:
    message = only(said(f"How deep?{CITE}", metadata={"targeted_reply": targeted, "targeted_reply_label": "x"}))
    assert (message.quoted, message.text) == (quoted, f"How deep?{CITE}")
    assert only(said("90 m.", "assistant", metadata={"targeted_reply": targeted})).quoted == ""


def test_an_answer_continues_code_only_when_its_parent_is_an_answer() -> None:
    first, second = said("a\n```\nx", "assistant"), said(f"y{CITE}\n```\nb{CITE}", "assistant")
    continued = extracted({"1": node(first), "2": node(second, "1")})
    assert continued.messages[1].text == f"y{CITE}\n```\nb"
    for between in (said("go on"), said("{}", "tool"), said("x", "assistant", recipient="python")):
        found = extracted({"1": node(first), "b": node(between, "1"), "2": node(second, "b")})
        assert found.messages[-1].text == f"y\n```\nb{CITE}"


def test_complete_marks_in_a_title_are_resolved() -> None:
    title = 'Buy \ue200product\ue202["turn0product1","Glide 2"]\ue201 【1†source】 \ue200'
    assert extracted({}, title=title).title == "Buy Glide 2 【1†source】 \ue200"


def test_code_for_all_is_kept_as_a_block_in_which_marks_stay() -> None:
    content = {"content_type": "code", "language": "python", "text": "x = '\ue200cite\ue201'"}
    message = {"author": {"role": "assistant"}, "recipient": "all", "content": content}
    assert only(message).text == "```python\nx = '\ue200cite\ue201'\n```"


@pytest.mark.parametrize(
    ("attachments", "names"),
    [
        ([{"name": "a.pdf", "id": "file-1"}, {"name": "資料 b.png"}], ("a.pdf", "資料 b.png")),
        ([{"name": "a\nb\0.pdf"}], ("a b.pdf",)),
        ([{"name": ""}, {"name": None}, {}, None, 5, "a.pdf", {"name": ["a"]}, {"name": "b"}], ("b",)),
        ([], ()),
        (None, ()),
        ({"name": "a.pdf"}, ()),
        ("a.pdf", ()),
    ],
)
def test_the_names_of_attachments_are_kept_beside_the_text(attachments: object, names: tuple[str, ...]) -> None:
    message = only(said(metadata={"attachments": attachments}))
    assert (message.text, message.attachments) == ("hi", names)


def test_attachments_alone_are_no_text() -> None:
    assert extracted({"a": node(said("", metadata={"attachments": [{"name": "a.pdf"}]}))}).left_out == {"no_text": 1}


# Size


def test_a_conversation_10_000_messages_deep_is_kept_whole() -> None:
    mapping = {str(i): node(said(str(i)), str(i - 1) if i else None) for i in range(10_000)}
    assert [m.text for m in extracted(mapping).messages] == [str(i) for i in range(10_000)]


def test_a_message_of_5_mb_is_kept_whole() -> None:
    words = "漢字 and words, 👩\u200d🚀. "
    raw = f"{words}\r\n\0\ue200cite\ue202turn0search1\ue201"
    times = 5_000_000 // len(raw.encode())
    assert only(said(raw * times, "assistant")).text == f"{words}\n" * times


def test_inline_data_of_5_mb_becomes_a_word() -> None:
    assert only(said(f"![a](data:image/png;base64,{'iVBORw0K' * 625_000}) b")).text == "![a]([data]) b"
