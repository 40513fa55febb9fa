"""Selects the users of a run, from a manifest, a bucket or a table."""

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from ray_import.chatgpt.files import shown
from ray_import.destinations.base import DONE_STATES, WHOLE_STATES, RunUser, Sink
from ray_import.errors import ConfigError
from ray_import.pipeline.bucket import SelectedUsers, newest_exports
from ray_import.pipeline.users import (
    UserSource,
    not_older,
    only_those,
    read_manifest,
    seen_version,
    unique,
    what_is_wrong_with_id,
)
from ray_import.settings import ImportSettings, SourceRules
from ray_import.source.address import absolute, label_of
from ray_import.source.storage import StorageFolder, files_in

_WRONG_LIST = (
    "No list of users is given.",
    "--from-table and --source-column are only valid together.",
    "More than one list of users is given.",
)
"""The error by the number of lists that were given."""


@dataclass(frozen=True, slots=True)
class UserSelection:
    """The list of users, and the filter over it. `since` is in seconds since 1970.

    Raises ConfigError unless exactly one of `manifest`, `bucket` and `table` is given, this one with its column.
    """

    manifest: Path | None = None
    bucket: StorageFolder | None = None
    table: str | None = None
    source_column: str | None = None
    only: tuple[str, ...] = ()
    failed: bool = False
    since: float | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        """See above."""
        given = sum(place is not None for place in (self.manifest, self.bucket, self.table))
        if given == 1 and (self.table is None) == (not self.source_column):
            if self.table is not None and self.since is not None:
                raise ConfigError(
                    "--since cannot be used with --from-table: a table has no dates of exports.",
                    "Remove --since, or select users with --only.",
                )
            return
        raise ConfigError(
            _WRONG_LIST[min(given, 2)],
            "Give --users FILE, --from supabase://BUCKET/FOLDER, or --from-table TABLE with --source-column COLUMN.",
        )

    @property
    def what(self) -> str:
        """The name of the list in the run's row, equal for the same users. A manifest keeps the path as given: a link
        may resolve to another file each time, as in a mounted ConfigMap."""
        if self.manifest is not None:
            return shown(os.path.abspath(self.manifest))  # noqa: PTH100 - `Path.absolute` keeps `..`
        return str(self.bucket) if self.bucket is not None else f"{self.table}.{self.source_column}"

    @property
    def kind(self) -> str:
        """The kind of list, for alerts and metrics, which must not name it."""
        if self.manifest is not None:
            return "manifest"
        return "bucket" if self.bucket is not None else "table"

    def found(self, sink: Sink, settings: ImportSettings) -> SelectedUsers:
        """Returns the users, each with a source.

        Raises ConfigError, also if the list is empty; SourceRefused and its kinds.
        """
        found = self._all(sink, settings)
        if not found.users:
            passed_over = sum((found.passed_over or {}).values())
            told = f"; {passed_over:,} files or rows were skipped" if passed_over else ""
            raise ConfigError(f"{self.what} lists no users{told}.", "Check the name and the contents of the list.")
        users = only_those(found.users, self.only)
        if self.failed:
            lacking = set(sink.lacking_users(self.what, settings.rows_hash))
            users = [user for user in users if user.user_id in lacking]
        nobody_lacking = self.failed and not users
        chosen, unknown = list(users[: self.limit]), 0
        if self.since is not None:
            chosen, unknown = not_older(users, self.since, self.limit, settings.read.sources)
        others = frozenset(user.user_id for user in found.users) - {user.user_id for user in chosen}
        return replace(found, users=chosen, others=others, of_unknown_age=unknown, nobody_lacking=nobody_lacking)

    def _all(self, sink: Sink, settings: ImportSettings) -> SelectedUsers:
        if self.manifest is not None:
            return SelectedUsers([_from_here(user) for user in read_manifest(self.manifest)])
        if self.bucket is not None:
            with closing(files_in(self.bucket, limits=settings.read)) as files:
                return newest_exports(files, self.bucket)
        named = sink.users_of(self.table or "", self.source_column or "")
        users = [UserSource(user_id, source) for user_id, source in named if what_is_wrong_with_id(user_id) is None]
        passed_over = {"no_users": len(named) - len(users)} if len(users) < len(named) else None
        return SelectedUsers([_from_here(user) for user in unique(users)], passed_over)

    def as_far_as_they_are(
        self,
        users: Sequence[UserSource],
        in_run: Sequence[RunUser],
        whole: Mapping[str, tuple[str, str]],
        rules: SourceRules,
    ) -> list[RunUser]:
        """Merges stored progress into the selected users, without their counts; users that must be checked again become
        `pending`. `whole` is what `RunLedger.versions` returned; `rules` say which files may be read."""
        named = {user.user_id: user for user in users}
        return [self._now(named[user.user_id], user, whole, rules) for user in in_run if user.user_id in named]

    def _now(
        self, user: UserSource, before: RunUser, whole: Mapping[str, tuple[str, str]], rules: SourceRules
    ) -> RunUser:
        now = replace(before, source=label_of(user.source), counts={})
        if before.state not in DONE_STATES:
            return now
        # Another import came in between.
        is_in_no_more = before.state in WHOLE_STATES and whole.get(user.user_id) != (before.source, before.version)
        is_another = before.source != now.source or _has_changed(user, before, rules)
        return RunUser(user.user_id, now.source) if self.only or self.failed or is_in_no_more or is_another else now


def _from_here(user: UserSource) -> UserSource:
    """Makes a path absolute: readers, and a process that resumes the run, may have another working directory."""
    return replace(user, source=absolute(user.source))


def _has_changed(user: UserSource, before: RunUser, rules: SourceRules) -> bool:
    """Decides from stored state alone: a resumed run does not check the exports of finished users again. A user who
    failed without a version had no export, or none that could be read."""
    now = seen_version(user, rules)
    return bool(now) and now != before.version and (bool(before.version) or before.state == "failed")
