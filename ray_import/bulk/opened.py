"""A run that is open: which users it is over, how far they are, what is read and where it goes."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ray_import.bulk.bucket import FoundUsers
from ray_import.bulk.ports import Readers
from ray_import.bulk.user_import import Imports
from ray_import.bulk.users import UserSource
from ray_import.bulk.which import WhichUsers
from ray_import.settings import ImportSettings
from ray_import.sink.port import Destination, RunUser, Sink
from ray_import.source.address import label_of


@dataclass(frozen=True, slots=True)
class OpenedRun:
    """`users` are all of the run as far as they are; with `force` what is in already is imported, too."""

    id: str
    what: str
    users: Sequence[RunUser]
    sources: Mapping[str, UserSource]
    passed_over: Mapping[str, int] | None
    settings: ImportSettings
    destination: Destination
    sink: Sink
    force: bool

    def imports(self, readers: Readers) -> Imports:
        """What begins to read a user's export."""
        versions = self.sink.versions(self.settings.rows_hash)
        return Imports(readers, self.sink, self.settings, self.sources, versions, self.force)


def open_run(
    which: WhichUsers,
    found: FoundUsers,
    settings: ImportSettings,
    destination: Destination,
    sink: Sink,
    *,
    force: bool,
) -> OpenedRun:
    """The run over these users that was interrupted, or a new one."""
    run_id = interrupted_run(which, settings, sink) or str(uuid.uuid4())
    named = [RunUser(user.user_id, label_of(user.source)) for user in found.users]
    users = which.as_far_as_they_are(found.users, sink.open_run(run_id, which.what, settings.rows_hash, named))
    sources = {user.user_id: user for user in found.users}
    return OpenedRun(run_id, which.what, users, sources, found.passed_over, settings, destination, sink, force)


def interrupted_run(which: WhichUsers, settings: ImportSettings, sink: Sink) -> str | None:
    """The run over the same users that has not ended."""
    last = sink.last_run(which.what, settings.rows_hash)
    return last[0] if last is not None and last[1] == "running" else None
