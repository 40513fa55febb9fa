"""What a profile asks of a destination: the messages to read, and where runs, requests, units, facts and versions lie.

`tests/contract/test_profile_store.py` holds every destination to it. Every write may be called again. Those of lists
(`save_requests`, `drop_units`, `keep_units`, `update_facts`) may be several transactions, all others are one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ray_import.chunks.rows import MessageRow

if TYPE_CHECKING:
    from ray_import.destinations.base import Running
import json
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import TypeVar

import orjson

from ray_import.errors import SinkError

RequestKind = Literal["quick", "facts", "merge", "sections"]

ProfileEnding = Literal["complete", "partial", "failed"]

RequestState = Literal["sending", "in_batch", "answered", "failed", "unknown_outcome"]
"""`sending`: written before the request is sent. `in_batch`: a batch with this id holds it. `answered` and `failed` are
final. `unknown_outcome`: its process died while it was sent, so it may have been paid for; its units are sent anew."""

UnitState = Literal["answered", "split", "failed"]
"""A unit without a row, or with a lower `attempts` than allowed in state `failed`, is to be sent. `split`: its answer
was cut off; its two halves are units of their own."""

FactStatus = Literal["active", "duplicate", "superseded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileConversation:
    """An imported conversation as far as a profile needs it. Times are ISO 8601 in UTC."""

    product: str
    conversation_id: str
    content_hash: str
    """That of the ledger: where it is the same, the messages are the same."""
    title: str
    create_time: str | None
    update_time: str | None
    message_count: int
    has_messages: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredUnit:
    """What came of one unit (see `profile.units.Unit`): a row is there once something did."""

    id: str
    product: str
    conversation_id: str
    content_hash: str
    """The ledger's when the unit was cut: while it is the same, the conversation need not be read again."""
    state: UnitState
    reason: str = ""
    attempts: int = 1
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRequest:
    """One request to a model, written before it is sent. `id` is its custom id (`[A-Za-z0-9_-]`, at most 64)."""

    id: str
    run_id: str
    kind: RequestKind
    model: str
    state: RequestState
    unit_ids: tuple[str, ...] = ()
    mark: str = ""
    """The random fence of its prompt."""
    group_id: str = ""
    """Of a batch: equal for all requests of one create call, so that a lost batch is found by their custom ids."""
    batch_id: str = ""
    attempts: int = 1
    stop_reason: str = ""
    reason: str = ""
    """Why it failed: one word that can be counted."""
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    rejected: dict[str, int] = field(default_factory=dict)
    """How many statements of its answer were rejected, by reason."""
    result: dict[str, Any] | None = None
    """The checked answer of a quick, merge or sections request. Facts are rows, but for those that wait for the rest of
    their conversation (see `profile.replacing`)."""
    created_at: str = ""
    """ISO 8601 in UTC, of when it was first saved; where it is empty, the destination's time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A statement about the user, and the message in which they said it. Times are ISO 8601 in UTC.

    Its `unit_id` is the least id of the units that it came of: the pieces of a long message may give the same fact.
    `status`: a `duplicate` says what the fact `superseded_by` says; a `superseded` one was true until `valid_to`, when
    the user said otherwise (`superseded_by`). `seen` counts the fact and its duplicates.
    """

    id: str
    unit_id: str
    category: str
    subject: str
    statement: str
    quote: str
    product: str
    conversation_id: str
    node_id: str
    said_at: str | None
    valid_from: str | None = None
    valid_to: str | None = None
    status: FactStatus = "active"
    superseded_by: str | None = None
    seen: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileVersion:
    """A profile as it was made once. `sections` has the keys soul, identity, user, agents, tools; `kind` says how far
    it goes: `quick` is of a sample, `full` of all facts."""

    id: str
    run_id: str
    kind: Literal["quick", "full"]
    model: str
    prompt_version: str
    sections: dict[str, Any]
    memory_md: str
    facts_hash: str
    """Of the active facts that it was made of: with the same ones a version is not made again."""
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileRun:
    """A run of the profile step as the destination remembers it."""

    id: str
    status: Literal["running", "complete", "partial", "failed"]
    report: dict[str, Any]
    error: str | None
    started_at: str
    updated_at: str
    finished_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What was deleted of a user's profile."""

    runs: int
    requests: int
    units: int
    facts: int
    versions: int


class ProfileStore(Protocol):
    """The tables `profile_runs`, `profile_requests`, `profile_units`, `profile_facts`, `profile_versions`. All methods
    raise SinkError, and SinkBusy where trying again may help. What a destination cannot store of a text, NUL and lone
    surrogates, is replaced."""

    def profile_users(self) -> list[str]:
        """All users with imported conversations, by id."""

    def profile_conversations(self, user_id: str) -> list[ProfileConversation]:
        """All imported conversations of the user, by product and id."""

    def messages_of(self, user_id: str, conversations: Sequence[tuple[str, str]]) -> Iterator[list[MessageRow]]:
        """The messages of these conversations (product, id), in the order asked for, each as one list by position. One
        without messages gives an empty list. Memory is bounded by a few MB and the largest conversation."""

    def start_profile(self, user_id: str, run_id: str, holder: str, started_at: str) -> "Running | None":
        """Begins a run, unless another one of the user is alive (as `start_job`): returns that one then. A dead one is
        ended as failed, `interrupted`; its requests that were being sent stay as they are."""

    def beat_profile(self, user_id: str, run_id: str, holder: str) -> bool:
        """A heartbeat. False where the run is not this holder's any more."""

    def end_profile(
        self, user_id: str, run_id: str, status: ProfileEnding, report: dict[str, Any], error: str | None
    ) -> None:
        """Ends a run, if it still runs."""

    def release_profiles(self, holder: str) -> None:
        """Ends all runs of a dead holder as failed, `interrupted`."""

    def profile_runs(self, user_id: str) -> list[ProfileRun]:
        """The newest first. Running ones without a heartbeat for LEASE_SECONDS are failed, `interrupted`."""

    def save_requests(self, user_id: str, requests: Sequence[StoredRequest]) -> None:
        """Inserts requests, or replaces them where they are not final.

        Raises SinkError where a new one is of a run that does not run any more: another has taken over, or the
        profile was forgotten. The request must not be sent then.
        """

    def requests(self, user_id: str, states: Sequence[RequestState] = ()) -> list[StoredRequest]:
        """Of these states, or all; the oldest first."""

    def settle_request(
        self,
        user_id: str,
        request: StoredRequest,
        units: Sequence[StoredUnit],
        facts: Sequence[Fact],
        replaced: Sequence[str] = (),
    ) -> bool:
        """Saves a final request with what came of its units, and does what `replace_units` does for the units
        `replaced`, in one transaction.

        False, and nothing is written, where it is final already, or is not there (its profile was forgotten).
        """

    def units(self, user_id: str) -> list[StoredUnit]:
        """All units with a row."""

    def drop_units(self, user_id: str, unit_ids: Sequence[str]) -> None:
        """Deletes units, and the facts that came of no other one: their conversations are gone, or say nothing."""

    def replace_units(self, user_id: str, unit_ids: Sequence[str], facts: Sequence[Fact]) -> None:
        """Deletes units, and the facts that came of no other one, and saves the facts that take their place, in one
        transaction.

        Facts that are still there of the same id stay as they are, and are of this unit as well; of two spellings the
        lesser one stays.
        """

    def keep_units(self, user_id: str, unit_ids: Sequence[str], content_hash: str) -> None:
        """Sets the ledger's hash of units whose conversation was written anew with the same messages."""

    def facts(self, user_id: str) -> list[Fact]:
        """All facts, by `said_at` and id; those without a time first."""

    def update_facts(self, user_id: str, facts: Sequence[Fact]) -> None:
        """Sets status, superseded_by, valid_from, valid_to and seen of facts that are there."""

    def save_version(self, user_id: str, version: ProfileVersion) -> None:
        """Adds a version. Raises SinkError where its run does not run any more."""

    def versions_of(self, user_id: str, limit: int | None = None) -> list[ProfileVersion]:
        """The newest first, at most `limit`."""

    def forget_profile(self, user_id: str) -> Forgotten:
        """Deletes every row of the user in the profile's tables. What a run that is alive saves later is refused."""

    def publish_profile(self, table: str, user_id: str, values: dict[str, Any]) -> list[str]:
        """Sets those columns of `values` that a table of the service has, in the row of `user_id`. Returns the names of
        the others.

        Where there is no row yet, one is inserted, unless all values are None. Raises ConfigError where there is no
        such table, it has no `user_id`, or it refuses a value; and for SQLite, which has no such table.
        """


MERGED = ("status", "superseded_by", "valid_from", "valid_to", "seen")
"""What `ProfileStore.update_facts` sets."""

_ESCAPE = re.compile(r"\\(u[0-9a-f]{4}|.)")
_NUL = "\\u0000"

T = TypeVar("T")


def columns_of(kind: type[Any]) -> tuple[str, ...]:
    """The names of a row's fields."""
    return tuple(field.name for field in fields(kind))


_COLUMNS = {kind: columns_of(kind) for kind in (Fact, StoredRequest, StoredUnit, ProfileVersion)}


def values_of(row: Fact | StoredRequest | StoredUnit | ProfileVersion) -> dict[str, Any]:
    """The fields of a row by name, all texts in them storable."""
    return storable({name: getattr(row, name) for name in _COLUMNS[type(row)]})


def storable(value: T) -> T:
    """The same value, or one in which U+FFFD stands for each NUL and `?` for each lone surrogate. A model's answer may
    hold both, and Postgres takes neither. Texts, numbers, lists and objects alone."""
    try:  # orjson refuses lone surrogates
        text = orjson.dumps(value)
    except TypeError:
        text = json.dumps(value, ensure_ascii=False).encode(errors="replace")
    else:
        if _NUL.encode() not in text:
            return value
    cleaned = _ESCAPE.sub(lambda escape: "\ufffd" if escape[0] == _NUL else escape[0], text.decode())
    found: T = orjson.loads(cleaned)
    return found


def request_of(values: Mapping[str, Any]) -> StoredRequest:
    """A request from its columns, JSON as values."""
    return StoredRequest(**{**values, "unit_ids": tuple(values["unit_ids"]), "usd": float(values["usd"])})


def run_is_over() -> SinkError:
    """The error for something of a run that is not saved, since the run has ended."""
    return SinkError(
        "This run of the profile has ended: another one has taken over, or the profile was forgotten.",
        "Run the same command again.",
    )
