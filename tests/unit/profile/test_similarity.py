"""Texts that resemble each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.profile.similarity import MOST_COMPARED, MOST_PAIRS, alike, normalised, resemblance


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Prefers tea.", "prefers  TEA"),
        ("Ｔｅａ (green)", "tea, green"),
        ("It's late", "Its late!"),
        ("Straße", "STRASSE"),
        ("cafe\u0301", "café"),
        ("a\u200bb", "ab"),
    ],
)
def test_normalised_is_equal_when_only_form_differs(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("C#", "C++"),
        ("C", "C#"),
        ("-5 degrees", "5 degrees"),
        ("schon", "schön"),
        ("50%", "50"),
        ("3.5", "35"),
        ("?", "!"),
    ],
)
def test_normalised_differs_when_the_meaning_may(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@given(st.text(st.characters(), max_size=40))
def test_normalised_is_stable_and_can_be_encoded(text: str) -> None:
    found = normalised(text)
    assert normalised(found) == found
    found.encode()


def test_alike_finds_nearly_all_near_pairs_and_no_others() -> None:
    words = [f"{chr(97 + i % 26) * 3}{chr(97 + i // 26) * 4}" for i in range(300)]
    texts = sorted(
        f"{' '.join(words[(7 * i + k) % 300] for k in range(9))} at {night}"
        for i in range(80)
        for night in ("night", "dawn")
    )
    found = {(one, other): by for one, other, by in alike(texts, 0.7)}
    pairs = [(one, other) for other in range(len(texts)) for one in range(other)]
    expected = {pair for pair in pairs if resemblance(texts[pair[0]], texts[pair[1]]) >= 0.7}
    assert len(expected) >= 80
    assert found.keys() <= expected
    assert len(found) >= 0.9 * len(expected)
    assert all(by == resemblance(texts[one], texts[other]) for (one, other), by in found.items())


@pytest.mark.parametrize("count", [100, 1_000])
def test_alike_compares_a_bounded_number_when_all_texts_are_alike(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    compared = []

    def counted(one: str, other: str) -> float:
        compared.append(one)
        return resemblance(one, other)

    monkeypatch.setattr("ray_import.profile.similarity.resemblance", counted)
    texts = sorted(f"the user decided to use the tool of number {i} for this project" for i in range(count))
    pairs = list(alike(texts, 0.5))
    assert count / 2 < len(pairs) <= MOST_PAIRS * count
    assert len(compared) <= MOST_COMPARED * count


def test_alike_takes_long_and_empty_texts() -> None:
    assert list(alike(["", "x", "y" * 100_000], 0.5)) == []
