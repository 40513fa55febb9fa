"""extraction.md §5: inline code is left alone, and closes within its paragraph."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.chatgpt.markdown import code_spans, hide_code, show_code
from ray_import.chatgpt.text import clean_answer
from tests.support.strategies import MARKS

CITE = "\ue200cite\ue202turn0search1\ue201"
MARKED = f"{CITE} 【3†source】 citeturn0search1 [x](sandbox:/a) data:a/b;base64,AAAA \ue600cite\ue602turn1view0\ue601"


@pytest.mark.parametrize(
    "form",
    [
        "a `CODE` b", "`CODE`", "a ``CODE ` b`` c", "```CODE``` c", "`CODE\nCODE` b", "`a` `CODE`", "- a `CODE`\n- b",
        "> a `CODE\n> CODE`", "| a | `CODE` |", "**`CODE`**", "\\\\`CODE`", "``` CODE ``` b", "# a `CODE`\nb",
        "1. a `CODE`\n   b `CODE`", "- a\n  `CODE\n  CODE`\n", "a `CODE\n2. CODE` b", "`CODE\\` b",
    ],
)  # fmt: skip
def test_inline_code_is_left_alone(form: str) -> None:
    text = form.replace("CODE", MARKED)
    assert clean_answer(text).text == text
    assert clean_answer(f"a{CITE}\n\n{text}").text == f"a\n\n{text}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"a ` b{CITE} c", "a ` b c"),
        (f"a ` b{CITE}\n\nc ` d", "a ` b\n\nc ` d"),
        (f"a `` b{CITE} ` c", "a `` b ` c"),
        (f"a ` b{CITE} `` c", "a ` b `` c"),
        (f"a \\`b{CITE}` c", "a \\`b` c"),
        (f"# a ` b{CITE}\nc ` d", "# a ` b\nc ` d"),
        (f"- a ` b{CITE}\n- c ` d", "- a ` b\n- c ` d"),
        (f"a ` b{CITE}\n> c ` d", "a ` b\n> c ` d"),
        (f"a ` b{CITE}\n***\nc ` d", "a ` b\n***\nc ` d"),
        (f"a ` b{CITE}\n===\nc ` d", "a ` b\n===\nc ` d"),
        (f"a ` b{CITE}\n```\nx\n```\nc ` d", "a ` b\n```\nx\n```\nc ` d"),
        (f"a ` b{CITE}\n:::writing\nc ` d", "a ` b\nc ` d"),
        (f"a ` b{CITE}\n1. c ` d", "a ` b\n1. c ` d"),
        (f"`a`{CITE}`b`", "`a``b`"),
        (f"`a` ` b{CITE}", "`a` ` b"),
    ],
)
def test_a_mark_goes_when_its_backticks_are_no_code(text: str, shown: str) -> None:
    assert clean_answer(text).text == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('\ue200entity\ue202["a","`x`"]\ue201 b', "`x` b"),
        ("\ue200link_title\ue202the `a` table\ue202turn0search1\ue201 b", "the `a` table b"),
        ('\ue200entity\ue202["a","`"]\ue201 b \ue200cite\ue202turn0search1\ue201 `', "` b  `"),
        ("[`data.csv`](sandbox:/mnt/data/data.csv)", "`data.csv`"),
        (f"\ue203`a`{CITE}\ue204 b", "`a` b"),
        ("`a \ue200cite` b\ue201 c", "`a \ue200cite` b c"),
        (f'`a` \ue200link_title\ue202`b` \ue200entity\ue202["x","c"]\ue201\ue202turn0search1\ue201{CITE}', "`a` `b` c"),
    ],
)
def test_what_begins_first_wins_when_code_and_a_mark_overlap(text: str, shown: str) -> None:
    assert clean_answer(text).text == shown


def slow_spans(text: str) -> list[str]:
    """The same, read off CommonMark: from each run look for the next of the same length."""
    found = []
    i = 0
    while i < len(text):
        if text[i] == "\\" and i + 1 < len(text) and text[i + 1] in "\\`":
            i += 2
            continue
        if text[i] != "`":
            i += 1
            continue
        length = len(text[i:]) - len(text[i:].lstrip("`"))
        end = i + length
        while end < len(text):
            run = len(text[end:]) - len(text[end:].lstrip("`"))
            end += run or 1
            if run == length:
                found.append(text[i:end])
                break
        else:
            end = i + length
        i = end
    return found


@given(st.text("`a\\", max_size=30))
def test_code_spans_are_those_of_commonmark(text: str) -> None:
    assert [text[start:end] for start, end in code_spans(text, (), ())] == slow_spans(text)


@given(st.text(st.sampled_from("`a\\\n" + MARKS), max_size=30), st.lists(st.integers(0, 30)))
def test_hidden_code_is_shown_again(text: str, paragraphs: list[int]) -> None:
    assert show_code(*hide_code(text, sorted(paragraphs), ())) == text
