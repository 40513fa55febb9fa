"""Which worker makes whose profile, and what becomes of users whose worker was lost. Knows no Ray."""

from collections import Counter, deque
from collections.abc import Iterable

MOST_LOSSES = 3
"""So often the worker of a user may be lost; then the user is given up."""

ALONE_AFTER_LOSSES = 2
"""From then on the user has a worker alone: who ends workers takes no others along."""


class Assignments:
    """Users who wait, and those that workers have. A worker has `at_once` users at the most."""

    def __init__(self, user_ids: Iterable[str], at_once: int) -> None:
        self._at_once = at_once
        self._waiting = deque(dict.fromkeys(user_ids))
        self._alone: deque[str] = deque()
        self._losses: Counter[str] = Counter()
        self._had_by: dict[int, set[str]] = {}

    @property
    def open(self) -> int:
        """How many users are not at their end."""
        return len(self._waiting) + len(self._alone) + sum(map(len, self._had_by.values()))

    def next_for(self, worker: int, workers: int) -> str | None:
        """A user for this one of so many workers, which share what there is. None where it has enough, or nobody
        waits."""
        has = self._had_by.setdefault(worker, set())
        if any(self._is_alone(user_id) for user_id in has):
            return None
        if self._alone and not has:
            return self._given(worker, self._alone)
        most = min(self._at_once, -(-self.open // max(workers, 1)))
        return self._given(worker, self._waiting) if self._waiting and len(has) < most else None

    def users_of(self, worker: int) -> list[str]:
        """Whom this worker has."""
        return sorted(self._had_by.get(worker, ()))

    def done(self, worker: int, user_id: str) -> None:
        """This user has come to the end."""
        self._had_by[worker].discard(user_id)

    def lost(self, worker: int) -> list[str]:
        """The worker is gone. Its users wait again, but for those that are given up: these are returned."""
        given_up = []
        users = self.users_of(worker)
        self._had_by.pop(worker, None)
        for user_id in users:
            self._losses[user_id] += 1
            if self._losses[user_id] >= MOST_LOSSES:
                given_up.append(user_id)
            elif self._is_alone(user_id):
                self._alone.append(user_id)
            else:
                self._waiting.appendleft(user_id)
        return given_up

    def give_up_waiting(self) -> list[str]:
        """Nobody else gets a worker. Returns those who waited for one."""
        waiting = [*self._waiting, *self._alone]
        self._waiting.clear()
        self._alone.clear()
        return waiting

    def _is_alone(self, user_id: str) -> bool:
        return self._losses[user_id] >= ALONE_AFTER_LOSSES

    def _given(self, worker: int, queue: deque[str]) -> str:
        user_id = queue.popleft()
        self._had_by[worker].add(user_id)
        return user_id
