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
"""Shows how the newest conversation begins. Side branches are left out: they begin with an answer."""

LEASE_SECONDS = 60
"""A running import sends a heartbeat every few seconds. Its lease expires this long after the last one."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """The ledger's row for a content hash: that of the stored conversation, or of its losing copy (see
    `Sink.write`)."""

    import_id: str
    message_count: int


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The result of writing one conversation: the chunks written and deleted.

    `older`: a newer copy is stored and stays. `own_messages`: the number of messages of another copy that this import
    had written, and that is replaced now. `same`: this import has written the same copy before; `written` is then the
    number of its chunks, and nothing was written again. `refused`: the code with which the destination refused the
    content; nothing was written.
    """

    written: int
    deleted: int
    older: bool = False
    own_messages: int | None = None
    same: bool = False
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was deleted because a newer export no longer holds it."""

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
    """A stored reject: an item that could not be imported, without its bytes.

    `raw_hash` identifies it. `import_started_at` is in ISO 8601, or None if that import is no longer in the table.
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
    """The most rejects of one import that are kept, and the most raw bytes of them in all."""

    count: int
    bytes: int


@dataclass(frozen=True, slots=True)
class RunUser:
    """The progress of one user in a run over many.

    `source` is without secrets. `version` changes when the content of the source does. The state `skipped` means that
    it was imported before.
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
    """Identifies a run: the list of users, named `what`, and the settings. With `force` unchanged exports are imported
    too."""

    what: str
    settings_hash: str
    force: bool = False


class RunLedger(Protocol):
    """The progress of runs over many users, stored at the destination. Raises what a Sink raises."""

    def interrupted_run(self, key: RunKey) -> str | None:
        """Returns the id of the last run with this key, unless it was completed."""

    def start_run(self, run_id: str, key: RunKey, holder: str) -> Running | None:
        """Starts or resumes a run. Returns the running one if another process holds a run over the same users.

        A holder without a heartbeat for LEASE_SECONDS loses its run. Runs over the same users with other settings
        cannot be resumed afterwards, because their rows are replaced.
        """

    def add_users(self, run_id: str, users: Sequence[RunUser]) -> list[RunUser]:
        """Adds the users that are not in the run yet, as `pending`. Returns all users of the run."""

    def run_users(self, run_id: str) -> list[RunUser]:
        """Returns all users of a run."""

    def save_users(self, run_id: str, holder: str, users: Sequence[RunUser]) -> bool:
        """Stores the progress of these users. Returns False, and stores nothing, if another process holds the run.

        `pending` and `skipped` do not update a row's time, so that an import by another run still counts as newer.
        """

    def complete_run(self, run_id: str, holder: str) -> None:
        """Marks the run as completed, unless another process holds it."""

    def lacking_users(self, what: str, settings_hash: str) -> list[str]:
        """Returns the ids of users whose last attempt in a run over `what` failed, was partial, or was interrupted."""

    def versions(self, settings_hash: str) -> dict[str, tuple[str, str]]:
        """Returns `{user_id: (source, version)}` of each user's last complete import with these settings.

        Omits users with a newer import of any kind, because their rows may come from a different source.
        """

    def users_of(self, table: str, column: str) -> list[tuple[str, str]]:
        """Returns the user ids and sources in a table of the service. Raises ConfigError if it or the column is
        missing."""


class Sink(RunLedger, Reading, ProfileStore, Protocol):
    """An open destination. All methods raise SinkError, or SinkBusy for transient failures."""

    @property
    def retries(self) -> int:
        """The number of retries since it was opened."""

    def known(self, user_id: str, settings_hash: str, hashes: Sequence[str]) -> dict[str, LedgerEntry]:
        """Returns the ledger's entries of those content hashes that are stored with these settings."""

    def write(
        self,
        job: ImportJob,
        settings_hash: str,
        conversations: Sequence[ConversationRows],
        rejects: Sequence[Reject],
        settled: Sequence[str] = (),
    ) -> list[WriteResult]:
        """Upserts a batch, and returns one result per conversation, in order.

        Each conversation is replaced in one transaction: its old chunks and messages, the new ones, and its ledger row.
        Without `has_messages` it has no messages afterwards. A conversation that the destination refuses for its
        content does not affect the others. Of two copies the one with the greater update time stays, then the one with
        more nodes, then that of the later import, then (within one import, whose batches have no order) the one with
        the greater hash. The ledger stores the hash of the losing copy, so that importing both again changes nothing.
        A stored reject is deleted when its bytes are written as a conversation. `rejects` and `settled`: see
        `keep_rejects`.

        Raises EverythingRefused if the first 20 conversations are all refused with one code and the import has written
        no chunks, or if the user's id violates a foreign key.
        """

    def keep_rejects(
        self, job: ImportJob, rejects: Sequence[Reject], settled: Sequence[str] = (), limits: RejectLimits | None = None
    ) -> int:
        """Stores rejects, idempotently, and deletes stored ones whose hash is among `settled`.

        `limits` holds for all rejects of the import, over all workers and calls; rejects of earlier imports that this
        import has met again count, too. Returns how many of `rejects` were not stored because of the limits.
        """

    def takes_none(self, job: ImportJob, hashes: Sequence[str] = ()) -> bool:
        """Returns whether this import has written no chunks.

        Returns False as well if `hashes` are given and all of them are stored as rejects of earlier imports: these
        conversations were refused before, so the destination is not to blame. Rejects of an import that failed before
        it wrote any chunks prove nothing, and do not count.
        """

    def withdraw_rejects(self, job: ImportJob, reason: str) -> bool:
        """Deletes the rejects with this reason of this import, and of imports of the user that failed before they wrote
        any chunks. Rejects of other imports stay.

        Returns False if there was nothing to delete and other imports have rejects of the user with this reason.
        """

    def rejects(self, user_id: str | None = None) -> list[KeptReject]:
        """Returns the stored rejects, of one user or of all, newest import first, then in the order of their files."""

    def reject_bytes(self, user_id: str, raw_hash: str) -> bytes | None:
        """Returns the bytes of a stored reject; None if it is not stored."""

    def mark_seen(self, job: ImportJob, hashes: Sequence[str], conversation_ids: Sequence[str]) -> None:
        """Records that this import's export holds these conversations: unchanged ones by hash, others by id.

        Those that the import writes are recorded by `write`.
        """

    def prune(self, job: ImportJob) -> Pruned:
        """Deletes the user's conversations of this product that this import has not seen, in one transaction.

        Keeps those that are newer than the newest of the import: they were created after the export.
        """

    def start_job(self, job: ImportJob, source: str, holder: str) -> Running | None:
        """Starts an import and takes the user's lease. Returns the running import of the same user if there is one.

        A running one without a heartbeat for LEASE_SECONDS is ended as interrupted.
        """

    def beat(self, holder: str) -> None:
        """Sends a heartbeat for every import and run that `holder` holds."""

    def let_go(self, holder: str) -> None:
        """Ends the imports that `holder` holds as interrupted, and releases its runs, so that others can resume
        them."""

    def update_job(
        self, import_id: str, counts: dict[str, Any], status: JobStatus = "running", error: str | None = None
    ) -> bool:
        """Sets the counts and, at the end, the status. Counts as a heartbeat.

        Returns False, and changes nothing, if the import has lost its lease to another one.
        """

    def set_profile(self, table: str, user_id: str, values: dict[str, Any]) -> None:
        """Sets columns of the row of `user_id` in a table of the service. Raises ConfigError if it or a column is
        missing."""

    def profile_takes(self, table: str, user_id: str, endings: Sequence[dict[str, Any]]) -> list[bool]:
        """Returns for each of these values whether `set_profile` could set them: a CHECK, a type or a trigger may
        refuse some. Changes nothing. Raises ConfigError if the table or a column is missing."""

    def jobs(self, user_id: str | None = None, limit: int | None = None) -> list[Job]:
        """Returns the newest imports, newest first, of one user or of all, at most `limit`. A running import whose
        lease has expired is returned as interrupted."""

    def close(self) -> None:
        """Closes the connection."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """The result of `migrate`: the address, and the steps that were applied."""

    address: str
    applied: tuple[str, ...]


class Destination(Protocol):
    """The address of a destination. It is sent to the workers, and each of them opens it.

    It holds no secret: credentials are in the environment of the process that opens it.
    """

    @property
    def url(self) -> str:
        """The address as it is shown and logged."""

    @property
    def on_this_machine(self) -> bool:
        """Whether only processes of this machine can write to it."""

    def open(self, *, create: bool = True) -> Sink:
        """Connects. With `create`, creates what is missing, if this kind of destination creates its tables by
        itself."""

    def look(self) -> Sink:
        """Connects read-only and creates nothing: a missing file reads as an empty one.

        Raises SinkError if the tables have to be migrated first.
        """

    def open_jobs(self, *, patience_seconds: float | None = None) -> ServiceJobs:
        """Connects to the service's queue alone. The connection is for one thread at a time.

        With `patience_seconds` each call, and this one, waits at most about so long for an unreachable destination.
        Raises what `open` raises.
        """

    def migrate(self) -> Migrated:
        """Creates or upgrades the tables."""

    def query_hint(self) -> str:
        """Returns a command that shows the newest chunk with a tool of this machine; empty if there is no such tool."""

    def export_password(self, *, to_children: bool) -> None:
        """Puts the address's password into the environment, for workers that are children of this process.

        Raises ConfigError if there is a password and the workers are not children.
        """
