"""Whether a SQLite file's queue takes one more job."""

import time
from datetime import datetime

from ray_import.chunks.rows import iso_time
from ray_import.destinations.base import LEASE_SECONDS
from ray_import.destinations.service_jobs import (
    MOST_DELETED,
    RATE_WINDOW_SECONDS,
    RETENTION_DAYS,
    Accepted,
    NewJob,
    Refused,
    refuse_unstorable,
)
from ray_import.destinations.sqlite.file import SqliteConnection

ACTIVE = "state IN ('queued', 'running')"


class SqliteAcceptance(SqliteConnection):
    """The first step of a `ServiceJobs`."""

    def accept(self, job: NewJob, *, jobs_per_hour: int) -> Accepted | Refused:
        refuse_unstorable(job)
        with self._translated(), self._transaction():
            now = time.time()
            answer = self._earlier(job) or self._active(job, now) or self._rate_limited(job, jobs_per_hour, now)
            if answer is not None:
                return answer
            self._insert(job, iso(now))
            self._delete_old(now)
        return Accepted(job_id=job.id, is_new=True)

    def _earlier(self, job: NewJob) -> Accepted | Refused | None:
        """The answer to a request that has come before."""
        if self._db.execute(
            "SELECT 1 FROM service_jobs WHERE id = ? AND user_id = ?", (job.id, job.user_id)
        ).fetchone():
            return Accepted(job_id=job.id, is_new=True)
        found = self._db.execute(
            "SELECT id, request_hash FROM service_jobs"
            " WHERE user_id = ? AND idempotency_key = ? AND idempotency_key <> ''",
            (job.user_id, job.idempotency_key),
        ).fetchone()
        if found is None:
            return None
        id_, request_hash = found
        if request_hash != job.request_hash:
            return Refused(reason="key_reused", job_id=id_)
        return Accepted(job_id=id_, is_new=False)

    def _active(self, job: NewJob, now: float) -> Refused | None:
        found = self._db.execute(
            f"SELECT id, created_at FROM service_jobs WHERE user_id = ?1 AND {ACTIVE}"  # noqa: S608
            " UNION ALL SELECT id, started_at FROM import_jobs"
            " WHERE user_id = ?1 AND status = 'running' AND updated_at >= ?2",
            (job.user_id, iso(now - LEASE_SECONDS)),
        ).fetchone()
        return found and Refused(reason="active", job_id=found[0], age_seconds=seconds_since(found[1], now))

    def _rate_limited(self, job: NewJob, jobs_per_hour: int, now: float) -> Refused | None:
        """The oldest of the last `jobs_per_hour` jobs has to leave the window first."""
        if jobs_per_hour <= 0:
            return Refused(reason="rate_limited", retry_after_seconds=RATE_WINDOW_SECONDS)
        found = self._db.execute(
            "SELECT created_at FROM service_jobs WHERE user_id = ? AND created_at > ?"
            " ORDER BY created_at DESC LIMIT 1 OFFSET ?",
            (job.user_id, iso(now - RATE_WINDOW_SECONDS), jobs_per_hour - 1),
        ).fetchone()
        if found is None:
            return None
        left_seconds = RATE_WINDOW_SECONDS - seconds_since(found[0], now)
        return Refused(reason="rate_limited", retry_after_seconds=max(0.0, left_seconds))

    def _insert(self, job: NewJob, now: str) -> None:
        self._db.execute(
            "INSERT INTO service_jobs (id, user_id, state, stage, source, source_label, file_type, idempotency_key,"
            " request_hash, attempts, cancel_requested, counts, due_at, created_at, updated_at)"
            " VALUES (?1, ?2, 'queued', ?3, ?4, ?5, ?6, ?7, ?8, 0, 0, '{}', ?9, ?9, ?9)",
            (
                job.id, job.user_id, job.stage, job.source, job.source_label, job.file_type, job.idempotency_key,
                job.request_hash, now,
            ),
        )  # fmt: skip

    def _delete_old(self, now: float) -> None:
        self._db.execute(
            "DELETE FROM service_jobs WHERE rowid IN (SELECT rowid FROM service_jobs WHERE finished_at < ?"
            " ORDER BY finished_at LIMIT ?)",
            (iso(now - RETENTION_DAYS * 86_400), MOST_DELETED),
        )


def iso(seconds: float) -> str:
    return iso_time(seconds) or ""


def seconds_since(time_: str, now: float) -> float:
    """Never negative, whatever the clock did."""
    return max(0.0, now - datetime.fromisoformat(time_).timestamp())
