"""What a turn draws on: the growing tree, texts of one language, ready metadata, chance."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from orjson import Fragment

from tests.support.synthetic.prose import Prose
from tests.support.synthetic.stock import Stock
from tests.support.synthetic.tree import Content, Tree

T = TypeVar("T")


class Scene:
    """One conversation's surroundings; methods with a `parent` hang one message there and return its key."""

    def __init__(self, rng: Random, tree: Tree, prose: Prose, stock: Stock) -> None:
        self.tree = tree
        self.prose = prose
        self.stock = stock
        self._random = rng.random

    def chance(self, probability: float) -> bool:
        return self._random() < probability

    def count(self, least: int, most: int) -> int:
        return least + int(self._random() * (most - least + 1))

    def pick(self, items: Sequence[T]) -> T:
        # random.choice costs several times as much, and every message picks often.
        return items[int(self._random() * len(items))]

    def words(self) -> str:
        """A short text without characters that JSON inside JSON would have to escape."""
        return self.pick(self.prose.sentences).replace('"', "").replace("\\", "")

    def file(self) -> str:
        return f"file-service://file-{int(self._random() * 1e15):x}"

    def image(self) -> Content:
        metadata = {"dalle": None, "gizmo": None, "container_pixel_height": 1024, "sanitized": True}
        pointer = {"content_type": "image_asset_pointer", "asset_pointer": self.file(), "size_bytes": 183_245}
        return pointer | {"width": 1024, "height": 768, "fovea": None, "metadata": metadata}

    def ask(self, parent: str, metadata: Fragment | None = None) -> str:
        content = text_content(self._prompt())
        return self.tree.add(parent, "user", content, metadata or self.pick(self.stock.user))

    def answer(self, parent: str, text: str | None = None, metadata: Fragment | None = None) -> str:
        if text is None:
            text = f"{self.pick(self.prose.answers)}\n\n{self.pick(self.prose.sentences)}"
        return self.tree.add(parent, "assistant", text_content(text), metadata or self.pick(self.stock.assistant))

    def call(self, parent: str, tool: str, code: str) -> str:
        content: Content = {
            "content_type": "code",
            "language": "unknown",
            "response_format_name": None,
            "text": code,
        }
        return self.tree.add(parent, "assistant", content, self.pick(self.stock.call), recipient=tool)

    def result(self, parent: str, tool: str, content: Content, metadata: Fragment | None = None) -> str:
        return self.tree.add(parent, tool, content, metadata or self.pick(self.stock.result))

    def quote(self, parent: str, tool: str, url: str) -> str:
        page = self.pick(self.prose.pages)
        content: Content = {"content_type": "tether_quote", "url": url, "domain": "example.org", "text": page}
        return self.result(parent, tool, content | {"title": page[:40], "tether_id": None})

    def hide(self, parent: str) -> str:
        """An empty system message that the app does not show."""
        return self.tree.add(parent, "system", text_content(""), self.pick(self.stock.hidden))

    def _prompt(self) -> str:
        luck = self._random()
        if luck < 0.70:
            return self.pick(self.prose.sentences)
        if luck < 0.96:
            return self.pick(self.prose.paragraphs)
        if luck < 0.9999:
            return f"{self.pick(self.prose.sentences)}\n\n{self.pick(self.prose.pages)}"
        return "\n\n".join(self.pick(self.prose.pages) for _ in range(self.count(60, 200)))


def text_content(text: str) -> Content:
    return {"content_type": "text", "parts": [text]}
