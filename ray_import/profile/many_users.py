"""The profiles of many users in one process: several at the same time, over the same calls.

Which worker makes whose profile, and what becomes of users whose worker is lost, is decided here, without Ray.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from ray_import.destinations.profiles import ProfileStore
from ray_import.errors import ImporterError, ModelError
from ray_import.profile.lease import Heartbeats, Holder
from ray_import.profile.progress import ProfileProgress, ProfileReporter
from ray_import.profile.report import ProfileReport
from ray_import.profile.run import Calls, run_profile
from ray_import.profile.settings import ProfileSettings

USERS_AT_ONCE = 16
"""By direct calls they share IN_FLIGHT; by batches each waits for its own."""

_SUMMED = ("requests", "expected_requests", "input_tokens", "output_tokens", "usd")


async def run_profiles(
    store: ProfileStore,
    user_ids: Sequence[str],
    settings: ProfileSettings,
    calls: Calls,
    holder: Holder,
    heartbeats: Heartbeats,
    reporter: ProfileReporter,
) -> list[ProfileReport]:
    """A report for each user, in their order. What ends one user's run is in its report, and leaves the others alone;
    but where the API refuses for good, no other run is begun."""
    places = asyncio.Semaphore(USERS_AT_ONCE)
    together = _Together(reporter, len(user_ids))
    refused: list[ImporterError] = []

    async def one(user_id: str) -> ProfileReport:
        async with places:
            if refused:
                return failed_report(user_id, settings, refused[0])
            report = await report_of(store, user_id, settings, calls, holder, heartbeats, together)
            if isinstance(report.error, ModelError):
                refused.append(report.error)
            together.done()
            return report

    return list(await asyncio.gather(*map(one, user_ids)))


async def report_of(
    store: ProfileStore,
    user_id: str,
    settings: ProfileSettings,
    calls: Calls,
    holder: Holder,
    heartbeats: Heartbeats,
    reporter: ProfileReporter,
) -> ProfileReport:
    """Makes the profile of one user. What ends the run, or keeps it from beginning, is in the report."""
    try:
        return await run_profile(store, user_id, settings, calls, holder, heartbeats, reporter)
    except ImporterError as error:
        return failed_report(user_id, settings, error)


def failed_report(user_id: str, settings: ProfileSettings, error: ImporterError) -> ProfileReport:
    """The report of a user of whom no run has begun."""
    return ProfileReport(user_id=user_id, run_id="", model=settings.model, error=error)


class _Together:
    """The progress of all users as one, in the same time for each step however many users there are."""

    def __init__(self, reporter: ProfileReporter, users: int) -> None:
        self._reporter = reporter
        self._users = users
        self._done = 0
        self._seconds = 0.0
        self._of_users: dict[str, ProfileProgress] = {}
        self._sums: dict[str, Any] = dict.fromkeys(_SUMMED, 0)

    def done(self) -> None:
        """One user more has come to the end."""
        self._done += 1

    def show(self, progress: ProfileProgress) -> None:
        former = self._of_users.get(progress.user_id)
        self._of_users[progress.user_id] = progress
        for name in _SUMMED:
            self._sums[name] += getattr(progress, name) - (getattr(former, name) if former else 0)
        self._seconds = max(self._seconds, progress.seconds)
        users = f"{self._done:,} of {self._users:,} users"
        self._reporter.show(replace(progress, user_id=users, seconds=self._seconds, **self._sums))


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
