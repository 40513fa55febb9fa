"""extraction.md §5: frames of an answer are opened, their words stay, and frames of other names stay as written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.chatgpt.text import clean_answer, clean_own_words
from tests.support.strategies import prose


def clean(text: str) -> str:
    return clean_answer(text).text


@pytest.mark.parametrize("name", ["writing", "contextList"])
@pytest.mark.parametrize(
    ("form", "shown"),
    [
        (":::NAME\na\n:::\nb", "a\nb"),
        (":::NAME{id=1}\na\n:::", "a\n"),
        ("b\n:::NAME\na\n:::", "b\na\n"),
        ("::::NAME{id=1}\na\n::::\nb", "a\nb"),
        (":::NAME\na\n::::::\nb", "a\nb"),
        ("  - item\n    :::NAME{id=1}\n    a\n    :::\nb", "  - item\n    a\nb"),
        ("\t:::NAME\na\n \t:::  \nb", "a\nb"),
        ("> :::NAME\n> a\n> :::\nb", "> a\nb"),
        ("- :::NAME\n  a\n  :::\nb", "-\n  a\nb"),
        ("- - :::NAME\n    a\n    :::\nb", "- -\n    a\nb"),
        ("- [x] :::NAME\n  a\n  :::\nb", "- [x]\n  a\nb"),
        (":::NAME same line\na\n:::", "same line\na\n"),
        (":::NAME{id=1} same line\na\n:::", "same line\na\n"),
        ("  :::NAME{id=1} same line\n  a\n  :::", "  same line\n  a\n"),
        (":::NAME\na\n:::\n:::NAME\nb\n:::\nc", "a\nb\nc"),
        (":::NAME\na\n", "a\n"),
        (":::NAME", ""),
        ("a\n:::NAME{variant=", "a\n"),
        (":::NAME\n:::NAME\na", "a"),
        (":::NAME\na\n:::\n:::\nb", "a\n:::\nb"),
        (":::NAME\n```\n:::\n```\n:::\na", "```\n:::\n```\na"),
        ("```\n:::NAME\na\n:::\n```", "```\n:::NAME\na\n:::\n```"),
    ],
)
def test_a_frame_is_opened_when_it_is_writing_or_a_context_list(name: str, form: str, shown: str) -> None:
    assert clean(form.replace("NAME", name)) == shown.replace("NAME", name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (":::writing\na\n:::warning\nb\n:::\nc\n:::\nd", "a\n:::warning\nb\n:::\nc\nd"),
        (":::warning\na\n:::writing\nb\n:::\nc\n:::\nd", ":::warning\na\nb\nc\n:::\nd"),
        ("::::writing\n:::contextList\na\n:::\nb\n::::\nc", "a\nb\nc"),
        ("::::writing\na\n:::\nb\n::::\nc", "a\n:::\nb\nc"),
        (":::writing\n::::warning\na\n:::\nb\n::::\nc", "::::warning\na\nb\n::::\nc"),
        (":::writing\n:::contextList\na\n:::\nb\n:::\nc\n:::", "a\nb\nc\n:::"),
        (":::writing\n::::contextList\na\n:::\nb\n::::\nc", "a\nb\n::::\nc"),
        (":::warning\na\n::::writing\nb", ":::warning\na\nb"),
        (":::\na", ":::\na"),
    ],
)
def test_a_line_of_colons_closes_the_innermost_frame_with_as_many_when_frames_nest(text: str, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.parametrize(
    ("attributes", "head"),
    [
        ('{variant="email" id="1" subject="Order" recipient="a@b.org"}', "Subject: Order\nTo: a@b.org\n\n"),
        ('{recipient="a@b.org" subject="Order"}', "Subject: Order\nTo: a@b.org\n\n"),
        ('{title="A note"}', "Title: A note\n\n"),
        ('{subject="He said \\"no\\""}', 'Subject: He said "no"\n\n'),
        ('{subject="a } b { c" id=2}', "Subject: a } b { c\n\n"),
        ('{subject="it\'s" title=plain}', "Subject: it's\nTitle: plain\n\n"),
        ("{subject='Order'}", "Subject: Order\n\n"),
        ('{ subject = "Order" }', "Subject: Order\n\n"),
        (' {subject="Order"}', "Subject: Order\n\n"),
        ('{id="subject=x"}', ""),
        ('{subject="" title=" "}', ""),
        ('{subject="Order"} Dear all,', "Subject: Order\n\nDear all,\n"),
        ('{subject="a } \\" b"} Dear all,', 'Subject: a } " b\n\nDear all,\n'),
        ('{subject="Order" broken="}', "Subject: Order\n\n"),
    ],
)
def test_subject_recipient_and_title_stand_before_the_body_when_a_writing_frame_has_them(
    attributes: str, head: str
) -> None:
    assert clean(f"a\n:::writing{attributes}\nbody\n:::\nb") == f"a\n{head}body\nb"


def test_a_head_is_indented_when_its_frame_is() -> None:
    text = '- a\n  :::writing{subject="Order" title="T"} Dear\n  body\n  :::\n'
    assert clean(text) == "- a\n  Subject: Order\n  Title: T\n\n  Dear\n  body\n"
    assert clean('> :::writing{title="T"}\n> body\n> :::') == "> Title: T\n>\n> body\n"
    assert clean('1. :::writing{title="T"}\n   body\n   :::') == "1. Title: T\n\n   body\n"


def test_a_context_list_has_no_head_when_it_has_a_title() -> None:
    assert clean(':::contextList{title="T"}\na\n:::') == "a\n"


@pytest.mark.parametrize("name", ["warning", "note", "Writing", "writing-block", "contextlist", "x" * 300])
def test_a_frame_stays_and_is_counted_when_its_name_is_unknown(name: str) -> None:
    text = f"a\n:::{name}{{k=v}} title\nb\n:::\nc\n  :::{name}\nd"
    found = clean_answer(text)
    assert found.text == text
    assert found.unknown == (f"unknown_frame:{name[:60]}",) * 2


def test_a_frame_is_not_counted_when_it_stands_in_code() -> None:
    assert clean_answer("```\n:::warning\n:::\n```\n`:::note`").unknown == ()


@pytest.mark.parametrize(
    "text", ["a:::writing\nb", "b :::\nc", ":: writing\na\n::", "std::vec :::", ":::\n", "a ::: b"]
)
def test_colons_stay_when_they_are_no_frame(text: str) -> None:
    assert clean(text) == text
    assert clean_answer(text).unknown == ()


def test_a_mark_goes_when_it_stands_in_a_frame_or_its_head() -> None:
    cite = "\ue200cite\ue202turn0search1\ue201"
    assert clean(f':::writing{{subject="Order{cite}"}}\nbody{cite}\n:::') == "Subject: Order\n\nbody\n"


FRAME_LINES = st.sampled_from(
    [":::", "::::", ":::writing\n", ":::warning\n", "::::contextList\n", ":::writing{id=1}\n", "```\n", "\n", "a\n"]
)


@given(st.lists(FRAME_LINES | prose(), max_size=12).map("\n".join))
def test_a_users_frames_are_as_typed_whatever_they_are(text: str) -> None:
    assert clean_own_words(text) == text


@given(st.lists(st.sampled_from(["a", "b {", ":::", "::::", ":::warning", "::::note"]), max_size=10))
def test_all_lines_stay_when_no_frame_is_known(lines: list[str]) -> None:
    assert clean("\n".join(lines)) == "\n".join(lines)


@given(st.lists(st.sampled_from([":::writing", "::::contextList", ":::writing{title=T}"]), max_size=6), prose())
def test_only_its_first_line_goes_when_a_frame_is_unterminated(frames: list[str], words: str) -> None:
    head = "".join("Title: T\n\n" for frame in frames if "title" in frame)
    assert clean("\n".join([*frames, words])) == head + words


def test_inline_code_goes_over_a_line_with_colons_when_that_is_no_frame() -> None:
    text = "x `Foo:::bar\n\ue200cite\ue202turn0search1\ue201` y"
    assert clean(text) == text
