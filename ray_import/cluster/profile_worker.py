"""The actor that plans, packs, checks and merges profiles. Its calls are made by `cluster.claude_calls`."""

from functools import cached_property
from typing import Any

from ray_import.cluster.claude_calls import remote_calls
from ray_import.cluster.failures import answered
from ray_import.destinations.base import Destination, Sink
from ray_import.errors import ImporterError
from ray_import.pipeline.lease import is_dead, this_process
from ray_import.profile.lease import Heartbeats, Holder
from ray_import.profile.many_users import report_of
from ray_import.profile.progress import ProfileProgress
from ray_import.profile.report import ProfileReport
from ray_import.profile.settings import ProfileSettings


class ProfileWorker:
    """An async actor: while one user waits for an answer, another one's is checked. It has a connection of its own to
    the destination, and gives errors as values (see `cluster.failures`)."""

    def __init__(self, number: int, destination: Destination, settings: ProfileSettings, calls: Any) -> None:
        self._number = number
        self._destination = destination
        self._settings = settings
        self._calls = remote_calls(calls, number, settings)
        self._holder = Holder(this_process(), is_dead)
        self._heartbeats = Heartbeats(lambda: destination.open(create=False), self._holder)
        self._at_work: dict[str, ProfileProgress] = {}

    def __repr__(self) -> str:
        return f"ProfileWorker({self._number})"

    async def ready(self) -> str | ImporterError:
        """Answers once the worker can work, with the name under which it holds runs."""
        return await answered(self._begin())

    async def make(self, user_id: str) -> ProfileReport | ImporterError:
        """Makes the profile of a user."""
        return await answered(self._make(user_id))

    async def progress(self) -> list[ProfileProgress]:
        """How far its users are."""
        return list(self._at_work.values())

    def show(self, progress: ProfileProgress) -> None:
        self._at_work[progress.user_id] = progress

    async def _begin(self) -> str:
        _ = self._sink
        return self._holder.name

    @cached_property
    def _sink(self) -> Sink:
        """Opened at the first call, in the thread of the loop: an error of the constructor would lose its type."""
        sink = self._destination.open(create=False)
        self._heartbeats.__enter__()
        return sink

    async def _make(self, user_id: str) -> ProfileReport:
        try:
            return await report_of(
                self._sink, user_id, self._settings, self._calls, self._holder, self._heartbeats, self
            )
        finally:
            self._at_work.pop(user_id, None)
