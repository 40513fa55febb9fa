"""Whether a destination refuses single conversations, or everything that an import brings: decisions only.

A quota, a policy or a trigger that refuses every row is no fault of a conversation: such an import fails, and keeps no
rejects. The rule is the same within one write (`FirstRefusals`) and for the results of all workers (`Refusals`).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ray_import.destinations.postgres.sqlstates import everything_refused
from ray_import.errors import EverythingRefused
from ray_import.records import BatchResult

FIRST_CONVERSATIONS = 20
"""If so many are refused with one code and none is taken, everything is refused."""
LEAST_AT_THE_END = 2
"""The same for an import that has no more conversations: one alone may be to blame."""
FOREIGN_KEY_VIOLATION = "23503"
REFUSED = "refused:"
"""How the reasons of such rejects begin; the destination's code follows."""


@dataclass(slots=True)
class Refusals:
    """How many conversations a destination has taken, and how many it has refused, by code.

    Taken is only what has written chunks: a conversation without messages writes none, so a quota on chunks lets it
    pass. Those that never reached the destination (damaged ones, say) count for neither. What is `unchanged` was taken
    by an earlier import: that says nothing of a quota of today, but that the refused ones are not all.
    """

    taken: int = 0
    unchanged: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def add(self, result: BatchResult) -> None:
        """Counts what became of a batch."""
        counts = result.counts
        self.taken += counts.imported
        self.unchanged += counts.unchanged
        self.refused.update(
            reject.reason.removeprefix(REFUSED) for reject in result.rejects if reject.reason.startswith(REFUSED)
        )

    def code_of_all(self, *, at_end: bool = False) -> str | None:
        """The one code with which everything is refused; None if something was taken, or too little was tried."""
        if self.taken or len(self.refused) != 1:
            return None
        [(code, count)] = self.refused.items()
        are_all = at_end and not self.unchanged
        return code if count >= (LEAST_AT_THE_END if are_all else FIRST_CONVERSATIONS) else None


class FirstRefusals:
    """Stops a write if its first conversations are all refused with one code and the import has put none in.

    `takes_none` is told the content hashes of these, see `Sink.takes_none`; it is called once at most.
    """

    def __init__(self, takes_none: Callable[[Sequence[str]], bool]) -> None:
        self._takes_none = takes_none
        self._refusals = Refusals()
        self._hashes: list[str] = []

    def took(self, conversations: int) -> None:
        """So many have written chunks."""
        self._refusals.taken += conversations

    def refused(self, content_hash: str, code: str) -> None:
        """One was refused. Raises EverythingRefused."""
        self._refusals.refused[code] += 1
        self._hashes.append(content_hash)
        if self._refusals.code_of_all() is None:
            return
        if self._takes_none(self._hashes):
            raise everything_refused(code)
        self.took(1)  # by another worker, or it was found to be a fault of these conversations before


def unknown_user(user_id: str) -> EverythingRefused:
    """What an import fails with whose user id violates a foreign key."""
    why = f"a foreign key on the user id rejects it ({FOREIGN_KEY_VIOLATION})"
    hint = "Add the user to the referenced table, or give another --user-id."
    return EverythingRefused(f"The database does not know the user {user_id}: {why}.", hint, FOREIGN_KEY_VIOLATION)
