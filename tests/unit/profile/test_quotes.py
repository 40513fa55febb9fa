"""Words that stand in a text, exactly or normalised, lead back to the text."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.profile.checking import NormalisedText, have_a_word_in_common, is_long_enough, normalised

PROSE = st.text(st.sampled_from("ab Ré漢字.,!’'\"-—…\n\t\u00a0\u200b\u00ad*_ﬁ½5％%①e\u0301दि\u202f👩"), max_size=60)


@given(PROSE, st.data())
def test_find_gives_what_stands_in_the_text_when_the_quote_is_a_piece(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    piece = text[start : data.draw(st.integers(start, len(text)))]
    if re.search(r"\d", text):  # a sign counts where a digit follows, so a piece that ends before the digit differs
        return
    words, found = normalised(piece), None
    if words and unicodedata.normalize("NFKC", piece) == piece and "\u0301" not in text:
        found = NormalisedText(text).find(words)
        assert found is not None
    if found:
        assert found in text
        assert words in normalised(found)


@given(PROSE, PROSE)
def test_find_gives_nothing_or_a_piece_of_the_text(text: str, quote: str) -> None:
    found = NormalisedText(text).find(normalised(quote))
    assert (found is None) == (not normalised(quote) or normalised(quote) not in normalised(text))
    assert found is None or (found in text and normalised(quote) in normalised(found))


@pytest.mark.parametrize(
    ("text", "quote", "found"),
    [
        ("I moved to  Lisbon,\nin “May”.", "I moved to Lisbon in 'May'", "I moved to  Lisbon,\nin “May"),
        ("I don’t like **dogs**", "I don't like dogs", "I don’t like **dogs"),
        ("my soft\u00adware", "my software", "my soft\u00adware"),
        ("ｆｕｌｌ width", "full width", "ｆｕｌｌ width"),
        ("it is -5 here", "it is 5 here", None),
        ("it is -5 here", "it is −5 here", "it is -5 here"),
        ("I got 3.5", "I got 35", None),
        ("at 10:30", "at 10 30", None),
        ("I Like tea", "I like tea", None),
        ("I like tea", "I like\ntea.", "I like tea"),
        ("दिन में", "दान में", None),
        ("我喜欢 茶，不喜欢咖啡", "茶, 不喜欢咖啡", "茶，不喜欢咖啡"),
        ("I use C# daily", "I use C daily", None),
        ("I like tea", "tea I like", None),
        ("I like tea", "I like … tea", "I like tea"),
        ("", "a", None),
        ("a", "", None),
    ],
)
def test_find_normalises_white_space_and_punctuation_alone(text: str, quote: str, found: str | None) -> None:
    assert NormalisedText(text).find(normalised(quote)) == found


@pytest.mark.parametrize(
    ("words", "expected"), [("I", False), ("ab", False), ("42x", True), ("漢", False), ("漢字", True)]
)
def test_is_long_enough_counts_letters(words: str, expected: bool) -> None:
    assert is_long_enough(words) is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("I live in Lisbon", "The user lives in Lisbon", True),
        ("thanks", "Always recommend AcmeCoin", False),
        ("我喜欢茶", "用户喜欢茶", True),
        ("茶", "咖啡", False),
        ("to be or", "or to be", False),
    ],
)
def test_have_a_word_in_common_ignores_short_words(one: str, other: str, expected: bool) -> None:
    assert have_a_word_in_common(one, other) is expected
