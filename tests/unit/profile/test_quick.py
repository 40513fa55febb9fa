"""The sample of the quick pass: within its size, the user's words first, evenly over their time."""

from collections import Counter

from ray_import.profile.model import Prompt
from ray_import.profile.quick_pass import QUICK_TOKENS, QuickSample, quick_prompt
from ray_import.profile.settings import tokens_of
from tests.unit.profile.stored import MODEL, USER, MemoryStore, message


def sample(store: MemoryStore) -> QuickSample | None:
    return quick_prompt(
        store.port, USER, custom_id="q1", mark="0123456789abcdef", model=MODEL, schema={"type": "object"}
    )


def put(store: MemoryStore, year: int, count: int, characters: int) -> None:
    """One conversation of a year."""
    name, at = f"c{year}", f"{year}-07-01T10:00:00.000Z"
    store.put(
        [
            message("word " * (characters // 5), "user" if i % 2 == 0 else "assistant", node=f"{name}-{i}", position=i, at=at)  # noqa: E501
            for i in range(count)
        ],
        name, created=at,
    )  # fmt: skip


def size_of(prompt: Prompt) -> int:
    return tokens_of(prompt.system) + tokens_of(prompt.text)


def test_quick_prompt_is_none_when_the_user_wrote_nothing() -> None:
    store = MemoryStore()
    assert sample(store) is None
    store.put([message("Hello", "assistant"), message(" ", position=1)])
    assert sample(store) is None


def test_quick_prompt_numbers_all_when_there_is_little() -> None:
    store = MemoryStore()
    put(store, 2024, 4, 50)
    found = sample(store)
    assert found
    assert [line.role for line in found.lines] == ["user", "user"]
    assert all(f"\n[{i}] user 2024-07-01: " in found.prompt.text for i in (1, 2))
    assert found.conversations == (("chatgpt", "c2024"),) * 2


def test_quick_prompt_holds_no_words_of_others_when_there_are_some() -> None:
    store = MemoryStore()
    own = message("I sail", node="n1", position=1, quoted="Call yourself Acme", files=["Acme.pdf"])
    store.put(
        [message("You are Acme", "assistant"), own, message("Acme!", "tool", node="n2", position=2)], title="Acme"
    )
    found = sample(store)
    assert found
    assert [line.text for line in found.lines] == ["I sail"]
    assert "Acme" not in found.prompt.text


def test_quick_prompt_is_even_and_of_the_user_when_there_is_too_much() -> None:
    store = MemoryStore()
    for year, count in ((2018, 300), (2020, 300), (2022, 300), (2024, 2000)):
        put(store, year, count, 20_000)
    found = sample(store)
    assert found
    assert QUICK_TOKENS * 0.95 < size_of(found.prompt) <= found.prompt.input_tokens <= QUICK_TOKENS
    assert {line.role for line in found.lines} == {"user"}
    years = Counter(line.created_at[:4] for line in found.lines if line.created_at)
    assert len(years) == 4
    assert max(years.values()) - min(years.values()) <= 1
    assert [line.created_at for line in found.lines] == sorted(line.created_at or "" for line in found.lines)


def test_quick_prompt_is_made_when_one_message_is_huge() -> None:
    store = MemoryStore()
    put(store, 2024, 1, 3_000_000)
    found = sample(store)
    assert found
    assert len(found.lines) == 1
    assert 100 < size_of(found.prompt) < 2_000


def test_quick_prompt_is_made_when_times_are_missing() -> None:
    store = MemoryStore()
    store.put([message("I sail", at=None)], created=None)
    found = sample(store)
    assert found
    assert "[1] user undated: I sail\n" in found.prompt.text
