"""extraction.md §5: inline data becomes `[data]`, wrapped or not; in code only from 200 characters on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.chatgpt.text import clean_answer, clean_own_words
from tests.support.strategies import prose

HEAD = "data:image/png;base64,"
LINE = "iVBORw0KGgo/" * 6  # 72 characters
LINES = "\n".join([LINE] * 4)


def clean(text: str) -> str:
    """The same for a user and an assistant."""
    assert clean_own_words(text) == clean_answer(text).text
    return clean_own_words(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"{HEAD}AAAA b", "[data] b"),
        ('{"url":"data:image\\/png;base64,iVBO\\/AAAA\\/BB=="}', '{"url":"[data]"}'),
        (f"({HEAD}\n{LINES})", "([data])"),
        (f"{HEAD}\n{LINES}\nAb1=", "[data]"),
        (f"{HEAD}{LINES}\nAb1=\nand", "[data]\nand"),
        (f"{HEAD}{LINES}\nAb1", "[data]"),
        (f'"{HEAD}{LINE}\nAb1=" b', '"[data]" b'),
        (f"({HEAD}\n{LINE}\nAb1) b", "([data]) b"),
        (f"<{HEAD}\n{LINE}\nAb1> b", "<[data]> b"),
        (f"'{HEAD}{LINE}\n{LINE}'", "'[data]'"),
        (f"{HEAD}\n{LINES}\n\nand", "[data]\n\nand"),
        (f"{HEAD}\r\n{LINE}\r\n{LINE}\r\nA1=\r\nand", "[data]\nand"),
        (f"{HEAD}{LINE}\n{LINE}{LINE}", f"[data]\n{LINE}{LINE}"),
        (f"{HEAD}{LINES}\n{LINE}A", f"[data]\n{LINE}A"),
        (f"{HEAD}{LINES[:59]}\n{LINES[:59]}", f"[data]\n{LINES[:59]}"),
        (f"{HEAD}{LINE}{LINE}\n{LINE}{LINE}", f"[data]\n{LINE}{LINE}"),
        (f"{HEAD}AAAA\nBBBB", "[data]\nBBBB"),
        (f"{HEAD}{LINE}\nAb1=\nand", "[data]\nAb1=\nand"),
        (f"{HEAD}{LINES}\nThanks", "[data]\nThanks"),
        (f"{HEAD}{LINES}\nThanks for it", "[data]\nThanks for it"),
        (f"{HEAD}{LINES}\n2nd is prose", "[data]\n2nd is prose"),
        (f"{HEAD}{LINES}\nStep1: more words", "[data]\nStep1: more words"),
        (f"{HEAD}{LINES}\n-\n  x", "[data]\n-\n  x"),
        (f'"{HEAD}{LINES}\nThanks"', '"[data]\nThanks"'),
        (f"{HEAD}\nAAAA", f"{HEAD}\nAAAA"),
        (f"{HEAD} AAAA", f"{HEAD} AAAA"),
        (f"{HEAD}", f"{HEAD}"),
        ("data:image/svg+xml;utf8,<svg/> data:text/plain,a ;base64,AAAA", None),
    ],
)
def test_inline_data_becomes_a_word_when_it_is_wrapped_or_escaped(text: str, shown: str | None) -> None:
    assert clean(text) == (text if shown is None else shown)


@pytest.mark.parametrize(
    "form", ["`DATA`", "a ``DATA`` b", "```\nDATA\n```", "- ```\n  DATA\n  ```", "~~~\nx = 'DATA'"]
)
def test_inline_data_in_code_becomes_a_word_when_it_has_200_characters(form: str) -> None:
    longest, shortest = (HEAD + "A" * (length - len(HEAD)) for length in (199, 200))
    assert clean(form.replace("DATA", longest)) == form.replace("DATA", longest)
    assert clean(form.replace("DATA", shortest)) == form.replace("DATA", "[data]")


def test_wrapped_data_in_code_becomes_a_word() -> None:
    assert clean(f"```\nx = '{HEAD}\n{LINES}\nAb1='\n```") == "```\nx = '[data]'\n```"


def test_a_users_inline_code_goes_beyond_a_line_of_colons() -> None:
    assert clean_own_words(f"a `b\n:::\n{HEAD}AAAA` c") == f"a `b\n:::\n{HEAD}AAAA` c"


def test_inline_data_takes_nothing_behind_it_when_a_mark_follows() -> None:
    assert clean_answer(f"{HEAD}AAAA\ue200cite\ue202turn0search1\ue201and").text == "[data]and"


@given(prose(), st.integers(60, 128), st.integers(2, 6), st.sampled_from(["", "\n"]), prose())
def test_wrapped_data_becomes_a_word_whatever_its_width(before: str, width: int, n: int, cut: str, after: str) -> None:
    lines = "\n".join(["Ab1/" * 32][0][:width] for _ in range(n))
    assert clean(f"{before}({HEAD}{cut}{lines}\nAb1=) {after}") == f"{before}([data]) {after}"
