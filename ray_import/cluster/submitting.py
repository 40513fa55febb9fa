"""Jobs of the service as Ray jobs, over the Jobs API of a cluster's dashboard."""

import os
import shlex
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus, JobSubmissionClient

from ray_import.errors import ClusterError, ConfigError

T = TypeVar("T")

ANSWER_WITHIN_SECONDS = 20.0
"""Of a call: Ray's client waits without end."""
PREFIX = "ray-import-"

_STATES: dict[JobStatus, Literal["pending", "running", "ended"]] = {
    JobStatus.PENDING: "pending",
    JobStatus.RUNNING: "running",
}


def dashboard_address() -> str:
    """http(s)://HOST:PORT of the dashboard, which takes jobs. Raises ConfigError."""
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
        address = os.environ.get(name, "")
        if address.startswith(("http://", "https://")):
            return address
    raise ConfigError(
        "--submit needs the address of a Ray dashboard.",
        "Set RAY_API_SERVER_ADDRESS, for example to http://ray-head:8265.",
    )


@dataclass(slots=True)
class SubmittedJobs:
    """Submits `ray-import work` with `options`. Connects with the first call, and again after an error. Methods raise
    ClusterError where the dashboard does not answer, or refuses."""

    address: str
    options: Sequence[str]
    _client: Any = None

    def submit(self, submission_id: str, job_id: str, holder: str) -> None:
        """Submits the job; nothing happens where this id was submitted before. The process takes the lease over from
        `holder`. No key is sent along: the machines of the cluster have them in their environment."""
        entrypoint = shlex.join(["ray-import", "work", "--job", job_id, "--lease", holder, *self.options])

        def submit(client: Any) -> None:
            try:
                client.submit_job(entrypoint=entrypoint, submission_id=submission_id)
            except RuntimeError:
                client.get_job_status(submission_id)  # raises RuntimeError as well where there is none

        self._asked(submit)

    def states(self) -> dict[str, Literal["pending", "running", "ended"]]:
        """All jobs that were submitted here, by submission id."""
        jobs = self._asked(lambda client: client.list_jobs())
        return {
            job.submission_id: _STATES.get(job.status, "ended")
            for job in jobs
            if job.submission_id and job.submission_id.startswith(PREFIX)
        }

    def stop(self, submission_id: str) -> None:
        """Asks a job to stop."""
        self._asked(lambda client: client.stop_job(submission_id))

    def _asked(self, call: Callable[[Any], T]) -> T:
        answers: list[T] = []
        errors: list[str] = []

        def ask() -> None:
            try:
                if self._client is None:
                    self._client = JobSubmissionClient(self.address)
                answers.append(call(self._client))
            except (RuntimeError, OSError, ValueError, AuthenticationError, requests.RequestException) as error:
                self._client = None
                errors.append(type(error).__name__)

        thread = threading.Thread(target=ask, name="ray-jobs", daemon=True)
        thread.start()
        thread.join(ANSWER_WITHIN_SECONDS)
        if answers:
            return answers[0]
        why = errors[0] if errors else f"no answer in {ANSWER_WITHIN_SECONDS:.0f} s"
        raise ClusterError(
            f"The Jobs API of the Ray cluster cannot be used ({why}).", "Check RAY_API_SERVER_ADDRESS and Ray's token."
        )
