"""How much of the bytes of all exports is done."""

from collections.abc import Iterable, Mapping, Sequence

from ray_import.bulk.user_import import UserImport
from ray_import.sink.port import DONE_STATES, RunUser


class Sizes:
    """The sizes of the exports of a run, and which of them are done.

    `known_bytes` are sizes of exports as they are stored, by user id, as far as a look from here tells them. For other
    users it is the JSON in the export, once a reader knows that. A size does not change after it is known.
    """

    def __init__(self, known_bytes: Mapping[str, int], users: Sequence[RunUser]) -> None:
        self._sizes = {user.user_id: known_bytes[user.user_id] for user in users if user.user_id in known_bytes}
        self._unknown = {user.user_id for user in users} - self._sizes.keys()
        self._total = sum(self._sizes.values())
        self._ended = set[str]()
        self._done = 0
        for user in users:
            self.is_now(user)

    def opened(self, user_id: str, bytes_total: int | None) -> None:
        """A reader has opened the export of the user, which has `bytes_total` of JSON; None where that is not known."""
        if bytes_total is not None and user_id in self._unknown:
            self._unknown.remove(user_id)
            self._sizes[user_id] = bytes_total
            self._total += bytes_total

    def is_now(self, user: RunUser) -> None:
        """The user is in this state now. Once the import has ended, well or not, an unknown size counts as 0."""
        if user.state in DONE_STATES and user.user_id not in self._ended:
            self._ended.add(user.user_id)
            self._unknown.discard(user.user_id)
            self._done += self._sizes.get(user.user_id, 0)

    def share(self, active: Iterable[UserImport]) -> float | None:
        """How much of all bytes is done, from 0 to 1; None where a size is not known, or all are 0.

        Of the exports that are read at this moment, what is read counts in proportion, if their JSON has a known size.
        """
        part = 0.0
        for one in active:
            user_id = one.user.user_id
            self.opened(user_id, one.bytes_total)
            if one.bytes_total and user_id in self._sizes:
                part += self._sizes[user_id] * min(1.0, one.bytes_read / one.bytes_total)
        if self._unknown or not self._total:
            return None
        return min(1.0, (self._done + part) / self._total)
