"""The Sink port over a Postgres with ray_import's functions in it (`sql/postgres/`), however it is reached."""

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ray_import.chunks.rows import PRODUCT, ConversationRows, ImportJob
from ray_import.destinations.base import KeptReject, LedgerEntry, Pruned, RejectLimits, WriteResult
from ray_import.destinations.halving import busy, parts_of, put_halving, reject_bytes
from ray_import.destinations.postgres.ledger import DatabaseJobs, DatabaseRuns
from ray_import.destinations.postgres.profiles import DatabaseProfiles
from ray_import.destinations.postgres.rows import batch_of, our_time, replaced_of
from ray_import.destinations.postgres.sqlstates import error_of_write
from ray_import.destinations.refusals import FirstRefusals
from ray_import.errors import ConfigError, RowsRefused, SinkError, SinkOverloaded
from ray_import.records import Reject

MOST_REJECT_BYTES = 16 * 1024 * 1024
"""Of a larger reject the first and last bytes are kept: it has to fit into one request."""
REJECT_SAMPLE_BYTES = 64 * 1024


class DatabaseSink(DatabaseJobs, DatabaseRuns, DatabaseProfiles):
    def known(self, user_id: str, settings_hash: str, hashes: Sequence[str]) -> dict[str, LedgerEntry]:
        arguments = {"p_user_id": user_id, "p_product": PRODUCT, "p_settings_hash": settings_hash}
        found = self._call("known", **arguments, p_hashes=list(hashes))
        return {raw_hash: LedgerEntry(*known) for raw_hash, known in found.items()}

    def write(
        self,
        job: ImportJob,
        settings_hash: str,
        conversations: Sequence[ConversationRows],
        rejects: Sequence[Reject],
        settled: Sequence[str] = (),
    ) -> list[WriteResult]:
        unsure: set[str] = set()

        def put(part: Sequence[ConversationRows]) -> list[WriteResult]:
            return self._put(job, settings_hash, part, unsure)

        first = FirstRefusals(lambda hashes: self.takes_none(job, hashes))
        replaced: list[WriteResult] = []
        while len(replaced) < len(conversations):  # the limits may change on the way
            limits = self._database.limits
            part = next(parts_of(conversations[len(replaced) :], limits.rows, limits.bytes))
            replaced += put_halving(part, put, first)
        self.keep_rejects(job, rejects, settled)
        return replaced

    def keep_rejects(
        self, job: ImportJob, rejects: Sequence[Reject], settled: Sequence[str] = (), limits: RejectLimits | None = None
    ) -> int:
        if not rejects and not settled:
            return 0
        return self._keep(job, [_sampled(reject, MOST_REJECT_BYTES) for reject in rejects], settled, limits)

    def _keep(
        self, job: ImportJob, rejects: Sequence[Reject], settled: Sequence[str], limits: RejectLimits | None
    ) -> int:
        """In halves where they are too much at once; of one that is too much alone, its first and last bytes."""
        several = len(rejects) > 1
        if several and sum(map(reject_bytes, rejects)) > self._database.limits.bytes:
            return self._keep_halves(job, rejects, settled, limits)
        most, most_bytes = (None, None) if limits is None else (limits.count, limits.bytes)
        arguments = {"p_batch": batch_of(job, "", [], rejects, settled), "p_most": most, "p_most_bytes": most_bytes}
        try:
            left: int = self._patiently(
                lambda: self._database.call("ray_import_keep_rejects", arguments), whole=not several
            )
        except SinkOverloaded as error:
            if several:
                return self._keep_halves(job, rejects, settled, limits)
            samples = [_sampled(reject, 2 * REJECT_SAMPLE_BYTES) for reject in rejects]
            if samples == list(rejects):
                raise busy(error) from None
            return self._keep(job, samples, settled, limits)
        return left

    def _keep_halves(
        self, job: ImportJob, rejects: Sequence[Reject], settled: Sequence[str], limits: RejectLimits | None
    ) -> int:
        middle = len(rejects) // 2
        return self._keep(job, rejects[:middle], settled, limits) + self._keep(job, rejects[middle:], settled, limits)

    def takes_none(self, job: ImportJob, hashes: Sequence[str] = ()) -> bool:
        return bool(self._call("takes_none", **_named(job), p_hashes=list(hashes)))

    def withdraw_rejects(self, job: ImportJob, reason: str) -> bool:
        return bool(self._call("withdraw_rejects", **_named(job), p_reason=reason))

    def _put(
        self, job: ImportJob, settings_hash: str, conversations: Sequence[ConversationRows], unsure: set[str]
    ) -> list[WriteResult]:
        """`unsure` collects the conversations that an earlier try may have put in, whose answer was lost."""
        batch = batch_of(job, settings_hash, conversations, [], [])
        chunks = [chunk for rows in conversations for chunk in rows.chunks]
        messages = [message for rows in conversations for message in rows.messages]
        ids = [rows.conversation_id for rows in conversations]

        def put() -> list[dict[str, Any]]:
            try:
                return self._database.write(batch, chunks, messages)
            except SinkError as error:
                meant = error_of_write(error)
                if not isinstance(meant, RowsRefused):  # then nothing is in for certain
                    unsure.update(ids)
                raise meant from None

        outcomes = map(replaced_of, self._patiently(put, whole=len(conversations) == 1))
        # Found as the same, such a one is what was put in then.
        return [
            replace(outcome, same=outcome.same and conversation_id not in unsure)
            for conversation_id, outcome in zip(ids, outcomes, strict=True)
        ]

    def mark_seen(self, job: ImportJob, hashes: Sequence[str], conversation_ids: Sequence[str]) -> None:
        self._call("mark_seen", **_named(job), p_hashes=list(hashes), p_ids=list(conversation_ids))

    def prune(self, job: ImportJob) -> Pruned:
        return Pruned(**self._call("prune", **_named(job)))

    def rejects(self, user_id: str | None = None) -> list[KeptReject]:
        return [
            KeptReject(**{**found, "import_started_at": our_time(found["import_started_at"])})
            for found in self._call("rejects", p_user_id=user_id)
        ]

    def reject_bytes(self, user_id: str, raw_hash: str) -> bytes | None:
        found = self._call("reject_bytes", p_user_id=user_id, p_raw_hash=raw_hash)
        return None if found is None else base64.b64decode(found)

    def set_profile(self, table: str, user_id: str, values: dict[str, Any]) -> None:
        with _of_profile(table, values):
            self._call("set_profile", p_table=table, p_user_id=user_id, p_values=values)

    def profile_takes(self, table: str, user_id: str, endings: Sequence[dict[str, Any]]) -> list[bool]:
        with _of_profile(table, {name: None for values in endings for name in values}):
            takes = self._call("profile_takes", p_table=table, p_user_id=user_id, p_endings=list(endings))
        return [bool(one) for one in takes]


def _named(job: ImportJob) -> dict[str, str]:
    return {"p_import_id": job.id, "p_user_id": job.user_id, "p_product": job.product}


@contextmanager
def _of_profile(table: str, values: dict[str, Any]) -> Iterator[None]:
    """What a table refuses is a mistake in --profile-table, unless it may pass."""
    try:
        yield
    except SinkError as error:
        if error.retry:
            raise
        what = f"The table {table} rejected user_id, {', '.join(values)} and the totals ({error.code})."
        hint = "--profile-table needs a table with user_id and the columns that docs/supabase.md lists."
        raise ConfigError(what, hint) from None


def _sampled(reject: Reject, most_bytes: int) -> Reject:
    """The reject, or one with the first and last bytes of it."""
    if len(reject.raw) <= most_bytes:
        return reject
    return replace(reject, raw=reject.raw[:REJECT_SAMPLE_BYTES] + reject.raw[-REJECT_SAMPLE_BYTES:])
