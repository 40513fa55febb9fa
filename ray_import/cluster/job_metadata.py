"""The progress of a run as metadata of the Ray job that it runs in: on the job's page, and in `ray job list`.

Ray takes a job's metadata when it is submitted, and has no public way to change it later. So this changes the job's
entry in Ray's own key-value store, as Ray's job manager does: the one place that uses these names of Ray's. Whatever
goes wrong here costs the metadata and nothing else.
"""

import json
import os
import time
from collections.abc import Callable
from typing import Any

import ray

from ray_import.cluster.environment import JOB_CONFIG
from ray_import.pipeline.progress import Progress, percent

WRITE_EVERY_SECONDS = 5.0
ANSWER_WITHIN_SECONDS = 2
MOST_FAILURES = 3
"""In a row; then it is left."""


class JobEntry:
    """The metadata of the job in which this process was started; nothing is written where there is no such job."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._job_id = submission_id()
        self._failures = 0
        self._next = clock()
        self._written: dict[str, str] = {}

    def write(self, told: dict[str, str], *, is_last: bool) -> None:
        """Writes what is new, every few seconds and at the end."""
        if not self._job_id or self._failures >= MOST_FAILURES:
            return
        if told == self._written or not (is_last or self._clock() >= self._next):
            return
        self._next = self._clock() + WRITE_EVERY_SECONDS
        try:
            _put(self._job_id, told)
        except Exception:  # noqa: BLE001 - of another version of Ray it may be anything, and no run fails for it
            self._failures += 1
            return
        self._failures = 0
        self._written = told


class JobMetadata:
    """A reporter of imports."""

    def __init__(self, run_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._run_id = run_id
        self._entry = JobEntry(clock)

    def show(self, progress: Progress) -> None:
        told = metadata_of(self._run_id, progress)
        self._entry.write(told, is_last=told["import_percent"] == "100")


def metadata_of(run_id: str, progress: Progress) -> dict[str, str]:
    """The run in three texts, none of them of a user. 100 % are reached when every user has ended."""
    states = {state: count for state, count in sorted(progress.states.items()) if count}
    return {
        "import_run_id": run_id,
        "import_users": ", ".join(f"{count} {state}" for state, count in states.items()),
        "import_percent": str(percent(progress.users_share)),
    }


def submission_id() -> str:
    """The id under which this process was submitted as a job; empty where it was not."""
    try:
        return str(json.loads(os.environ[JOB_CONFIG])["metadata"]["job_submission_id"])
    except (KeyError, TypeError, ValueError):
        return ""


def _put(job_id: str, told: dict[str, str]) -> None:
    """Only while the job runs: Ray reads and writes the whole entry, too, but not between a job's start and its end."""
    client: Any = ray._private.worker.global_worker.gcs_client  # noqa: SLF001
    key, room = f"_ray_internal_job_info_{job_id}".encode(), b"job"
    entry = json.loads(client.internal_kv_get(key, namespace=room, timeout=ANSWER_WITHIN_SECONDS))
    if entry["status"] == "RUNNING":
        entry["metadata"] = {**(entry.get("metadata") or {}), **told}
        client.internal_kv_put(key, json.dumps(entry).encode(), True, namespace=room, timeout=ANSWER_WITHIN_SECONDS)
