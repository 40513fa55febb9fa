"""What a Postgres keeps of profiles. Rows are read page by page, and sent in parts: a gateway need not pass on all of
them at once."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar
from uuid import uuid4

import orjson

from ray_import.chunks.rows import MessageRow
from ray_import.destinations.base import LEASE_SECONDS, Running
from ray_import.destinations.postgres.calls import DatabaseCalls
from ray_import.destinations.postgres.rows import our_running, our_time
from ray_import.destinations.profiles import (
    MERGED,
    Fact,
    Forgotten,
    ProfileConversation,
    ProfileEnding,
    ProfileRun,
    ProfileVersion,
    RequestState,
    StoredRequest,
    StoredUnit,
    request_of,
    run_is_over,
    storable,
    values_of,
)
from ray_import.destinations.reading import StoredConversation, words_of
from ray_import.errors import ConfigError, SinkError

PAGE_BYTES = 4 * 1024 * 1024
"""A page ends with the message that exceeds it: a gateway need not pass on a long conversation at once."""

MOST_READINGS = 3


class DatabaseReading(DatabaseCalls):
    def conversations(self, user_id: str | None, wanted: str, limit: int) -> list[StoredConversation]:
        """See `Reading.conversations`. The database's locale decides about upper and lower case."""
        found = self._call(
            "conversations", p_user_id=user_id, p_wanted=wanted, p_words=list(words_of(wanted)), p_limit=limit
        )
        times = ("create_time", "update_time")
        return [StoredConversation(**{**row, **{name: our_time(row[name]) for name in times}}) for row in found]

    def messages(self, user_id: str, product: str, conversation_id: str) -> list[MessageRow]:
        """See `Reading.messages`. Pages of different imports are not mixed: then all is read again, a few times, since
        rows that somebody else has changed may stay so."""
        rows: list[MessageRow] = []
        for _ in range(MOST_READINGS):
            rows = []
            while page := self._call(
                "messages",
                p_user_id=user_id,
                p_product=product,
                p_conversation_id=conversation_id,
                p_from=rows[-1].position + 1 if rows else 0,
                p_most_bytes=PAGE_BYTES,
            ):
                rows += map(message_of, page)
            if len({row.import_id for row in rows}) <= 1:
                break
        return rows


def message_of(found: dict[str, Any]) -> MessageRow:
    """A row, as ray_import_messages gives it."""
    attachments = orjson.dumps(found["attachments"]).decode()
    return MessageRow(**{**found, "created_at": our_time(found["created_at"]), "attachments": attachments})


PAGE_ROWS = 1000
PAGE_VERSIONS = 4
PART_REQUESTS = 100
PART_ROWS = 1000

T = TypeVar("T")


class DatabaseProfiles(DatabaseReading):
    def profile_users(self) -> list[str]:
        users: list[str] = []
        while page := self._call("profile_users", p_after=users[-1] if users else "", p_limit=PAGE_ROWS):
            users += page
        return sorted(users)

    def profile_conversations(self, user_id: str) -> list[ProfileConversation]:
        rows: list[dict[str, Any]] = []
        while page := self._call(
            "profile_conversations",
            p_user_id=user_id,
            p_after=rows[-1]["conversation_id"] if rows else "",
            p_after_product=rows[-1]["product"] if rows else "",
            p_limit=PAGE_ROWS,
        ):
            rows += page
        found = [ProfileConversation(**_timed(row, "create_time", "update_time")) for row in rows]
        return sorted(found, key=lambda one: (one.product, one.conversation_id))

    def messages_of(self, user_id: str, conversations: Sequence[tuple[str, str]]) -> Iterator[list[MessageRow]]:
        start = 0
        while start < len(conversations):
            asked = [list(key) for key in conversations[start : start + PAGE_ROWS]]
            page = self._call("profile_messages", p_user_id=user_id, p_conversations=asked, p_most_bytes=PAGE_BYTES)
            for messages in page:
                yield list(map(message_of, messages))
            if not page:  # the first one alone is larger
                yield self.messages(user_id, *conversations[start])
            start += len(page) or 1

    def start_profile(self, user_id: str, run_id: str, holder: str, started_at: str) -> Running | None:
        found = self._call(
            "profile_start",
            p_user_id=user_id,
            p_run_id=run_id,
            p_holder=holder,
            p_started_at=started_at,
            p_lease_seconds=LEASE_SECONDS,
        )
        return None if found is None else our_running(found)

    def beat_profile(self, user_id: str, run_id: str, holder: str) -> bool:
        return bool(self._call("profile_alive", p_user_id=user_id, p_run_id=run_id, p_holder=holder))

    def end_profile(
        self, user_id: str, run_id: str, status: ProfileEnding, report: dict[str, Any], error: str | None
    ) -> None:
        self._call(
            "profile_end",
            p_user_id=user_id,
            p_run_id=run_id,
            p_status=status,
            p_report=storable(report),
            p_error=storable(error),
        )

    def release_profiles(self, holder: str) -> None:
        self._call("profile_release", p_holder=holder)

    def profile_runs(self, user_id: str) -> list[ProfileRun]:
        found = self._call("profile_runs", p_user_id=user_id, p_lease_seconds=LEASE_SECONDS)
        return [ProfileRun(**_timed(run, "started_at", "updated_at", "finished_at")) for run in found]

    def save_requests(self, user_id: str, requests: Sequence[StoredRequest]) -> None:
        for part in _parts(requests, PART_REQUESTS):
            if not self._call("profile_save_requests", p_user_id=user_id, p_requests=list(map(values_of, part))):
                raise run_is_over()

    def requests(self, user_id: str, states: Sequence[RequestState] = ()) -> list[StoredRequest]:
        found = self._profile_rows("requests", user_id, p_states=list(states))
        requests = [request_of(_timed(row, "created_at")) for row in found]
        return sorted(requests, key=lambda one: (one.created_at, one.id))

    def settle_request(
        self,
        user_id: str,
        request: StoredRequest,
        units: Sequence[StoredUnit],
        facts: Sequence[Fact],
        replaced: Sequence[str] = (),
    ) -> bool:
        return bool(
            self._call(
                "profile_settle",
                p_user_id=user_id,
                p_settlement=uuid4().hex,
                p_request=values_of(request),
                p_units=list(map(values_of, units)),
                p_facts=list(map(values_of, facts)),
                p_replaced=list(replaced),
            )
        )

    def units(self, user_id: str) -> list[StoredUnit]:
        return sorted((StoredUnit(**row) for row in self._profile_rows("units", user_id)), key=lambda unit: unit.id)

    def drop_units(self, user_id: str, unit_ids: Sequence[str]) -> None:
        for part in _parts(unit_ids, PART_ROWS):
            self._call("profile_drop_units", p_user_id=user_id, p_ids=list(part))

    def replace_units(self, user_id: str, unit_ids: Sequence[str], facts: Sequence[Fact]) -> None:
        rows = list(map(values_of, facts))
        self._call("profile_replace_units", p_user_id=user_id, p_ids=list(unit_ids), p_facts=rows)

    def keep_units(self, user_id: str, unit_ids: Sequence[str], content_hash: str) -> None:
        for part in _parts(unit_ids, PART_ROWS):
            self._call("profile_keep_units", p_user_id=user_id, p_ids=list(part), p_content_hash=content_hash)

    def facts(self, user_id: str) -> list[Fact]:
        rows = self._profile_rows("facts", user_id)
        found = [Fact(**_timed(row, "said_at", "valid_from", "valid_to")) for row in rows]
        return sorted(found, key=lambda fact: (fact.said_at or "", fact.id))

    def update_facts(self, user_id: str, facts: Sequence[Fact]) -> None:
        for part in _parts(facts, PART_ROWS):
            rows = [{name: getattr(fact, name) for name in ("id", *MERGED)} for fact in part]
            self._call("profile_update_facts", p_user_id=user_id, p_facts=rows)

    def save_version(self, user_id: str, version: ProfileVersion) -> None:
        if not self._call("profile_save_version", p_user_id=user_id, p_version=values_of(version)):
            raise run_is_over()

    def versions_of(self, user_id: str, limit: int | None = None) -> list[ProfileVersion]:
        rows: list[dict[str, Any]] = []
        while limit is None or len(rows) < limit:
            most = PAGE_VERSIONS if limit is None else min(PAGE_VERSIONS, limit - len(rows))
            page = self._call("profile_versions", p_user_id=user_id, p_from=len(rows), p_limit=most)
            rows += page
            if len(page) < most:
                break
        return [ProfileVersion(**_timed(row, "created_at")) for row in rows]

    def forget_profile(self, user_id: str) -> Forgotten:
        return Forgotten(**self._call("profile_forget", p_user_id=user_id))

    def publish_profile(self, table: str, user_id: str, values: dict[str, Any]) -> list[str]:
        try:
            return list(self._call("publish_profile", p_table=table, p_user_id=user_id, p_values=storable(values)))
        except SinkError as error:
            if error.retry:
                raise
            raise ConfigError(
                f"The table {table} rejected the profile of the user {user_id} ({error.code}).",
                "It needs a column user_id, and must allow the values of a profile: docs/supabase.md, Profiles.",
            ) from None

    def _profile_rows(self, table: str, user_id: str, **arguments: Any) -> list[dict[str, Any]]:
        """All of a user's rows, page by page."""
        rows: list[dict[str, Any]] = []
        while page := self._call(
            f"profile_{table}",
            p_user_id=user_id,
            **arguments,
            p_after=rows[-1]["id"] if rows else "",
            p_limit=PAGE_ROWS,
        ):
            rows += page
        return rows


def _parts(rows: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), most):
        yield rows[start : start + most]


def _timed(row: dict[str, Any], *times: str) -> dict[str, Any]:
    """The row with these times written as ours."""
    return {**row, **{name: our_time(row[name]) for name in times}}
