"""extraction.md §5: fenced code is left alone, a fence ends with its list item or quote, and answers continue."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.chatgpt.markdown import MOST_CONTAINERS, open_fence_after
from ray_import.chatgpt.messages import Answers
from ray_import.chatgpt.text import clean_answer
from tests.support.strategies import prose

MARK = "\ue200cite\ue202turn0search1\ue201"


@pytest.mark.parametrize(
    "form",
    [
        "- a\n  ```\n  CODE\n\n  CODE\n  ```\n",
        "- a\n  - b\n    ```\n    CODE\n    ```\n",
        "1. a\n\n   ```py\n   CODE\n   ```\n",
        "10) a\n    ~~~\n    CODE\n    ~~~\n",
        "> a\n> ```\n> CODE\n> ```\n",
        "> - ```\n>   CODE\n>   ```\n",
        "- > ```\n  > CODE\n  > ```\n",
        ">```\n>CODE\n>```\n",
        "*\ta\n\n\t```\n\tCODE\n\t```\n",
        "- a\nlazy\n  ```\n  CODE\n  ```\n",
        "   ```\nCODE\n  ```\n",
        "# a\n```\nCODE\n    ```\nCODE\n```\n",
    ],
)
def test_fenced_code_is_left_alone_when_it_stands_in_a_list_or_a_quote(form: str) -> None:
    block = form.replace("CODE", f"x {MARK} y")
    assert clean_answer(f"{block}\nafter{MARK}").text == f"{block}\nafter"


@pytest.mark.parametrize(
    "code",
    ["- ```\n  CODE\n", "> ```\n> CODE\n\n", "- a\n  - ```\n    CODE\n", "1. a\n   ```\n   CODE\n\n",
     "> ```\n> CODE\n", "> - ```\n>   CODE\n", "- > ```\n  > CODE\n", "- a\n\n  ~~~\n  CODE\n"],
)  # fmt: skip
def test_a_fence_ends_with_its_list_item_or_quote_when_nothing_closes_it(code: str) -> None:
    code = code.replace("CODE", f"x {MARK}")
    assert clean_answer(f"{code}after{MARK}\n\nand{MARK}").text == f"{code}after\n\nand"
    assert open_fence_after(code + "after") == ""
    assert open_fence_after(code.rstrip("\n")) in ("```", "~~~")


@pytest.mark.parametrize(
    ("text", "fence"),
    [
        ("a", ""), ("```\na", "```"), ("```\na\n```", ""), ("````\n```\n", "````"), ("~~~\n```\n", "~~~"),
        ("``` a ```\n", ""), ("```a`b\n", ""), ("~~~a`b\n", "~~~"), ("```\n``` x\n", "```"), ("a\n    ```\n", ""),
        ("- - -\n  ```\n", "```"), ("a\n2. ```\n", ""), ("a\n1. ```\n", "```"), ("- a\n2. ```\n", "```"), ("", ""),
    ],
)  # fmt: skip
def test_open_fence_after_is_that_of_commonmark(text: str, fence: str) -> None:
    assert open_fence_after(text) == fence


def test_containers_are_text_when_they_are_too_deep() -> None:
    deep = "> " * (MOST_CONTAINERS + 1)
    assert open_fence_after(f"{deep}```\n{deep}a") == ""


@given(st.lists(st.sampled_from(["- ", "> ", "1. "]), max_size=6), prose())
def test_code_is_left_alone_in_containers_of_any_kind(containers: list[str], code: str) -> None:
    further = "".join(mark if mark == "> " else " " * len(mark) for mark in containers)
    lines = [f"x {MARK} {line}" for line in code.split("\n")]
    block = "\n".join(["".join(containers) + "```", *(further + line for line in lines), further + "```"])
    assert clean_answer(f"{block}\n\nafter{MARK}").text == f"{block}\n\nafter"


# Answers that continue another


def cleaned(*texts: str) -> list[str]:
    """A chain of answers, each of which is the parent of the next."""
    answers = Answers()
    return [answers.clean(i, i - 1 if i else None, text).text for i, text in enumerate(texts)]


CONTINUED = f"x {MARK}\n```\nprose{MARK}\n```sh\ny {MARK}\n```\nend{MARK}"
SHOWN = f"x {MARK}\n```\nprose\n```sh\ny {MARK}\n```\nend"


@pytest.mark.parametrize("before", ["a\n```python\nx", f"a{MARK}\n```\nx", "- a\n  ```\n  x\n", "```\na\n```\n```\nx"])
def test_an_answer_begins_in_code_when_the_one_before_ended_in_it(before: str) -> None:
    assert cleaned(before, CONTINUED)[1] == SHOWN


@pytest.mark.parametrize("mark", [MARK, ""])
def test_an_answer_that_continues_may_be_continued(mark: str) -> None:
    middle = f"x {mark}\n```\nprose{mark}\n~~~\n```\nz"
    last = CONTINUED.replace("```", "~~~")
    shown = middle.replace(f"prose{mark}", "prose")
    assert cleaned("```\na", middle, last) == ["```\na", shown, SHOWN.replace("```", "~~~")]


@pytest.mark.parametrize(
    ("before", "text"),
    [
        ("a\n```\nx\n```", f"{MARK}a\n```\nx"),
        ("a", f"{MARK}a\n```\nx"),
        ("```\nx", f"{MARK}a\n```\nx\n```"),
        ("```\nx", f"{MARK}a\n```py\nx\n```\n```"),
        ("```\nx", f"{MARK}a"),
        ("~~~\nx", f"{MARK}a\n```\nx"),
        ("````\nx", f"{MARK}a\n```\nx"),
    ],
)
def test_an_answer_begins_as_prose_when_it_does_not_continue_code(before: str, text: str) -> None:
    assert cleaned(before, text)[1] == text.removeprefix(MARK)


def test_an_answer_begins_as_prose_when_its_parent_is_not_an_answer() -> None:
    answers = Answers()
    answers.clean(0, None, "```\nx")
    assert answers.clean(2, 1, CONTINUED).text == clean_answer(CONTINUED).text != SHOWN
    assert answers.clean(3, None, CONTINUED).text != SHOWN
    assert answers.clean(4, 0, CONTINUED).text == SHOWN
    assert answers.clean(5, 0, CONTINUED).text == SHOWN
