"""Values of a wrong type are empty, never an error (format.md §7)."""

import pytest

from ray_import.chatgpt.decode import as_dict, as_label, as_str

ODD = [None, 1, 1.5, True, [], ["a"], b"a"]


@pytest.mark.parametrize("value", [*ODD, "a"])
def test_what_is_no_object_is_an_empty_one(value: object) -> None:
    assert as_dict(value) == {}


@pytest.mark.parametrize("value", [*ODD, {"a": 1}])
def test_what_is_no_string_is_an_empty_one(value: object) -> None:
    assert (as_str(value), as_label(value)) == ("", "")


def test_what_is_of_the_right_type_stays() -> None:
    assert as_dict({"a": 1}) == {"a": 1}
    assert (as_str("a"), as_label("a.b c漢")) == ("a", "a.b c漢")


def test_nul_goes() -> None:
    assert as_str("\0a\0b\0") == "ab"


@pytest.mark.parametrize(
    ("value", "label"),
    [("a\nb", "a\ufffdb"), ("\x1b[31mred", "\ufffd[31mred"), ("\0\u202e", "\ufffd\ufffd"), ("x" * 1000, "x" * 60)],
)
def test_the_name_of_a_count_is_short_and_does_nothing_to_a_terminal(value: str, label: str) -> None:
    assert as_label(value) == label
