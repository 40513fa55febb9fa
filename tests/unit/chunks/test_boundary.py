"""extraction.md §6: cut at a paragraph, a sentence, a word, and only then anywhere, never inside a code point."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.chunks.boundary import first_boundary, last_boundary

PARAGRAPH = ("\n\n",)
SENTENCE = ("\n", ". ", "! ", "? ", "。", "！", "？")
WORD = (" ", "\t", "\u3000", "、", "，")


def pieces(text: str, at: int) -> tuple[str, str]:
    return text.encode()[:at].decode(), text.encode()[at:].decode()


@pytest.mark.parametrize(
    ("first", "rest"),
    [
        ("One. Two\nthree.\n\n", "Four. Five six"),
        ("One two. Three.\n\n\n\n", "Four five six"),
        ("One two three.\n", "Four five six"),
        ("One two three. ", "Four five six"),
        ("One two three! ", "Four five six"),
        ("One two three? ", "Four five six"),
        ("一二三。", "四、五六"),
        ("一二三！", "四 五六"),
        ("一二三？", "四五六"),
        ("One two, three ", "fourfivesixseven"),
        ("one\ttwo\t", "threefourfivesix"),
        ("一二\u3000", "三四五六七"),
        ("一二、三、", "四五六七"),
        ("一二，", "三四五六"),
        ("v1.2.3,x:y;", "onewordtheendofwhich"),
    ],
)
def test_a_piece_ends_at_the_last_paragraph_else_sentence_else_word_else_anywhere(first: str, rest: str) -> None:
    text = (first + rest).encode()
    limit = len(first.encode()) + (4 if first[-1] in " \n\t。！？、，\u3000" else 0)
    assert pieces(first + rest, last_boundary(text, 0, limit)) == (first, rest)


def test_a_paragraph_is_better_than_a_later_sentence_and_that_than_a_later_word() -> None:
    assert last_boundary(b"One two three.\n\nFour. Five six", 0, 24) == len("One two three.\n\n")
    assert last_boundary(b"One two three. Four five six", 0, 24) == len("One two three. ")


def test_a_coarser_boundary_that_would_waste_half_of_the_piece_is_passed_over() -> None:
    text = b"A.\n\nB c d e f g. H i j k l m n"
    assert last_boundary(text, 0, 7) == 4
    assert last_boundary(text, 0, 20) == text.index(b"H")
    assert last_boundary(b"A. " + b"x" * 40, 0, 30) == 30


def test_the_rest_is_one_piece_where_it_fits() -> None:
    assert last_boundary(b"One. Two.\n\nThree", 3, 16) == 16
    assert last_boundary(b"One. Two.\n\nThree", 3, 99) == 16


def test_only_boundaries_between_start_and_limit_count() -> None:
    text = b"One.\n\nTwothreefourfive.\n\nSix"
    assert last_boundary(text, 6, 20) == 20


@pytest.mark.parametrize("text", ["漢" * 20, "é" * 20, "🚀" * 20, "a漢" * 20, "é🚀" * 20])
def test_no_cut_is_inside_a_code_point(text: str) -> None:
    raw = text.encode()
    for start in range(6):
        for limit in range(start + 8, 24):
            end = last_boundary(raw, start, limit)
            assert start < end <= limit
            raw[:end].decode()


MIXED = st.text(st.sampled_from("ab漢🚀é" + "".join((*SENTENCE, *WORD))), min_size=1, max_size=60)


def ends(raw: bytes, kind: tuple[str, ...], begin: int, end: int) -> list[int]:
    """The places where a mark of `kind` ends that lies whole in [begin, end)."""
    sizes = [(mark.encode(), len(mark.encode())) for mark in kind]
    return [at + size for at in range(begin, end) for mark, size in sizes if raw[at : min(at + size, end)] == mark]


@st.composite
def windows(draw: st.DrawFn) -> tuple[bytes, int, int]:
    """A text, a place in it between two characters, and half of the most that a piece there may have."""
    text = draw(MIXED)
    start = draw(st.integers(0, len(text) - 1))
    return text.encode(), len(text[:start].encode()), draw(st.integers(4, 30))


@given(windows())
def test_of_the_best_kind_in_the_later_half_of_a_piece_the_last_is_taken(window: tuple[bytes, int, int]) -> None:
    raw, start, half = window
    limit = start + 2 * half
    end = last_boundary(raw, start, limit)
    if limit >= len(raw):
        assert end == len(raw)
        return
    raw[start:end].decode()
    for kind in (PARAGRAPH, SENTENCE, WORD):
        if places := ends(raw, kind, start + half, limit):
            assert end == max(places)
            return
    assert limit - 4 < end <= limit


@pytest.mark.parametrize(
    ("before", "overlap"),
    [
        ("One. Two\n\n", "three four. Five six, seven eight nine"),
        ("One two. ", "Three four five six seven"),
        ("One two\n", "three four five six seven"),
        ("一、二。", "三、四五六七八"),
        ("one ", "two three four five"),
        ("一、", "二三四五六七"),
    ],
)
def test_an_overlap_begins_after_the_first_paragraph_else_sentence_else_word(before: str, overlap: str) -> None:
    raw = (before + overlap).encode()
    assert pieces(before + overlap, first_boundary(raw, len(before.encode()) - 1, len(raw))) == (before, overlap)
    assert pieces(before + overlap, first_boundary(raw, len(before.encode()), len(raw))) == (before, overlap)


def test_an_overlap_that_may_reach_the_beginning_begins_there() -> None:
    assert first_boundary(b"One. Two", 0, 8) == 0
    assert first_boundary(b"One. Two", -5, 8) == 0


def test_an_overlap_is_not_halved_for_a_boundary() -> None:
    assert first_boundary(b"xxxxxxxxxxxxxxxxxxx. Two", 1, 24) == 1


def test_an_overlap_without_a_boundary_begins_between_two_characters() -> None:
    raw = "漢字漢字".encode()
    assert [first_boundary(raw, start, 12) for start in (1, 2, 3, 4, 9, 10, 11)] == [3, 3, 3, 6, 9, 12, 12]


@given(windows())
def test_of_the_best_kind_in_the_first_half_of_an_overlap_the_first_is_taken(window: tuple[bytes, int, int]) -> None:
    raw, end, half = window
    start = end - 2 * half
    begin = first_boundary(raw, start, end)
    if start <= 0:
        assert begin == 0
        return
    raw[begin:end].decode()
    for kind in (PARAGRAPH, SENTENCE, WORD):
        if places := [at for at in ends(raw, kind, max(start - 3, 0), start + half) if at >= start]:
            assert begin == min(places)
            return
    assert start <= begin < start + 4
