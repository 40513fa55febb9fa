"""The categories of facts, in one place: the schema of answers, the check and the pages that show facts use these."""

from typing import Literal, get_args

Category = Literal[
    "preference", "project", "date", "belief", "decision", "person", "work", "interest", "communication"
]  # fmt: skip

CATEGORIES: tuple[Category, ...] = get_args(Category)
