"""What the import asks of a destination. `tests/contract/test_sinks.py` holds every one to it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ray_import.chunks.rows import ConversationRows, ImportJob
from ray_import.destinations.profiles import ProfileStore
from ray_import.destinations.reading import Reading
from ray_import.destinations.service_jobs import ServiceJobs
from ray_import.records import Reject

JobStatus = Literal["running", "complete", "partial", "failed"]

UserState = Literal["pending", "running", "complete", "partial", "failed", "skipped"]
LACKING_STATES: tuple[UserState, ...] = ("failed", "partial")
WHOLE_STATES: tuple[UserState, ...] = ("complete", "skipped")
DONE_STATES: tuple[UserState, ...] = (*WHOLE_STATES, *LACKING_STATES)

NEWEST_CHUNK = (
    "SELECT content FROM conversation_chunks WHERE thread = 'main' AND chunk_index = 0 AND created_at IS NOT NULL"
    " ORDER BY created_at DESC LIMIT 1"
)
"""How the newest conversation begins: of a side branch there would be an answer without its question."""

LEASE_SECONDS = 60
"""A running import gives a sign of life every few seconds. After so long without one it is dead."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What the ledger knows of a conversation with some content hash (or of the copy beside it, see `Sink.write`)."""

    import_id: str
    message_count: int


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What came of replacing one conversation.

    `older`: a newer copy was there and stays. `own_messages`: how many messages another copy had that
    this import had put in and that is gone now. `same`: this import has put in the very same; `written`
    then tells its chunks, and nothing was written. `refused`: the destination does not take what is in it,
    for the reason of that code; nothing was written.
    """

    written: int
    deleted: int
    older: bool = False
    own_messages: int | None = None
    same: bool = False
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What is gone because a newer export does not hold it any more."""

    conversations: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Job:
    """One import as the destination remembers it; times are ISO 8601 in UTC."""

    id: str
    user_id: str
    source: str
    status: JobStatus
    counts: dict[str, Any]
    error: str | None
    started_at: str
    updated_at: str
    finished_at: str | None


@dataclass(frozen=True, slots=True)
class Running:
    """An import, or a run, that is running. `holder` is its host and process, `started_at` in ISO 8601."""

    id: str
    holder: str
    started_at: str
    silent_seconds: float


@dataclass(frozen=True, slots=True)
class KeptReject:
    """An item that could not be imported, as the destination keeps it: all but its bytes.

    `raw_hash` is its name, `import_started_at` is in ISO 8601 (None where that import is not known any more).
    """

    raw_hash: str
    user_id: str
    product: str
    import_id: str
    import_started_at: str | None
    member: str
    position: int
    conversation_id: str | None
    reason: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class RejectLimits:
    """How many rejects of one import are kept, and of how many raw bytes in all."""

    count: int
    bytes: int


@dataclass(frozen=True, slots=True)
class RunUser:
    """How far one user is in a run over many.

    `source` is without secrets; `version` tells one content of it from another. `skipped`: it was imported before.
    """

    user_id: str
    source: str
    state: UserState = "pending"
    attempts: int = 0
    version: str = ""
    error: str | None = None
    counts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunKey:
    """What a run does: it imports the users of `what` with these settings; with `force` also what was in before."""

    what: str
    settings_hash: str
    force: bool = False


class RunLedger(Protocol):
    """What a destination remembers of runs over many users. Raises what a Sink raises."""

    def interrupted_run(self, key: RunKey) -> str | None:
        """The last run that does the same, if it has not come to its end."""

    def start_run(self, run_id: str, key: RunKey, holder: str) -> Running | None:
        """Begins a run, or goes on with it, unless a process other than `holder` is at one over the same users: then
        tells of that. One that has given no sign of life for LEASE_SECONDS is not, and does not hold its run any more.

        Runs over the same users with other settings are not gone on with afterwards: their rows are replaced.
        """

    def add_users(self, run_id: str, users: Sequence[RunUser]) -> list[RunUser]:
        """Adds the users that are not in the run yet, with nothing done. Gives all of its users."""

    def run_users(self, run_id: str) -> list[RunUser]:
        """All users of a run."""

    def save_users(self, run_id: str, holder: str, users: Sequence[RunUser]) -> bool:
        """Remembers how far these users are. False, and remembers nothing, where the run is held by another by now.

        Who waits, or is skipped, has nothing new: what others import meanwhile is newer, though it was said before.
        """

    def complete_run(self, run_id: str, holder: str) -> None:
        """The run has come to its end, unless it is held by another by now."""

    def lacking_users(self, what: str, settings_hash: str) -> list[str]:
        """The ids of those of whom something was missing when they were last at work in a run over `what`: all that
        were interrupted, too."""

    def versions(self, settings_hash: str) -> dict[str, tuple[str, str]]:
        """By user the source, and its version, that was imported as a whole with these settings; not of those who were
        imported since, by whatever run or by themselves: what they have now may be another's."""

    def users_of(self, table: str, column: str) -> list[tuple[str, str]]:
        """User ids and sources of a table of the service. Raises ConfigError where there are none."""


class Sink(RunLedger, Reading, ProfileStore, Protocol):
    """A destination. All methods raise SinkError, and SinkBusy where trying again may help."""

    @property
    def retries(self) -> int:
        """How often something was tried again here since it was opened."""

    def known(self, user_id: str, settings_hash: str, hashes: Sequence[str]) -> dict[str, LedgerEntry]:
        """Which of the content hashes are in, made with these settings."""

    def write(
        self,
        job: ImportJob,
        settings_hash: str,
        conversations: Sequence[ConversationRows],
        rejects: Sequence[Reject],
        settled: Sequence[str] = (),
    ) -> list[WriteResult]:
        """Puts a batch in, and tells for each conversation what became of it.

        For each conversation, in one transaction, the old chunks and messages go, the new ones come and the ledger row
        is set. Where `has_messages` is false, it has no messages afterwards. One that the destination refuses for what
        is in it leaves the others alone. Of two copies the one with the greater update time stays, then the one with
        more nodes, then the later import's, then (within one import, where batches have no order) the one with the
        greater hash; the ledger remembers the hash of the other, so that importing both again changes nothing.
        A reject that has come as a conversation now is let go. `rejects` and `settled`: see `keep_rejects`.

        Raises EverythingRefused if the first 20 conversations are all refused with one code and the import has written
        no chunks, or if the user's id violates a foreign key.
        """

    def keep_rejects(
        self, job: ImportJob, rejects: Sequence[Reject], settled: Sequence[str] = (), limits: RejectLimits | None = None
    ) -> int:
        """Keeps items that could not be imported, and deletes those whose hash is among `settled`.

        One that is already kept is not kept twice. With `limits` no more is kept of all that the import meets, whatever
        number of workers call this, and however often; those of earlier imports that it meets again count, too. Returns
        how many of `rejects` are not kept for that.
        """

    def takes_none(self, job: ImportJob, hashes: Sequence[str] = ()) -> bool:
        """Whether this import has written no chunks. False as well if `hashes` are given and all of them are kept as
        rejects of earlier imports: then these were found to be at fault before.

        Rejects of an import that failed before it wrote any chunks prove nothing, and do not count.
        """

    def withdraw_rejects(self, job: ImportJob, reason: str) -> bool:
        """Deletes what this import has kept as rejects for this reason, and what imports of the user have that failed
        before they wrote any chunks. What other imports have kept stays.

        False if there was nothing to delete and earlier imports have kept rejects of the user for this reason.
        """

    def rejects(self, user_id: str | None = None) -> list[KeptReject]:
        """What is kept as rejects, of one user or of all, newest import first, then in their files' order."""

    def reject_bytes(self, user_id: str, raw_hash: str) -> bytes | None:
        """The bytes of one of them; None where it is not kept (any more)."""

    def mark_seen(self, job: ImportJob, hashes: Sequence[str], conversation_ids: Sequence[str]) -> None:
        """Remembers that the export of this import holds these: the unchanged by their hash, the others by their id.
        What the import itself puts in is remembered anyway."""

    def prune(self, job: ImportJob) -> Pruned:
        """Deletes the user's conversations of this product that this import has not seen, in one transaction; but none
        that is newer than the newest that it has: that one was made after the export was."""

    def start_job(self, job: ImportJob, source: str, holder: str) -> Running | None:
        """Remembers that an import runs, unless another one of the same user does: then tells of that.

        One that has given no sign of life for LEASE_SECONDS is ended, as interrupted.
        """

    def beat(self, holder: str) -> None:
        """Gives a sign of life of every import and run that `holder` holds."""

    def let_go(self, holder: str) -> None:
        """Ends the imports that `holder` holds, as interrupted, and lets others go on with its runs."""

    def update_job(
        self, import_id: str, counts: dict[str, Any], status: JobStatus = "running", error: str | None = None
    ) -> bool:
        """Sets the counts and, at the end, the status: a sign of life, too.

        False, and changes nothing, where the import is not running any more: another has taken its place.
        """

    def set_profile(self, table: str, user_id: str, values: dict[str, Any]) -> None:
        """Sets columns of the row of `user_id` in a table of the service. Raises ConfigError where there are none."""

    def profile_takes(self, table: str, user_id: str, endings: Sequence[dict[str, Any]]) -> list[bool]:
        """For each of these values whether `set_profile` could set them: a CHECK, a type or a trigger may refuse some.
        Changes nothing. Raises ConfigError where there is no such table or column."""

    def jobs(self, user_id: str | None = None, limit: int | None = None) -> list[Job]:
        """The newest imports, newest first, of one user or of all, at most `limit`; one that says that it runs, but is
        silent, is told as interrupted."""

    def close(self) -> None:
        """Lets go of the destination."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """A database that was set up: its address, and the steps that were missing."""

    address: str
    applied: tuple[str, ...]


class Destination(Protocol):
    """A destination's address, which travels to the workers; each of them opens it for itself.

    It holds no secret: those are in the environment of whoever opens it.
    """

    @property
    def url(self) -> str:
        """What is shown of it."""

    @property
    def on_this_machine(self) -> bool:
        """Whether only processes of this machine can write to it."""

    def open(self, *, create: bool = True) -> Sink:
        """Connects. With `create`, makes what is not there yet, if it is made on the way."""

    def look(self) -> Sink:
        """Connects for reading alone, and makes nothing: where there is nothing yet, that is what is seen.

        Raises SinkError where what is there would have to be migrated.
        """

    def open_jobs(self, *, patience_seconds: float | None = None) -> ServiceJobs:
        """Connects to the service's queue alone. The connection is for one thread at a time.

        With `patience_seconds` a call, and this one, waits about so long at most for a destination that is away.
        Raises what `open` raises.
        """

    def migrate(self) -> Migrated:
        """Sets the destination up."""

    def query_hint(self) -> str:
        """A command that shows the newest chunk, with what this machine has; empty where there is none."""

    def export_password(self, *, to_children: bool) -> None:
        """Lets the workers find a password that was given with the address, if they are to be processes of this one;
        else raises ConfigError where there is one."""
