"""The Sink port over a Postgres with ray_import's functions in it (`sql/postgres/`), however it is reached.

Every function may be called again: so whatever fails in a way that passes is tried again, also where nobody knows
whether it was done.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Protocol, TypeVar

import orjson
from tenacity import RetryCallState, Retrying, stop_after_delay, wait_random_exponential

from ray_import.chunks.rows import ChunkRow, ConversationRows, Import, iso_time
from ray_import.errors import ConfigError, ImporterError, RowsRefused, SinkBusy, SinkError, SinkOverloaded
from ray_import.extraction.extract import content_hash
from ray_import.records import Reject
from ray_import.sink.halving import TOO_LARGE, parts_of, put_halving
from ray_import.sink.migrations import LATEST_POSTGRES
from ray_import.sink.port import (
    LEASE_SECONDS,
    Job,
    JobStatus,
    KeptReject,
    Known,
    Pruned,
    Replaced,
    Running,
    RunStatus,
    RunUser,
)

PATIENCE_SECONDS = 240
"""How long a destination that has answered once may be away."""
OPENING_PATIENCE_SECONDS = 10
LONGEST_WAIT_SECONDS = 15
TRIES_OF_TOO_LARGE = 3

MOST_REJECT_BYTES = 16 * 1024 * 1024
"""Of a larger reject the first and last bytes are kept: it has to fit into one request."""
REJECT_SAMPLE_BYTES = 64 * 1024

T = TypeVar("T")


@dataclass(slots=True)
class PartLimits:
    """How much is written in one transaction."""

    rows: int
    bytes: int


class Database(Protocol):
    """A way to the functions. Raises SinkError and its kinds."""

    limits: PartLimits

    def call(self, function: str, arguments: dict[str, Any]) -> Any:
        """Calls one function in a transaction of its own, and gives what it gives."""

    def write(self, batch: dict[str, Any], chunks: Sequence[ChunkRow]) -> list[dict[str, Any]]:
        """Puts conversations and their chunks in, as one transaction: gives their fates (see ray_import_replace)."""

    def close(self) -> None:
        """Lets go of it."""


class DatabaseSink:
    """See `Sink`."""

    def __init__(self, database: Database) -> None:
        """Raises SinkError where the database is not reached, or is not set up."""
        self._database = database
        self._patience_seconds: float = OPENING_PATIENCE_SECONDS
        try:
            self._refuse_other_version(self._call("version"))
        except BaseException:
            database.close()
            raise
        self._patience_seconds = PATIENCE_SECONDS

    def _refuse_other_version(self, version: int) -> None:
        if version < LATEST_POSTGRES:
            raise SinkError(
                f"The database's tables are of version {version}, this ray-import needs {LATEST_POSTGRES}.",
                "Run ray-import migrate with the same --to.",
            )
        if version > LATEST_POSTGRES:
            raise SinkError(
                f"The database's tables are of version {version}, this ray-import knows {LATEST_POSTGRES}.",
                "Upgrade ray-import.",
            )

    def known(self, user_id: str, settings_hash: str, hashes: Sequence[str]) -> dict[str, Known]:
        """See `Sink.known`."""
        found = self._call("known", p_user_id=user_id, p_settings_hash=settings_hash, p_hashes=list(hashes))
        return {raw_hash: Known(*known) for raw_hash, known in found.items()}

    def write(
        self,
        of: Import,
        settings_hash: str,
        conversations: Sequence[ConversationRows],
        rejects: Sequence[Reject],
        settled: Sequence[str] = (),
    ) -> list[Replaced]:
        """See `Sink.write`."""

        unsure: set[str] = set()

        def put(part: Sequence[ConversationRows]) -> list[Replaced]:
            return self._put(of, settings_hash, part, unsure)

        replaced: list[Replaced] = []
        while len(replaced) < len(conversations):  # the limits may change on the way
            limits = self._database.limits
            part = next(parts_of(conversations[len(replaced) :], limits.rows, limits.bytes))
            replaced += put_halving(part, put)
        if rejects or settled:
            self._put_rejects(of, settings_hash, [_sampled(reject, MOST_REJECT_BYTES) for reject in rejects], settled)
        return replaced

    def _put_rejects(self, of: Import, settings_hash: str, rejects: Sequence[Reject], settled: Sequence[str]) -> None:
        """In halves where they are too much at once; of one that is too much alone, its first and last bytes."""
        several = len(rejects) > 1
        batch = _batch(of, settings_hash, [], rejects, settled)
        if several and sum(len(reject.raw) for reject in rejects) > self._database.limits.bytes:
            self._halve_rejects(of, settings_hash, rejects, settled)
            return
        try:
            self._patiently(lambda: self._database.write(batch, []), whole=not several)
        except SinkOverloaded as error:
            if several:
                self._halve_rejects(of, settings_hash, rejects, settled)
                return
            samples = [_sampled(reject, 2 * REJECT_SAMPLE_BYTES) for reject in rejects]
            if samples == list(rejects):
                raise SinkBusy(error.message, error.hint) from None
            self._put_rejects(of, settings_hash, samples, settled)

    def _halve_rejects(self, of: Import, settings_hash: str, rejects: Sequence[Reject], settled: Sequence[str]) -> None:
        middle = len(rejects) // 2
        self._put_rejects(of, settings_hash, rejects[:middle], settled)
        self._put_rejects(of, settings_hash, rejects[middle:], settled)

    def _put(
        self, of: Import, settings_hash: str, conversations: Sequence[ConversationRows], unsure: set[str]
    ) -> list[Replaced]:
        """`unsure` collects the conversations that an earlier try may have put in, whose answer was lost."""
        batch = _batch(of, settings_hash, conversations, [], [])
        chunks = [chunk for rows in conversations for chunk in rows.chunks]
        ids = [rows.conversation_id for rows in conversations]

        def put() -> list[dict[str, Any]]:
            try:
                return self._database.write(batch, chunks)
            except SinkError:
                unsure.update(ids)
                raise

        outcomes = map(_replaced, self._patiently(put, whole=len(conversations) == 1))
        # Found as the same, such a one is what was put in then.
        return [
            replace(outcome, same=outcome.same and conversation_id not in unsure)
            for conversation_id, outcome in zip(ids, outcomes, strict=True)
        ]

    def mark_seen(self, of: Import, hashes: Sequence[str], conversation_ids: Sequence[str]) -> None:
        """See `Sink.mark_seen`."""
        self._call(
            "mark_seen", p_import_id=of.id, p_user_id=of.user_id, p_hashes=list(hashes), p_ids=list(conversation_ids)
        )

    def prune(self, of: Import) -> Pruned:
        """See `Sink.prune`."""
        return Pruned(**self._call("prune", p_import_id=of.id, p_user_id=of.user_id))

    def rejects(self, user_id: str | None = None) -> list[KeptReject]:
        """See `Sink.rejects`."""
        return [
            KeptReject(**{**found, "import_started_at": _iso(found["import_started_at"])})
            for found in self._call("rejects", p_user_id=user_id)
        ]

    def reject_bytes(self, user_id: str, raw_hash: str) -> bytes | None:
        """See `Sink.reject_bytes`."""
        found = self._call("reject_bytes", p_user_id=user_id, p_raw_hash=raw_hash)
        return None if found is None else base64.b64decode(found)

    def start_job(self, of: Import, source: str, holder: str) -> Running | None:
        """See `Sink.start_job`."""
        try:
            found = self._call(
                "start",
                p_import_id=of.id,
                p_user_id=of.user_id,
                p_source=source,
                p_holder=holder,
                p_started_at=iso_time(of.started_at),
                p_lease_seconds=LEASE_SECONDS,
            )
        except RowsRefused as error:
            what = f"{of.user_id} is no user id that the database's tables can hold ({error.code})."
            raise ConfigError(what, "Where their user_id is a uuid, name one with --user-id.") from None
        return None if found is None else Running(**{**found, "started_at": _iso(found["started_at"])})

    def beat(self, import_id: str) -> bool:
        """See `Sink.beat`."""
        return bool(self._call("beat", p_import_id=import_id))

    def update_job(
        self, import_id: str, counts: dict[str, Any], status: JobStatus = "running", error: str | None = None
    ) -> bool:
        """See `Sink.update_job`."""
        return bool(self._call("update", p_import_id=import_id, p_counts=counts, p_status=status, p_error=error))

    def set_profile(self, table: str, user_id: str, values: dict[str, Any]) -> None:
        """See `Sink.set_profile`."""
        try:
            self._call("set_profile", p_table=table, p_user_id=user_id, p_values=values)
        except SinkError as error:
            if error.retry:
                raise
            hint = "--profile-table names a table with user_id and the columns that docs/supabase.md tells."
            raise ConfigError(error.message, hint) from None

    def jobs(self) -> list[Job]:
        """See `Sink.jobs`."""
        found = self._call("jobs", p_lease_seconds=LEASE_SECONDS)
        times = ("started_at", "updated_at", "finished_at")
        return [Job(**{**job, **{name: _iso(job[name]) for name in times}}) for job in found]

    def last_run(self, what: str, settings_hash: str) -> tuple[str, RunStatus] | None:
        """See `RunLedger.last_run`."""
        found = self._call("run_last", p_what=what, p_settings_hash=settings_hash)
        return None if found is None else (found[0], found[1])

    def run_users(self, run_id: str) -> list[RunUser]:
        """See `RunLedger.run_users`."""
        return [RunUser(**user) for user in self._call("run_users", p_run_id=run_id)]

    def open_run(self, run_id: str, what: str, settings_hash: str, users: Sequence[RunUser]) -> list[RunUser]:
        """See `RunLedger.open_run`."""
        named = [{"user_id": user.user_id, "source": user.source} for user in users]
        found = self._call("run_open", p_run_id=run_id, p_what=what, p_settings_hash=settings_hash, p_users=named)
        return [RunUser(**user) for user in found]

    def save_user(self, run_id: str, user: RunUser) -> None:
        """See `RunLedger.save_user`."""
        self._call("run_save", p_run_id=run_id, p_user=asdict(user))

    def close_run(self, run_id: str, status: RunStatus) -> None:
        """See `RunLedger.close_run`."""
        self._call("run_close", p_run_id=run_id, p_status=status)

    def versions(self, settings_hash: str) -> dict[str, tuple[str, str]]:
        """See `RunLedger.versions`."""
        found = self._call("run_versions", p_settings_hash=settings_hash)
        return {user_id: (source, version) for user_id, (source, version) in found.items()}

    def users_of(self, table: str, column: str) -> list[tuple[str, str]]:
        """See `RunLedger.users_of`."""
        try:
            found = self._call("users_of", p_table=table, p_column=column)
        except SinkError as error:
            if error.retry:
                raise
            hint = "--from-table names a table with user_id, --source-column its column with the sources."
            raise ConfigError(error.message, hint) from None
        return [(user_id, source) for user_id, source in found]

    def close(self) -> None:
        """See `Sink.close`."""
        self._database.close()

    def _call(self, function: str, **arguments: Any) -> Any:
        return self._patiently(lambda: self._database.call(f"ray_import_{function}", arguments), whole=True)

    def _patiently(self, work: Callable[[], T], *, whole: bool) -> T:
        """Tries again what may pass. What is too much is for halving, unless it is `whole` already."""
        return Retrying(
            retry=lambda state: _may_pass(state, whole=whole),
            wait=_wait,
            stop=stop_after_delay(self._patience_seconds),
            reraise=True,
        )(work)


def _may_pass(state: RetryCallState, *, whole: bool) -> bool:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, SinkOverloaded):
        return whole and (error.code != TOO_LARGE or state.attempt_number < TRIES_OF_TOO_LARGE)
    return isinstance(error, ImporterError) and error.retry


_random_wait = wait_random_exponential(multiplier=0.2, max=LONGEST_WAIT_SECONDS)


def _wait(state: RetryCallState) -> float:
    """Longer and longer, by chance, so that workers do not come back all at once; at least as long as was asked for."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_seconds if isinstance(error, SinkBusy) else 0.0
    return max(_random_wait(state), min(asked, PATIENCE_SECONDS / 4))


def _batch(
    of: Import,
    settings_hash: str,
    conversations: Sequence[ConversationRows],
    rejects: Sequence[Reject],
    settled: Sequence[str],
) -> dict[str, Any]:
    """The argument of ray_import_replace."""
    return {
        "user_id": of.user_id,
        "import_id": of.id,
        "settings_hash": settings_hash,
        "imported_at": iso_time(of.started_at),
        "conversations": [
            {
                "conversation_id": rows.conversation_id,
                "content_hash": rows.content_hash,
                "title": rows.title,
                "create_time": rows.create_time,
                "update_time": rows.update_time,
                "node_count": rows.node_count,
                "message_count": rows.message_count,
                "chunk_count": len(rows.chunks),
            }
            for rows in conversations
        ],
        "rejects": [_reject(reject) for reject in rejects],
        "settled": list(settled),
    }


def _sampled(reject: Reject, most_bytes: int) -> Reject:
    """The reject, or one with the first and last bytes of it."""
    if len(reject.raw) <= most_bytes:
        return reject
    return replace(reject, raw=reject.raw[:REJECT_SAMPLE_BYTES] + reject.raw[-REJECT_SAMPLE_BYTES:])


def _reject(reject: Reject) -> dict[str, Any]:
    return {
        "member": _storable(reject.member),
        "position": reject.position,
        "conversation_id": reject.conversation_id and _storable(reject.conversation_id),
        "reason": reject.reason,
        "raw": base64.b64encode(reject.raw).decode(),
        "raw_hash": content_hash(reject.raw),
    }


def _storable(name: str) -> str:
    """A name that Postgres takes; what comes from a damaged file may hold anything."""
    return name.replace("\0", "\ufffd").encode(errors="replace").decode()


def _replaced(fate: dict[str, Any]) -> Replaced:
    match fate["fate"]:
        case "put_in":
            return Replaced(fate["chunk_count"], fate["deleted"], own_messages=fate["own_messages"])
        case "same":
            return Replaced(fate["chunk_count"], 0, same=True)
        case _:
            return Replaced(0, 0, older=True)


def _iso(time: str | None) -> Any:
    """A time as Postgres writes it in JSON, written as ours."""
    return None if time is None else iso_time(datetime.fromisoformat(time).timestamp())


def chunk_object(chunk: ChunkRow) -> dict[str, Any]:
    """A row as JSON for ray_import_write."""
    return {**chunk._asdict(), "node_ids": orjson.loads(chunk.node_ids)}
