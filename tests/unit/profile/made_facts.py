"""Facts made for tests."""

from typing import Any

from hypothesis import strategies as st

from ray_import.destinations.profiles import Fact
from ray_import.profile.merging import Decision, Relation
from ray_import.profile.settings import CATEGORIES


def day(number: int) -> str:
    """So many days after the beginning of May 2024."""
    return f"2024-05-{number + 1:02}T12:00:00.000Z"


def made_fact(key: str, statement: str, said: int | None = 0, **values: Any) -> Fact:
    """A fact of the category `preference`, said on a day."""
    given: dict[str, Any] = {
        "id": key,
        "unit_id": "unit",
        "category": "preference",
        "subject": "",
        "statement": statement,
        "quote": f"I said: {statement}",
        "product": "chatgpt",
        "conversation_id": "conversation",
        "node_id": f"node-{key}",
        "said_at": None if said is None else day(said),
    }
    return Fact(**given | values)


STATEMENTS = (
    "The user prefers tea to coffee in the morning.",
    "the user prefers TEA to coffee, in the morning",
    "The user prefers coffee to tea in the morning.",
    "The user prefers teas to coffee in the morning.",
    "The user lives in Berlin.",
    "The user lives in Lisbon.",
    "茶が好きです。",
    "茶が好きです",
    "!!!",
)


@st.composite
def facts_and_decisions(draw: st.DrawFn) -> tuple[list[Fact], list[Decision]]:
    """Facts that say the same, nearly so or the contrary, with ties and without times; decisions of all kinds."""
    facts = [
        made_fact(
            f"f{i}",
            draw(st.sampled_from(STATEMENTS)),
            draw(st.none() | st.integers(0, 4)),
            category=draw(st.sampled_from(CATEGORIES[:2])),
            subject=draw(st.sampled_from(("", "tea", "home"))),
        )
        for i in range(draw(st.integers(0, 9)))
    ]
    ids = [*(fact.id for fact in facts), "gone"]
    relations: st.SearchStrategy[Relation] = st.sampled_from(("same", "contradicts", "different"))
    decision = st.builds(Decision, st.sampled_from(ids), st.sampled_from(ids), relations)
    return facts, draw(st.lists(decision, max_size=8))
