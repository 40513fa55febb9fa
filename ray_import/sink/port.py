"""What the import asks of a destination. `tests/contract/test_sinks.py` holds every one to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ray_import.chunks.rows import ConversationRows, Import
from ray_import.records import Reject

JobStatus = Literal["running", "complete", "partial", "failed"]


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger knows of a conversation with some content hash (or of the copy beside it, see `Sink.write`)."""

    import_id: str
    message_count: int


@dataclass(frozen=True, slots=True)
class Replaced:
    """What came of replacing one conversation.

    `older`: a newer copy was there and stays. `own_messages`: how many messages another copy had that
    this import had put in and that is gone now. `same`: this import has put in the very same; `written`
    then tells its chunks, and nothing was written.
    """

    written: int
    deleted: int
    older: bool = False
    own_messages: int | None = None
    same: bool = False


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
class KeptReject:
    """An item that could not be imported, as the destination keeps it: all but its bytes.

    `raw_hash` is its name, `import_started_at` is in ISO 8601 (None where that import is not known any more).
    """

    raw_hash: str
    user_id: str
    import_id: str
    import_started_at: str | None
    member: str
    position: int
    conversation_id: str | None
    reason: str
    size_bytes: int


class Sink(Protocol):
    """A destination. All methods raise SinkError, and SinkBusy where trying again may help."""

    def known(self, user_id: str, settings_hash: str, hashes: Sequence[str]) -> dict[str, Known]:
        """Which of the content hashes are in, made with these settings."""

    def write(
        self,
        of: Import,
        settings_hash: str,
        conversations: Sequence[ConversationRows],
        rejects: Sequence[Reject],
        settled: Sequence[str] = (),
    ) -> list[Replaced]:
        """Puts a batch in as one transaction, and tells for each conversation what became of it.

        For each conversation the old chunks go, the new ones come and the ledger row is set. Of two
        copies the one with the greater update time stays, then the one with more nodes, then the later
        import's, then (within one import, where batches have no order) the one with the greater hash; the
        ledger remembers the hash of the other, so that importing both again changes nothing.
        A reject that is already kept is not kept twice, and one that has come as a conversation now is let go,
        or whose hash is among `settled`.
        """

    def rejects(self, user_id: str | None = None) -> list[KeptReject]:
        """What is kept as rejects, of one user or of all, newest import first, then in their files' order."""

    def reject_bytes(self, user_id: str, raw_hash: str) -> bytes | None:
        """The bytes of one of them; None where it is not kept (any more)."""

    def start_job(self, of: Import, source: str) -> None:
        """Remembers that an import runs; imports of the same user that died without a word are marked."""

    def update_job(
        self, import_id: str, counts: dict[str, Any], status: JobStatus = "running", error: str | None = None
    ) -> None:
        """Sets the counts and, at the end, the status."""

    def jobs(self) -> list[Job]:
        """All imports, newest first; one that says that it runs, but is silent, is told as interrupted."""

    def close(self) -> None:
        """Lets go of the destination."""
