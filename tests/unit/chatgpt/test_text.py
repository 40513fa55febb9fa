"""extraction.md §5: characters that no database takes; and titles and names as one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.chatgpt.extract import extract
from ray_import.chatgpt.text import clean_answer, one_line
from ray_import.records import Conversation


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a\0b", "ab"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("a\r\0\nb", "a\nb"),
        ("a\rb\n\rc", "a\rb\n\rc"),
        ("a\r\ue206\nb", "a\nb"),
        ("  a \t\n\n  b\n", "  a \t\n\n  b\n"),
        ("```\r\na\0\r\n```", "```\na\n```"),
        ("é 漢字 👩\u200d🚀 \ue000\uf8ff", "é 漢字 👩\u200d🚀 \ue000\uf8ff"),
        ("\ue200cite\ue202turn0search1\ue201a\r\n", "a\n"),
    ],
)
def test_nul_goes_and_lines_end_in_a_newline(text: str, clean: str) -> None:
    assert clean_answer(text).text == clean


ODD = st.text(
    st.sampled_from('\0\r\nab[]",\\u0\ue200\ue201\ue202') | st.characters(exclude_categories=["Cs"]), max_size=20
)


@given(ODD, st.sampled_from(["NAME", '\ue200entity\ue202["a","NAME"]\ue201', "```\nNAME\n```", "\ue203NAME\ue204"]))
def test_no_text_holds_what_a_database_refuses(name: str, form: str) -> None:
    text = clean_answer(form.replace("NAME", name)).text
    text.encode()
    assert "\0" not in text
    assert "\r\n" not in text


def test_an_escaped_nul_in_an_entitys_name_goes_too() -> None:
    assert clean_answer('\ue200entity\ue202["company","A\\u0000B","hint"]\ue201').text == "AB"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a title", "a title"),
        ("  two\n\nlines\tand a tab  ", "two lines and a tab"),
        ("a\u2028b\u3000c\x85d", "a b c d"),
        ("a\0b", "ab"),
        (" \n\t", ""),
        ("", ""),
    ],
)
def test_one_line_has_single_spaces_and_no_line_break(text: str, line: str) -> None:
    assert one_line(text) == line


def test_half_a_surrogate_in_a_file_is_a_replacement_character_in_every_text() -> None:
    """The decoder's part of the rule, seen from the end: in titles, texts, names of files and of entities."""
    text = r"a\ud83d \ue200entity\ue202[\"x\",\"b\\ude00\"]\ue201"
    metadata = r'{"attachments":[{"name":"\udfff"}]}'
    node = r'{"message":{"author":{"role":"assistant"},"content":{"parts":["%s"]},"metadata":%s}}'
    found = extract(rb'{"title":"\ud800","mapping":{"n":%s}}' % (node % (text, metadata)).encode())
    assert isinstance(found, Conversation)
    (message,) = found.messages
    assert (found.title, message.text, message.attachments) == ("\ufffd", "a\ufffd b\ufffd", ("\ufffd",))
