"""Runs of the profile step over a real SQLite file, against the fake API by the real SDK."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_import.cli.profile_run import estimates, make_profile, make_profiles
from ray_import.destinations.profiles import Fact, ProfileVersion, StoredRequest, StoredUnit
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.profile.estimate import Estimate
from ray_import.profile.report import ProfileReport
from ray_import.profile.settings import ProfileSettings
from tests.support.model_api.server import ModelApi
from tests.support.profile.chats import Chat, store

FAST: dict[str, Any] = {"poll_seconds": 0.05, "lost_batch_seconds": 0.5}


@dataclass(frozen=True, slots=True)
class Profiled:
    """A destination, and the fake API that its profiles are made with."""

    path: Path
    api: ModelApi

    @property
    def to(self) -> str:
        return f"sqlite:///{self.path}"

    def imported(self, chats: Sequence[Chat], user_id: str = "ada", *, messages: bool = True) -> None:
        with closing(SqliteSink(self.path, create=True)) as sink:
            store(sink, user_id, chats, messages=messages)

    def run(self, user_id: str = "ada", **settings: Any) -> ProfileReport:
        return make_profile(user_id, self.to, ProfileSettings(**{**FAST, **settings}))

    def estimate(self, user_id: str = "ada", **settings: Any) -> Estimate:
        (estimate,) = estimates([user_id], self.to, ProfileSettings(**settings), exact=False)
        return estimate

    def run_many(self, user_ids: Sequence[str], **settings: Any) -> list[ProfileReport]:
        return make_profiles(user_ids, self.to, ProfileSettings(**{**FAST, **settings}))

    def facts(self, user_id: str = "ada") -> list[Fact]:
        with closing(SqliteSink(self.path, create=False)) as sink:
            return sink.facts(user_id)

    def said(self, user_id: str = "ada") -> set[tuple[str, str]]:
        """Each fact's statement and message."""
        return {(fact.statement, fact.node_id) for fact in self.facts(user_id)}

    def units(self, user_id: str = "ada") -> list[StoredUnit]:
        with closing(SqliteSink(self.path, create=False)) as sink:
            return sink.units(user_id)

    def requests(self, user_id: str = "ada") -> list[StoredRequest]:
        with closing(SqliteSink(self.path, create=False)) as sink:
            return sink.requests(user_id)

    def versions(self, user_id: str = "ada") -> list[ProfileVersion]:
        with closing(SqliteSink(self.path, create=False)) as sink:
            return sink.versions_of(user_id)

    def paid(self, kind: str = "") -> int:
        """How many requests of a kind were paid for."""
        return sum(kind in ("", each.kind) for each in self.api.ledger().paid)
