"""An open run over many users: its users, their progress, the exports, and the destination."""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol

from ray_import.chunks.rows import ImportJob
from ray_import.destinations.base import DONE_STATES, WHOLE_STATES, Destination, RunKey, RunUser, Sink
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.bucket import SelectedUsers
from ray_import.pipeline.executor import Readers, ReadStarted
from ray_import.pipeline.lease import Heartbeat, begin_run, let_go, lost, this_process
from ray_import.pipeline.profile_table import profile_of
from ray_import.pipeline.report import REJECTS_KEPT, RunReport
from ray_import.pipeline.selection import UserSelection
from ray_import.pipeline.user_import import UserImport
from ray_import.pipeline.users import UserSource, seen_bytes, seen_version
from ray_import.records import Problem
from ray_import.settings import ImportOptions, ImportSettings
from ray_import.source.address import label_of, path_of


class MakeImport(Protocol):
    """Begins to read a user's export."""

    def __call__(self, user: RunUser, *, gives_up: bool) -> UserImport:
        """See `Readers.read`. Raises ConfigError if the source is not a valid address."""


@dataclass(frozen=True, slots=True)
class UserImportFactory:
    """See `MakeImport`. `sources` are by user, `versions` as `RunLedger.versions` gives them.

    With `options.force` an export is also read if its version is imported already.
    """

    readers: Readers
    sink: Sink
    settings: ImportSettings
    sources: Mapping[str, UserSource]
    versions: Mapping[str, tuple[str, str]]
    options: ImportOptions = field(default_factory=ImportOptions)

    def __call__(self, user: RunUser, *, gives_up: bool) -> UserImport:
        """Begins to read the export of `user`, unless its version, as far as it is seen from here, is imported already.

        Of a second run over the same users that look is nearly all, and a reader costs many times as much.
        """
        named = self.sources[user.user_id]
        label, version = self.versions.get(user.user_id, ("", ""))
        known_version = version if label == user.source and not self.options.force else ""
        seen = seen_version(named, self.settings.read.sources)
        is_in = known_version and known_version == seen
        reading = Unchanged(version) if is_in else self.readers.read(named.source, known_version, gives_up=gives_up)
        job = ImportJob(str(uuid.uuid4()), user.user_id, time.time())
        options = self.options
        work = BatchContext(
            job, self.settings, prune=options.prune, force=options.force, reject_limits=REJECTS_KEPT, source=user.source
        )
        profile = profile_of(job, self.options)
        return UserImport(replace(user, version=seen), work, reading, known_version, self.sink, profile)


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A `Reading` of an export that is unchanged, and is not read."""

    version: str
    waits_on: ClassVar[None] = None
    of_server: ClassVar[bool] = False
    problems: ClassVar[Sequence[Problem]] = ()

    def poll(self) -> ReadStarted:
        return ReadStarted(self.version, None)

    def close(self) -> None:
        """Does nothing: no source is open."""


@dataclass(frozen=True, slots=True)
class BulkRun:
    """`users` are those that are to be imported, as far as they are; `others_wait` tells whether that is not the end of
    it: the run was begun over more of those who are listed."""

    id: str
    key: RunKey
    users: Sequence[RunUser]
    others_wait: bool
    sources: Mapping[str, UserSource]
    passed_over: Mapping[str, int] | None
    settings: ImportSettings
    options: ImportOptions
    destination: Destination
    sink: Sink

    @property
    def reads_here(self) -> bool:
        """Whether any export is a file of this machine."""
        return any(path_of(user.source) is not None for user in self.sources.values())

    def known_bytes(self) -> dict[str, int]:
        """The size of each user's export as it is stored, where the file or the bucket's listing tells it."""
        rules = self.settings.read.sources
        sizes = {user.user_id: seen_bytes(self.sources[user.user_id], rules) for user in self.users}
        return {user_id: size for user_id, size in sizes.items() if size is not None}

    def imports(self, readers: Readers) -> UserImportFactory:
        """What begins to read a user's export, by what is in now: since the run was opened, a machine may have been
        waited for."""
        versions = self.sink.versions(self.settings.rows_hash)
        return UserImportFactory(readers, self.sink, self.settings, self.sources, versions, self.options)

    def save(self, users: Sequence[RunUser]) -> None:
        """Stores the progress of these users. Raises LeaseLost if another process has taken the run over."""
        if not self.sink.save_users(self.id, this_process(), users):
            raise lost("run")

    @property
    def is_done(self) -> bool:
        """Whether all users are finished."""
        return all(user.state in DONE_STATES for user in self.users)

    def report(self, users: Sequence[RunUser], bytes_read: int, seconds: float, workers: int) -> RunReport:
        """Returns the result of the run, from the states of its users."""
        url = self.destination.url
        return RunReport(self.id, self.key.what, url, tuple(users), bytes_read, seconds, workers, self.passed_over)

    def ended(self) -> None:
        """Marks the run as completed once all `users` are finished."""
        if self.others_wait:
            self.sink.let_go(this_process())
        else:
            self.sink.complete_run(self.id, this_process())


@contextmanager
def opened_run(
    which: UserSelection,
    found: SelectedUsers,
    settings: ImportSettings,
    destination: Destination,
    sink: Sink,
    options: ImportOptions,
) -> Iterator[BulkRun]:
    """The run over these users that was interrupted, or a new one. It is this process's until the context ends.

    Raises ImportRunning where another process is at one over the same users.
    """
    key = RunKey(which.what, settings.rows_hash, options.force)
    run_id = sink.interrupted_run(key) or str(uuid.uuid4())
    begin_run(sink, run_id, key)

    def open_sink() -> Sink:
        return destination.open(create=False)

    try:
        with Heartbeat(open_sink):
            named = [RunUser(user.user_id, label_of(user.source)) for user in found.users]
            in_run = sink.add_users(run_id, named)
            any_whole = any(user.state in WHOLE_STATES for user in in_run)
            whole = sink.versions(settings.rows_hash) if any_whole else {}
            users = which.as_far_as_they_are(found.users, in_run, whole, settings.read.sources)
            others_wait = any(user.state not in DONE_STATES and user.user_id in found.others for user in in_run)
            sources = {user.user_id: user for user in found.users}
            yield BulkRun(
                run_id, key, users, others_wait, sources, found.passed_over, settings, options, destination, sink
            )
    except BaseException:
        let_go(open_sink)
        raise
