"""Begins the imports of the users of a run."""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol

from ray_import.bulk.outcome import REJECTS_KEPT
from ray_import.bulk.ports import Opened, Readers
from ray_import.bulk.user_import import UserImport
from ray_import.bulk.users import UserSource, seen_version
from ray_import.chunks.rows import Import
from ray_import.importing.profile import profile_of
from ray_import.importing.work import Work
from ray_import.records import Problem
from ray_import.settings import ImportOptions, ImportSettings
from ray_import.sink.port import RunUser, Sink


class MakeImport(Protocol):
    """Begins to read a user's export."""

    def __call__(self, user: RunUser, *, gives_up: bool) -> UserImport:
        """See `Readers.read`. Raises ConfigError if the source is not a valid address."""


@dataclass(frozen=True, slots=True)
class Imports:
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
        of = Import(str(uuid.uuid4()), user.user_id, time.time())
        options = self.options
        work = Work(
            of, self.settings, prune=options.prune, force=options.force, reject_limits=REJECTS_KEPT, source=user.source
        )
        profile = profile_of(of, self.options)
        return UserImport(replace(user, version=seen), work, reading, known_version, self.sink, profile)


@dataclass(frozen=True, slots=True)
class Unchanged:
    """See `Reading`: of an export that nobody needs to read."""

    version: str
    waits_on: ClassVar[None] = None
    of_server: ClassVar[bool] = False
    problems: ClassVar[Sequence[Problem]] = ()

    def poll(self) -> Opened:
        """See `Reading.poll`."""
        return Opened(self.version, None)

    def close(self) -> None:
        """See `Reading.close`."""
