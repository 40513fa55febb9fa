"""The profiles of many users in one process: several at the same time, over the same calls."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ray_import.errors import ImporterError, ModelError
from ray_import.profile.lease import Heartbeats, Holder
from ray_import.profile.progress import ProfileProgress, ProfileReporter
from ray_import.profile.report import ProfileReport
from ray_import.profile.run import Calls, run_profile
from ray_import.profile.settings import ProfileSettings
from ray_import.sink.profiles import ProfileStore

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
        """See `ProfileReporter.show`."""
        former = self._of_users.get(progress.user_id)
        self._of_users[progress.user_id] = progress
        for name in _SUMMED:
            self._sums[name] += getattr(progress, name) - (getattr(former, name) if former else 0)
        self._seconds = max(self._seconds, progress.seconds)
        users = f"{self._done:,} of {self._users:,} users"
        self._reporter.show(replace(progress, user_id=users, seconds=self._seconds, **self._sums))
