"""Answers that continue another one: the second half of a program begins inside code (extraction.md §5)."""

from ray_import.extraction.fences import open_fence_after
from ray_import.extraction.text import Cleaned, clean_answer


class Answers:
    """Cleans the assistant's messages of one conversation, each after those above it in the tree.

    Positions are those of the graph's nodes.
    """

    def __init__(self) -> None:
        self._with_fences: dict[int, Cleaned] = {}

    def clean(self, position: int, parent: int | None, text: str) -> Cleaned:
        """The cleaned text of the message at `position`. `parent` is the position of its parent node."""
        has_fences = ("`" in text and "```" in text) or ("~" in text and "~~~" in text)
        cleaned = clean_answer(text, self._open_fence(parent) if has_fences else "")
        if has_fences:
            self._with_fences[position] = cleaned
        return cleaned

    def _open_fence(self, position: int | None) -> str:
        """The fence that is open at the end of an answer: looked for once, and only if an answer with code follows."""
        if position is None or position not in self._with_fences:
            return ""
        answer = self._with_fences[position]
        if answer.open_fence is None:
            answer = self._with_fences[position] = answer._replace(open_fence=open_fence_after(answer.text))
        return answer.open_fence or ""
