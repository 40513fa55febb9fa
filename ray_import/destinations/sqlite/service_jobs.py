"""The service's queue in a SQLite file: for one machine, as the file is."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from ray_import.destinations.base import LEASE_SECONDS
from ray_import.destinations.profiles import storable
from ray_import.destinations.service_jobs import (
    ENDED_WITHIN_SECONDS,
    JOB_COLUMNS,
    STATES,
    WORKER_FORGOTTEN_SECONDS,
    WORKER_SEEN_SECONDS,
    HeldJob,
    JobEnd,
    JobStage,
    JobState,
    LeaseState,
    QueueStats,
    ServiceJob,
)
from ray_import.destinations.sqlite.file import BUSY_TIMEOUT_SECONDS
from ray_import.destinations.sqlite.service_accept import ACTIVE, SqliteAcceptance, iso, seconds_since

_SELECT = f"SELECT {', '.join(JOB_COLUMNS)} FROM service_jobs"  # noqa: S608 - names of columns
_HELD = "id = :id AND holder = :holder AND state = 'running'"
_DUE = (
    f"SELECT id FROM service_jobs INDEXED BY service_jobs_queue WHERE {ACTIVE} AND (:id IS NULL OR id = :id)"  # noqa: S608
    " AND (state = 'queued' AND due_at <= :now OR state = 'running' AND updated_at < :silent_since)"
    " ORDER BY created_at, rowid LIMIT 1"
)
_QUEUE_AGAIN = (
    "UPDATE service_jobs SET state = 'queued', holder = NULL, updated_at = :now,"
    " due_at = iif(cancel_requested, :now, :due_at)"
)


class SqliteServiceJobs(SqliteAcceptance):
    """See `ServiceJobs`. Any thread may use it, one at a time."""

    def __init__(self, path: Path, *, patience_seconds: float | None = None) -> None:
        """Opens the file, making it where there is none; waits for its lock for `patience_seconds`."""
        patience = BUSY_TIMEOUT_SECONDS if patience_seconds is None else patience_seconds
        super().__init__(path, busy_timeout_seconds=patience, any_thread=True)
        self._db.execute("PRAGMA synchronous = FULL")  # what was accepted survives a loss of power

    def claim(self, holder: str, job_id: str | None = None) -> ServiceJob | None:
        with self._translated():
            now = time.time()
            values = {"id": job_id, "now": iso(now), "silent_since": iso(now - LEASE_SECONDS), "holder": holder}
            if self._db.execute(_DUE, values).fetchone() is None:  # as it is mostly: without the file's lock
                return None
            with self._transaction():
                found = self._db.execute(_DUE, values).fetchone()
                if found is None:
                    return None
                self._db.execute(
                    "UPDATE service_jobs SET state = 'running', holder = :holder, attempts = attempts + 1,"
                    " started_at = :now, updated_at = :now WHERE id = :id",
                    {**values, "id": found[0]},
                )
                return self._job(found[0])

    def hand_over(self, job_id: str, holder: str, new_holder: str) -> bool:
        return self._change(
            "UPDATE service_jobs SET holder = :new_holder, updated_at = :now"
            " WHERE id = :id AND holder IN (:holder, :new_holder) AND state = 'running'",
            id=job_id,
            holder=holder,
            new_holder=new_holder,
        )

    def beat(self, holder: str, job_id: str | None) -> LeaseState:
        now = time.time()
        values = {"id": job_id, "holder": holder, "now": iso(now)}
        with self._translated(), self._transaction():
            self._see_worker(holder, now)
            if job_id is None:
                return "held"
            found = self._db.execute(
                f"UPDATE service_jobs SET updated_at = :now WHERE {_HELD} RETURNING cancel_requested",  # noqa: S608
                values,
            ).fetchall()
        if not found:
            return "lost"
        return "cancelled" if found[0][0] else "held"

    def _see_worker(self, holder: str, now: float) -> None:
        seen = self._db.execute("UPDATE service_workers SET seen_at = ? WHERE holder = ?", (iso(now), holder))
        if seen.rowcount == 0:
            forgotten = (iso(now - WORKER_FORGOTTEN_SECONDS),)
            self._db.execute("DELETE FROM service_workers WHERE seen_at < ?", forgotten)
            self._db.execute("INSERT INTO service_workers (holder, seen_at) VALUES (?, ?)", (holder, iso(now)))

    def reach_stage(self, job_id: str, holder: str, stage: JobStage, counts: dict[str, Any]) -> bool:
        return self._change(
            f"UPDATE service_jobs SET stage = :stage, counts = :counts, updated_at = :now WHERE {_HELD}",  # noqa: S608
            id=job_id,
            holder=holder,
            stage=stage,
            counts=_json(counts),
        )

    def finish(
        self,
        job_id: str,
        holder: str,
        end: JobEnd,
        counts: dict[str, Any],
        error: str | None = None,
        error_type: str | None = None,
    ) -> bool:
        ended = self._change(
            "UPDATE service_jobs SET state = :end, source = '', counts = :counts, error = :error,"  # noqa: S608
            f" error_type = :error_type, updated_at = :now, finished_at = :now WHERE {_HELD}",
            id=job_id,
            holder=holder,
            end=end,
            counts=_json(counts),
            error=storable(error),
            error_type=storable(error_type),
        )
        return ended or self._exists("id = ? AND holder = ? AND state = ?", job_id, holder, end)

    def hand_back(
        self,
        job_id: str,
        holder: str,
        *,
        delay_seconds: float = 0.0,
        counts_attempt: bool = True,
        error: str | None = None,
        error_type: str | None = None,
    ) -> bool:
        return self._change(
            f"{_QUEUE_AGAIN}, attempts = attempts - :uncounted, error = :error, error_type = :error_type WHERE {_HELD}",
            id=job_id,
            holder=holder,
            due_at=iso(time.time() + delay_seconds),
            uncounted=int(not counts_attempt),
            error=storable(error),
            error_type=storable(error_type),
        )

    def release(self, holder: str) -> int:
        now = iso(time.time())
        with self._translated(), self._transaction():
            self._db.execute("DELETE FROM service_workers WHERE holder = ?", (holder,))
            return self._db.execute(
                f"{_QUEUE_AGAIN} WHERE holder = :holder AND state = 'running'",
                {"holder": holder, "now": now, "due_at": now},
            ).rowcount

    def held(self) -> list[HeldJob]:
        now = time.time()
        with self._translated():
            found = self._db.execute(
                "SELECT id, holder, updated_at FROM service_jobs WHERE state = 'running' ORDER BY created_at, rowid"
            ).fetchall()
        return [
            HeldJob(job_id=id_, holder=holder, silent_seconds=seconds_since(updated_at, now))
            for id_, holder, updated_at in found
        ]

    def cancel(self, job_id: str, user_id: str) -> ServiceJob | None:
        values = {"id": job_id, "user": user_id, "now": iso(time.time())}
        with self._translated(), self._transaction():
            self._db.execute(
                "UPDATE service_jobs SET state = 'cancelled', cancel_requested = 1, source = '', updated_at = :now,"
                " finished_at = :now WHERE id = :id AND user_id = :user AND state = 'queued' AND started_at IS NULL",
                values,
            )
            self._db.execute(
                f"UPDATE service_jobs SET cancel_requested = 1, due_at = :now"  # noqa: S608
                f" WHERE id = :id AND user_id = :user AND {ACTIVE}",
                values,
            )
            return self._job(job_id, user_id)

    def job(self, job_id: str, user_id: str | None = None) -> ServiceJob | None:
        with self._translated():
            return self._job(job_id, user_id)

    def list_jobs(
        self, user_id: str | None = None, states: Sequence[JobState] = (), limit: int = 100
    ) -> list[ServiceJob]:
        sql, values = _listing(user_id, states or STATES, limit)
        with self._translated():
            return list(map(_job_of, self._db.execute(sql, values).fetchall()))

    def stats(self) -> QueueStats:
        now = time.time()
        with self._translated(), self._transaction("DEFERRED"):
            queued, running, oldest = self._db.execute(
                "SELECT count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'running'),"  # noqa: S608
                f" min(created_at) FILTER (WHERE state = 'queued') FROM service_jobs WHERE {ACTIVE}"
            ).fetchone()
            (workers,) = self._db.execute(
                "SELECT count(*) FROM service_workers WHERE seen_at >= ?", (iso(now - WORKER_SEEN_SECONDS),)
            ).fetchone()
            ended = self._db.execute(
                "SELECT state, count(*) FROM service_jobs WHERE finished_at >= ? GROUP BY state",
                (iso(now - ENDED_WITHIN_SECONDS),),
            ).fetchall()
        oldest_seconds = 0.0 if oldest is None else seconds_since(oldest, now)
        return QueueStats(
            queued=queued, running=running, oldest_queued_seconds=oldest_seconds, workers=workers, ended=dict(ended)
        )

    def leave(self, holder: str) -> None:
        with self._translated():
            self._db.execute("DELETE FROM service_workers WHERE holder = ?", (holder,))

    def _job(self, job_id: str, user_id: str | None = None) -> ServiceJob | None:
        found = self._db.execute(
            f"{_SELECT} WHERE id = ?1 AND (?2 IS NULL OR user_id = ?2)", (job_id, user_id)
        ).fetchone()
        return None if found is None else _job_of(found)

    def _change(self, statement: str, **values: Any) -> bool:
        with self._translated():
            return self._db.execute(statement, {**values, "now": iso(time.time())}).rowcount == 1

    def _exists(self, condition: str, *values: Any) -> bool:
        with self._translated():
            found = self._db.execute(f"SELECT 1 FROM service_jobs WHERE {condition}", values)  # noqa: S608
            return found.fetchone() is not None


def _listing(user_id: str | None, states: Sequence[JobState], limit: int) -> tuple[str, list[Any]]:
    """By an index, whatever is asked for: of all users, the newest of each state are merged."""
    order = "ORDER BY created_at DESC, rowid DESC LIMIT ?"
    if user_id is not None:
        marks = ", ".join("?" * len(states))
        return f"{_SELECT} WHERE user_id = ? AND state IN ({marks}) {order}", [user_id, *states, limit]
    newest = " UNION ALL ".join(
        [f"SELECT * FROM (SELECT rowid FROM service_jobs WHERE state = ? {order})"] * len(states)  # noqa: S608
    )
    values = [value for state in states for value in (state, limit)]
    return f"{_SELECT} WHERE rowid IN ({newest}) {order}", [*values, limit]


def _job_of(row: tuple[Any, ...]) -> ServiceJob:
    values = dict(zip(JOB_COLUMNS, row, strict=True))
    flags = {"cancel_requested": bool(values["cancel_requested"]), "counts": orjson.loads(values["counts"])}
    return ServiceJob(**{**values, **flags})


def _json(value: dict[str, Any]) -> str:
    return orjson.dumps(storable(value)).decode()
