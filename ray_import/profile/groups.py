"""Ids joined into groups (union-find)."""

from collections.abc import Iterable


class Groups:
    """Each id is a group of its own at first. A group's name is its smallest id, in whatever order it was joined."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._parents = {key: key for key in ids}

    def of(self, key: str) -> str:
        """The name of the group that the id is in. Raises KeyError for an unknown id."""
        parents = self._parents
        while (parent := parents[key]) != key:
            parents[key] = key = parents[parent]
        return key

    def join(self, one: str, other: str) -> None:
        """Makes one group of two."""
        first, second = sorted((self.of(one), self.of(other)))
        self._parents[second] = first
