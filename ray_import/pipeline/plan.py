"""What a run would do, and about how long that would take; nothing is read for it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ray_import.destinations.base import DONE_STATES, RunUser
from ray_import.errors import ConfigError, SourceNotAllowed
from ray_import.pipeline.bucket import SelectedUsers
from ray_import.pipeline.users import UserSource, at_a_glance
from ray_import.settings import SourceRules
from ray_import.source.address import ANY_SOURCE, label_of

CPU_SECONDS_PER_MB = 0.02
"""Of JSON, into SQLite, measured: see docs/benchmarks.md."""
UNPACKED_RATIO = 4
"""How many times its size the conversations of a packed export have, about: pictures in it make it less."""
SECONDS_PER_USER = 0.03
"""For a reader that looks at the export, and the rows of the import, about."""
BASED_ON = (
    f"{CPU_SECONDS_PER_MB:g} CPU seconds per MB of JSON, {UNPACKED_RATIO} times as much per MB of a compressed export,"
    f" and {SECONDS_PER_USER:g} s per user"
)

PlannedState = Literal["read", "unchanged", "done", "missing", "not_allowed"]
"""`unchanged`: this version was imported before. `done`: by the run that would go on. `missing`: there is no such file.
`not_allowed`: the rules for sources forbid it, as far as that is seen without resolving a name."""


@dataclass(frozen=True, slots=True)
class PlannedUser:
    """What would become of a user. `source` is without secrets, `size_bytes` as it lies there, None if not known;
    `error` says why it would fail, where it is not allowed."""

    user_id: str
    source: str
    state: PlannedState
    size_bytes: int | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that would be: over which users, with how many workers, and which interrupted one would go on."""

    users: tuple[PlannedUser, ...]
    workers: int
    goes_on: str | None = None
    passed_over: Mapping[str, int] | None = None

    @property
    def states(self) -> Counter[PlannedState]:
        """How many users are in each state."""
        return Counter(user.state for user in self.users)

    @property
    def exit_code(self) -> int:
        """As that of the run would be: 1 where an export is missing or not allowed, else 0."""
        return 1 if self.states["missing"] or self.states["not_allowed"] else 0

    @property
    def to_read(self) -> list[PlannedUser]:
        """The users whose exports would be read."""
        return [user for user in self.users if user.state == "read"]

    @property
    def bytes_to_read(self) -> int:
        """Of these exports, as far as their sizes are known."""
        return sum(user.size_bytes or 0 for user in self.to_read)

    @property
    def unknown_sizes(self) -> int:
        """How many of these exports are of a size that is not known."""
        return sum(user.size_bytes is None for user in self.to_read)

    @property
    def seconds(self) -> float:
        """About how long it would take: see `BASED_ON`. Exports of unknown size count for nothing but a user."""
        megabytes = sum((user.size_bytes or 0) * _unpacked(user.source) for user in self.to_read) / 1e6
        return megabytes * CPU_SECONDS_PER_MB / self.workers + len(self.users) * SECONDS_PER_USER

    def as_dict(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "users": [_as_dict(user) for user in self.users],
            "totals": {"all": len(self.users), **dict(sorted(self.states.items()))},
            "bytes_to_read": self.bytes_to_read,
            "unknown_sizes": self.unknown_sizes,
            "estimate": {"seconds": round(self.seconds, 1), "workers": self.workers, "based_on": BASED_ON},
            "goes_on": self.goes_on,
            **({} if self.passed_over is None else {"passed_over": dict(self.passed_over)}),
        }


def _as_dict(user: PlannedUser) -> dict[str, Any]:
    found = {"user_id": user.user_id, "source": user.source, "state": user.state, "size_bytes": user.size_bytes}
    return found if user.error is None else {**found, "error": user.error}


def plan_of(
    found: SelectedUsers,
    known: Sequence[RunUser],
    versions: Mapping[str, tuple[str, str]],
    workers: int,
    goes_on: str | None,
    rules: SourceRules = ANY_SOURCE,
) -> Plan:
    """The plan for these users. `known` are those of the run that `goes_on`, `versions` as `RunLedger.versions` gives
    them; without these all would be read."""
    done = {user.user_id for user in known if user.state in DONE_STATES}
    users = tuple(
        _planned(user, versions.get(user.user_id), rules, is_done=user.user_id in done) for user in found.users
    )
    return Plan(users, workers, goes_on, found.passed_over)


def _planned(user: UserSource, known: tuple[str, str] | None, rules: SourceRules, *, is_done: bool) -> PlannedUser:
    label = label_of(user.source)
    version, size, error = "", None, None
    state: PlannedState = "read"
    try:
        version, size = at_a_glance(user, rules)
    except ConfigError:
        state = "missing"
    except SourceNotAllowed as not_allowed:
        state, error = "not_allowed", not_allowed.message
    if is_done:
        state, error = "done", None
    elif version and known == (label, version):
        state = "unchanged"
    return PlannedUser(user.user_id, label, state, size, error)


def _unpacked(source: str) -> int:
    return UNPACKED_RATIO if source.lower().endswith((".zip", ".gz", ".tgz")) else 1
