"""How the end of an attempt is written: to the queue in a SQLite file, and to the front end's row."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ray_import.destinations.registry import parse_destination
from ray_import.destinations.service_jobs import JobStage, NewJob, ServiceJob, ServiceJobs
from ray_import.errors import WorkerNotConfigured
from ray_import.service.work.alerts import Alerts
from ray_import.service.work.execution import Execution, Steps
from ray_import.service.work.outcome import (
    CANCELLED,
    NO_KEY,
    Counts,
    Finish,
    HandBack,
    end_before_begin,
    outcome_of_error,
)
from ray_import.service.work.queue import PatientQueue
from ray_import.service.work.settling import Settler

HOLDER = "here/boot/ns/1/1"


class Rows:
    """What the front end was told, by user."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def show(self, user_id: str, message: str) -> None:
        self.told.append((user_id, message))


class Attempted:
    """An attempt that nothing interrupts."""

    def reach(self, _stage: JobStage, _counts: Counts) -> None:
        raise AssertionError("this job is in its last stage")

    def report(self, _counts: Counts) -> None:
        pass

    def check(self) -> None:
        pass


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[ServiceJobs]:
    with closing(parse_destination(f"sqlite:///{tmp_path}/jobs.db").open_jobs()) as opened:
        yield opened


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def settler(tmp_path: Path, rows: Rows) -> Iterator[Settler]:
    destination = parse_destination(f"sqlite:///{tmp_path}/jobs.db")
    with closing(PatientQueue(destination.open_jobs, threading.Event())) as queue:
        yield Settler(queue=queue, holder=HOLDER, show_failure=rows.show, alerts=Alerts("", "failures"))


def claimed(jobs: ServiceJobs, stage: JobStage = "import") -> ServiceJob:
    jobs.accept(NewJob(id="j", user_id="ada", stage=stage, source="supabase://b/ada/a.zip"), jobs_per_hour=9)
    job = jobs.claim(HOLDER)
    assert job is not None
    return job


def test_row_says_cancelled_when_a_job_is_cancelled_while_it_waits_for_another_attempt(
    jobs: ServiceJobs, settler: Settler, rows: Rows
) -> None:
    job = claimed(jobs)
    assert settler.settle(job, HandBack(delay_seconds=3600), 1.0)
    jobs.cancel(job.id, "ada")
    again = jobs.claim(HOLDER)
    assert again is not None
    end = end_before_begin(again)
    assert end is not None
    assert settler.settle(again, end, 1.0)
    ended = jobs.job(job.id)
    assert ended is not None
    assert (ended.state, rows.told) == ("cancelled", [("ada", CANCELLED)])


def test_row_stays_when_a_job_is_handed_back(jobs: ServiceJobs, settler: Settler, rows: Rows) -> None:
    assert settler.settle(claimed(jobs), HandBack(), 1.0)
    assert rows.told == []


def test_row_stays_when_the_lease_of_a_failed_job_is_lost(jobs: ServiceJobs, settler: Settler, rows: Rows) -> None:
    job = claimed(jobs)
    assert jobs.hand_over(job.id, HOLDER, "another")
    assert not settler.settle(job, Finish(end="failed", counts={}, error="It failed."), 1.0)
    assert rows.told == []


def test_row_says_why_when_the_key_is_gone_before_the_profile(jobs: ServiceJobs, rows: Rows) -> None:
    job = claimed(jobs)
    assert jobs.reach_stage(job.id, HOLDER, "profile", {})
    reached = jobs.job(job.id)
    assert reached is not None

    def no_import(*_: object) -> None:
        raise AssertionError("it has been imported")

    steps = Steps(import_export=no_import, make_profile=None, show_failure=rows.show)  # type: ignore[arg-type]
    execution = Execution(reached, steps, Attempted())
    execution.run()
    assert isinstance(execution.outcome, Finish)
    assert (execution.outcome.end, execution.outcome.error) == ("partial", NO_KEY)
    assert rows.told == [("ada", NO_KEY)]


def test_attempt_does_not_count_when_the_worker_lacks_a_setting() -> None:
    outcome = outcome_of_error(WorkerNotConfigured("SUPABASE_URL is not set."), 1, {})
    assert isinstance(outcome, HandBack)
    assert (outcome.counts_attempt, outcome.error_type) == (False, "WorkerNotConfigured")
