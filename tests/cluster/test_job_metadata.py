"""What a run tells of itself as metadata of its job, and what it does where that cannot be told."""

import json
from collections import Counter
from typing import Any

import pytest
import ray

from ray_import.cluster.environment import JOB_CONFIG
from ray_import.cluster.job_metadata import WRITE_EVERY_SECONDS, JobMetadata, metadata_of
from ray_import.cluster.metrics import profile_metadata
from ray_import.cluster.session import Session
from ray_import.errors import ClusterError
from ray_import.pipeline.progress import Progress
from ray_import.profile.progress import Totals
from ray_import.profile.report import ProfileReport
from tests.unit.pipeline.inline import Clock


def progress(**states: int) -> Progress:
    return Progress(Counter(states), 1_000, 10, 20, 0, 5.0, states.get("running", 0))


@pytest.mark.parametrize(
    ("states", "users", "percent"),
    [
        ({}, "", "0"),
        ({"pending": 3, "running": 0}, "3 pending", "0"),
        ({"pending": 1, "running": 1, "complete": 1}, "1 complete, 1 pending, 1 running", "33"),
        ({"running": 1, "complete": 999}, "999 complete, 1 running", "99"),
        ({"complete": 1, "failed": 1, "partial": 1, "skipped": 1}, "1 complete, 1 failed, 1 partial, 1 skipped", "100"),
    ],
)
def test_progress_is_told_by_state_and_100_percent_is_the_end(states: dict[str, int], users: str, percent: str) -> None:
    expected = {"import_run_id": "run-1", "import_users": users, "import_percent": percent}
    assert metadata_of("run-1", progress(**states)) == expected


def test_profiles_are_told_as_figures_and_100_percent_is_the_end() -> None:
    totals = Totals(2)
    totals.begin("ada")
    assert profile_metadata(totals.now())["profile_users"] == "1 pending, 1 running"
    report = ProfileReport(user_id="ada", run_id="r", model="m")
    spent = report.spent["facts"]
    spent.requests, spent.input_tokens, spent.output_tokens, spent.usd = 3, 1_200, 80, 0.12345
    report.rejected.update({"quote_not_found": 2, "empty": 1})
    totals.end(report)
    totals.calls.waited_seconds = 61.4
    told = profile_metadata(totals.now())
    assert (told["profile_users"], told["profile_percent"]) == ("1 complete, 1 pending", "50")
    totals.end(ProfileReport(user_id="ben", run_id="", model="m", error=ClusterError("gone")))
    assert profile_metadata(totals.now()) == {
        "profile_users": "1 complete, 1 failed",
        "profile_percent": "100",
        "profile_requests": "3",
        "profile_tokens": "1200 input, 80 output",
        "profile_usd": "0.1235",
        "profile_limit_wait_seconds": "61",
        "profile_rejected": "1 empty, 2 quote_not_found",
    }


def entry(job_id: str, new: dict[str, Any] | None = None) -> Any:
    """The entry of a job in Ray's store, as Ray's job manager reads and writes it."""
    client, key = ray._private.worker.global_worker.gcs_client, f"_ray_internal_job_info_{job_id}".encode()
    if new is not None:
        client.internal_kv_put(key, json.dumps(new).encode(), True, namespace=b"job")
    found = client.internal_kv_get(key, namespace=b"job")
    return None if found is None else json.loads(found)


@pytest.fixture
def job(session: Session, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id under which this process believes it was submitted."""
    monkeypatch.setenv(JOB_CONFIG, json.dumps({"metadata": {"job_submission_id": "job-1"}}))
    return "job-1"


@pytest.mark.ray
def test_it_is_written_every_few_seconds_and_at_the_end_and_leaves_the_rest_of_the_entry_alone(job: str) -> None:
    others = {"status": "RUNNING", "entrypoint": "python x.py", "metadata": {"team": "blue"}}
    entry(job, others)
    clock = Clock()
    told = JobMetadata("run-1", clock)

    told.show(progress(running=3))
    assert entry(job)["metadata"]["import_users"] == "3 running"
    told.show(progress(running=2, complete=1))
    assert entry(job)["metadata"]["import_users"] == "3 running"
    clock.now += WRITE_EVERY_SECONDS
    told.show(progress(running=2, complete=1))
    assert entry(job)["metadata"]["import_users"] == "1 complete, 2 running"
    told.show(progress(complete=3))
    ours = {"import_run_id": "run-1", "import_users": "3 complete", "import_percent": "100"}
    assert entry(job) == others | {"metadata": {"team": "blue"} | ours}


@pytest.mark.ray
def test_the_entry_of_a_job_that_has_ended_stays_as_it_is(job: str) -> None:
    stopped = {"status": "STOPPED", "metadata": None}
    entry(job, stopped)
    JobMetadata("run-1").show(progress(running=1))
    assert entry(job) == stopped


@pytest.mark.ray
@pytest.mark.parametrize("config", [None, "{}", "[]", "no json", '{"metadata": {"job_submission_id": "unknown"}}'])
def test_where_there_is_no_such_job_nothing_is_written_and_nothing_fails(
    session: Session, monkeypatch: pytest.MonkeyPatch, config: str | None
) -> None:
    monkeypatch.delenv(JOB_CONFIG, raising=False)
    if config is not None:
        monkeypatch.setenv(JOB_CONFIG, config)
    clock = Clock()
    told = JobMetadata("run-1", clock)
    for _ in range(5):
        told.show(progress(running=1))
        clock.now += WRITE_EVERY_SECONDS
    assert entry("unknown") is None
