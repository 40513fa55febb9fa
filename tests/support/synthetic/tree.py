"""The mapping of one conversation while it grows."""

from functools import lru_cache
from random import Random
from typing import Literal

import orjson
from orjson import Fragment

Shape = Literal["full", "slim"]
Content = dict[str, object]
SLIM_USERS_WITH_METADATA = 0.3  # share of user messages that keep their metadata in the slim shape


class Tree:
    """Mints ids and times, and writes nodes in the shape asked for.

    Ids are unique over all trees of one random generator. Times rise from `start` (epoch seconds).
    """

    def __init__(self, rng: Random, shape: Shape, start: float) -> None:
        self.mapping: dict[str, dict[str, object]] = {}
        self.messages = 0
        self.clock = start
        self._rng = rng
        self._full = shape == "full"
        self._children: dict[str, list[str]] = {}

    def new_id(self) -> str:
        digits = f"{self._rng.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{digits[16:20]}-{digits[20:]}"

    def add_root(self) -> str:
        key = "client-created-root" if self._rng.random() < 0.6 else self.new_id()
        self._add_node(key, None, None)
        return key

    def add(self, parent: str, sender: str, content: Content, metadata: Fragment, *, recipient: str = "all") -> str:
        """Hang a message under `parent`, return its node's key. `sender` is a role or the name of a tool."""
        key = self.new_id()
        self.clock += self._rng.random() * 60
        message: dict[str, object] = {
            "id": key,
            "author": author(sender, full=self._full),
            "create_time": self.clock if content["content_type"] != "user_editable_context" else None,
        }
        if self._full:
            message["update_time"] = None
            message["content"] = content
            message["status"] = "finished_successfully"
            message["end_turn"] = True if sender == "assistant" and recipient == "all" else None
            message["weight"] = 0.0 if sender == "system" else 1.0
            message["metadata"] = metadata
            message["recipient"] = recipient
            message["channel"] = None
        else:
            message["content"] = content
            if sender != "user" or self._rng.random() < SLIM_USERS_WITH_METADATA:
                message["metadata"] = metadata
        self.messages += 1
        self._add_node(key, message, parent)
        return key

    def _add_node(self, key: str, message: dict[str, object] | None, parent: str | None) -> None:
        if not self._full:
            self.mapping[key] = {"id": key, "parent": parent, "message": message}
            return
        children: list[str] = []
        self.mapping[key] = {"id": key, "message": message, "parent": parent, "children": children}
        self._children[key] = children
        if parent is not None:
            self._children[parent].append(key)


@lru_cache(maxsize=64)
def author(sender: str, *, full: bool) -> Fragment:
    """The serialised author object; the slim shape has no metadata in it."""
    known = sender in ("user", "assistant", "system")
    fields: dict[str, object] = {"role": sender if known else "tool", "name": None if known else sender}
    return Fragment(orjson.dumps(fields | {"metadata": {}} if full else fields))
