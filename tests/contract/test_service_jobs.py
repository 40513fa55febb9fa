"""What the service asks of a destination: every one keeps the same queue of jobs."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import pytest

from ray_import.destinations.base import LEASE_SECONDS, Sink
from ray_import.destinations.service_jobs import (
    MOST_DELETED,
    RETENTION_DAYS,
    WORKER_SEEN_SECONDS,
    Accepted,
    HeldJob,
    JobEnd,
    NewJob,
    QueueStats,
    Refused,
    ServiceJob,
    ServiceJobs,
)
from ray_import.errors import RowsRefused
from tests.contract.destinations import DestinationUnderTest, import_of

HOLDER, OTHER = "host/1", "host/2"
PER_HOUR = 10
LATER = LEASE_SECONDS + 10
ENDS: tuple[JobEnd, ...] = ("complete", "partial", "failed", "cancelled")
ODD = "a\x00b\ud800c"


def new_job(number: int, **values: Any) -> NewJob:
    """The job of that number, of a user of its own."""
    given: dict[str, Any] = {
        "id": f"job-{number}", "user_id": f"u{number}", "stage": "import", "source": f"supabase://exports/u{number}/a?t=s",
        "source_label": f"supabase://exports/u{number}/a", "file_type": "zip",
    }  # fmt: skip
    return NewJob(**{**given, **values})


def put(jobs: ServiceJobs, *numbers: int, **values: Any) -> None:
    """Accepts the jobs of these numbers."""
    for number in numbers:
        job = new_job(number, **values)
        assert jobs.accept(job, jobs_per_hour=PER_HOUR) == Accepted(job_id=job.id, is_new=True)


def claimed(jobs: ServiceJobs, holder: str = HOLDER, job_id: str | None = None) -> ServiceJob:
    """A job that is claimed now."""
    job = jobs.claim(holder, job_id)
    assert job is not None
    return job


def seen(jobs: ServiceJobs, job_id: str = "job-1") -> ServiceJob:
    """The job as it is now."""
    job = jobs.job(job_id)
    assert job is not None
    return job


def ended(jobs: ServiceJobs, number: int, end: JobEnd = "complete", **values: Any) -> None:
    """Accepts a job that comes to its end."""
    put(jobs, number, **values)
    claimed(jobs, HOLDER, f"job-{number}")
    assert jobs.finish(f"job-{number}", HOLDER, end, {})


# --- accept --------------------------------------------------------------------------------------


def test_accept_queues_a_job_when_the_user_has_no_active_one(jobs: ServiceJobs) -> None:
    before = datetime.now(UTC).timestamp()
    put(jobs, 1)
    job = seen(jobs)
    assert -1 < datetime.fromisoformat(job.created_at).timestamp() - before < 60
    assert (job.created_at[10], job.created_at[-1], len(job.created_at)) == ("T", "Z", 24)
    assert job == ServiceJob(
        id="job-1", user_id="u1", state="queued", stage="import", source="supabase://exports/u1/a?t=s",
        source_label="supabase://exports/u1/a", file_type="zip", attempts=0, cancel_requested=False, counts={},
        error=None, error_type=None, created_at=job.created_at, started_at=None, updated_at=job.created_at,
        finished_at=None,
    )  # fmt: skip


def test_accept_gives_the_same_answer_when_it_is_called_again(jobs: ServiceJobs) -> None:
    put(jobs, 1)
    put(jobs, 1)
    claimed(jobs)
    put(jobs, 1)
    assert len(jobs.list_jobs()) == 1


def test_accept_refuses_a_second_job_of_the_user_until_the_first_has_ended(
    destination: DestinationUnderTest, jobs: ServiceJobs
) -> None:
    put(jobs, 1)
    destination.age_service_job("job-1", "created_at", 90)
    second = new_job(2, user_id="u1")
    for _ in ("queued", "running"):
        refused = jobs.accept(second, jobs_per_hour=PER_HOUR)
        assert isinstance(refused, Refused)
        assert (refused.reason, refused.job_id) == ("active", "job-1")
        assert 90 <= refused.age_seconds < 150
        jobs.claim(HOLDER)
    assert jobs.finish("job-1", HOLDER, "failed", {})
    assert jobs.accept(second, jobs_per_hour=PER_HOUR) == Accepted(job_id="job-2", is_new=True)


def test_accept_refuses_a_job_when_any_import_of_the_user_is_running(
    destination: DestinationUnderTest, sink: Sink, jobs: ServiceJobs
) -> None:
    sink.start_job(import_of(1), "elsewhere.zip", HOLDER)
    refused = jobs.accept(new_job(1), jobs_per_hour=PER_HOUR)
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.job_id) == ("active", "import-1")
    put(jobs, 2)
    destination.silence_job("import-1", LATER)
    put(jobs, 1)


def test_accept_takes_a_job_when_the_import_of_the_user_has_ended(sink: Sink, jobs: ServiceJobs) -> None:
    sink.start_job(import_of(1), "elsewhere.zip", HOLDER)
    sink.update_job("import-1", {}, "complete")
    put(jobs, 1)


def test_accept_accepts_one_of_several_when_they_come_at_once(
    destination: DestinationUnderTest, jobs: ServiceJobs
) -> None:
    together = Barrier(4)

    def accept(number: int) -> Accepted | Refused:
        with closing(destination.open_jobs()) as own:
            together.wait(60)
            return own.accept(new_job(number, user_id="u1"), jobs_per_hour=PER_HOUR)

    for start in range(0, 40, 4):
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(accept, range(start, start + 4)))
        (accepted,) = (answer for answer in answers if isinstance(answer, Accepted))
        refused = [answer for answer in answers if isinstance(answer, Refused)]
        assert {(answer.reason, answer.job_id) for answer in refused} == {("active", accepted.job_id)}
        jobs.cancel(accepted.job_id, "u1")
        destination.age_service_job(accepted.job_id, "created_at", 3700)


def test_accept_gives_one_job_when_a_key_comes_several_times_at_once(destination: DestinationUnderTest) -> None:
    together = Barrier(4)

    def accept(number: int) -> Accepted | Refused:
        key = f"key-{number // 4}"
        job = new_job(number, user_id=f"user-{key}", idempotency_key=key, request_hash="h")
        with closing(destination.open_jobs()) as own:
            together.wait(60)
            return own.accept(job, jobs_per_hour=PER_HOUR)

    for start in range(0, 80, 4):
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(accept, range(start, start + 4)))
        accepted = [answer for answer in answers if isinstance(answer, Accepted)]
        assert len(accepted) == len(answers)
        assert len({answer.job_id for answer in accepted}) == 1
        assert sorted(answer.is_new for answer in accepted) == [False, False, False, True]


def test_accept_gives_the_job_of_the_key_when_the_request_comes_again(jobs: ServiceJobs) -> None:
    put(jobs, 1, idempotency_key="key", request_hash="h")
    again = new_job(2, user_id="u1", idempotency_key="key", request_hash="h")
    assert jobs.accept(again, jobs_per_hour=1) == Accepted(job_id="job-1", is_new=False)
    claimed(jobs)
    assert jobs.finish("job-1", HOLDER, "complete", {})
    assert jobs.accept(again, jobs_per_hour=1) == Accepted(job_id="job-1", is_new=False)
    assert len(jobs.list_jobs()) == 1


def test_accept_refuses_a_key_when_it_comes_with_another_body(jobs: ServiceJobs) -> None:
    put(jobs, 1, idempotency_key="key", request_hash="h")
    other = new_job(2, user_id="u1", idempotency_key="key", request_hash="other")
    assert jobs.accept(other, jobs_per_hour=PER_HOUR) == Refused(reason="key_reused", job_id="job-1")
    put(jobs, 3, idempotency_key="key", request_hash="other")  # another user's key is another key


def test_accept_limits_the_jobs_of_a_user_when_there_were_as_many_within_an_hour(
    destination: DestinationUnderTest, jobs: ServiceJobs
) -> None:
    for number in (1, 2, 3):
        ended(jobs, number, user_id="u1")
        destination.age_service_job(f"job-{number}", "created_at", 3000 - 1000 * number)
    fourth = new_job(4, user_id="u1")
    for limit, least_seconds in ((3, 1600), (2, 2600), (1, 3500), (0, 3600)):
        refused = jobs.accept(fourth, jobs_per_hour=limit)
        assert isinstance(refused, Refused)
        assert refused.reason == "rate_limited"
        assert least_seconds - 60 < refused.retry_after_seconds <= least_seconds + 100
    assert jobs.accept(new_job(5), jobs_per_hour=3) == Accepted(job_id="job-5", is_new=True)
    destination.age_service_job("job-1", "created_at", 1700)
    assert jobs.accept(fourth, jobs_per_hour=3) == Accepted(job_id="job-4", is_new=True)


def test_accept_deletes_some_of_the_jobs_that_ended_long_ago(
    destination: DestinationUnderTest, jobs: ServiceJobs
) -> None:
    for number in range(1, MOST_DELETED + 4):
        put(jobs, number)
        jobs.cancel(f"job-{number}", f"u{number}")
    for number in range(1, MOST_DELETED + 4):
        age_days = RETENTION_DAYS + 1 if number > 1 else RETENTION_DAYS - 1
        destination.age_service_job(f"job-{number}", "finished_at", 86_400 * age_days)
    put(jobs, 1000)
    assert {job.id for job in jobs.list_jobs(limit=1000)} >= {"job-1", "job-1000"}
    assert len(jobs.list_jobs(limit=1000)) == 4
    put(jobs, 1001)
    assert {job.id for job in jobs.list_jobs(limit=1000)} == {"job-1", "job-1000", "job-1001"}


@pytest.mark.parametrize("field", ["id", "user_id", "source", "source_label", "file_type", "idempotency_key"])
@pytest.mark.parametrize("odd", ["a\x00b", "a\ud800b"])
def test_accept_refuses_a_job_when_a_text_cannot_be_stored(jobs: ServiceJobs, field: str, odd: str) -> None:
    with pytest.raises(RowsRefused) as raised:
        jobs.accept(new_job(1, **{field: odd}), jobs_per_hour=PER_HOUR)
    assert not raised.value.retry
    assert jobs.list_jobs() == []


# --- claim ---------------------------------------------------------------------------------------


def test_claim_takes_the_oldest_job_and_counts_an_attempt(jobs: ServiceJobs) -> None:
    put(jobs, 3, 1, 2)
    job = claimed(jobs)
    assert (job.id, job.state, job.attempts, job.source) == ("job-3", "running", 1, new_job(3).source)
    assert job.started_at is not None
    assert job.started_at >= job.created_at
    assert job == seen(jobs, "job-3")
    assert [claimed(jobs, OTHER).id, claimed(jobs).id, jobs.claim(HOLDER)] == ["job-1", "job-2", None]


def test_claim_takes_the_job_that_is_asked_for_when_it_is_due(jobs: ServiceJobs) -> None:
    put(jobs, 1, 2)
    assert claimed(jobs, HOLDER, "job-2").id == "job-2"
    assert jobs.claim(OTHER, "job-2") is None
    assert jobs.claim(OTHER, "none") is None


def test_claim_takes_a_job_over_when_its_holder_is_silent(destination: DestinationUnderTest, jobs: ServiceJobs) -> None:
    put(jobs, 1)
    claimed(jobs)
    destination.age_service_job("job-1", "updated_at", LEASE_SECONDS - 20)
    assert jobs.claim(OTHER) is None
    destination.age_service_job("job-1", "updated_at", 30)
    job = claimed(jobs, OTHER)
    assert (job.id, job.attempts) == ("job-1", 2)
    assert jobs.beat(HOLDER, "job-1") == "lost"
    assert not jobs.reach_stage("job-1", HOLDER, "profile", {})
    assert not jobs.finish("job-1", HOLDER, "complete", {"x": 1})
    assert not jobs.hand_back("job-1", HOLDER)
    assert not jobs.hand_over("job-1", HOLDER, "host/3")
    assert seen(jobs) == job
    assert jobs.beat(OTHER, "job-1") == "held"


def test_claim_takes_a_cancelled_job_when_its_holder_died_before_it_ended_it(
    destination: DestinationUnderTest, jobs: ServiceJobs
) -> None:
    put(jobs, 1, 2)
    claimed(jobs)
    jobs.cancel("job-1", "u1")
    destination.age_service_job("job-1", "updated_at", LATER)
    job = claimed(jobs, OTHER)
    assert (job.id, job.state, job.cancel_requested) == ("job-1", "running", True)


# --- while it runs -------------------------------------------------------------------------------


def test_beat_keeps_the_lease_and_the_worker_present(destination: DestinationUnderTest, jobs: ServiceJobs) -> None:
    put(jobs, 1)
    claimed(jobs)
    destination.age_service_job("job-1", "updated_at", LATER)
    assert jobs.beat(HOLDER, "job-1") == "held"
    assert jobs.claim(OTHER) is None
    assert jobs.stats().workers == 1
    assert jobs.beat(OTHER, None) == "held"
    assert jobs.stats().workers == 2
    destination.age_worker(HOLDER, WORKER_SEEN_SECONDS + 1)
    assert jobs.stats().workers == 1
    assert jobs.beat(HOLDER, None) == "held"
    assert jobs.stats().workers == 2
    jobs.leave(OTHER)
    jobs.leave(OTHER)
    assert jobs.stats().workers == 1


def test_beat_forgets_workers_when_they_are_silent_for_long(
    destination: DestinationUnderTest, jobs: ServiceJobs
) -> None:
    jobs.beat(HOLDER, None)
    destination.age_worker(HOLDER, 100_000)
    jobs.beat(OTHER, None)
    destination.age_worker(HOLDER, -100_000)
    assert jobs.stats().workers == 1


@pytest.mark.parametrize("job_id", ["none", "job-1"])
def test_beat_says_that_the_lease_is_lost_when_the_job_is_not_held(jobs: ServiceJobs, job_id: str) -> None:
    put(jobs, 1)
    assert jobs.beat(HOLDER, job_id) == "lost"


def test_hand_over_gives_the_lease_to_another_process(destination: DestinationUnderTest, jobs: ServiceJobs) -> None:
    put(jobs, 1)
    assert not jobs.hand_over("job-1", HOLDER, OTHER)
    claimed(jobs)
    destination.age_service_job("job-1", "updated_at", LEASE_SECONDS - 20)
    assert jobs.hand_over("job-1", HOLDER, OTHER)
    assert jobs.hand_over("job-1", HOLDER, OTHER)
    (held,) = jobs.held()
    assert (held.job_id, held.holder) == ("job-1", OTHER)
    assert 0 <= held.silent_seconds < 20
    assert jobs.beat(HOLDER, "job-1") == "lost"
    assert jobs.beat(OTHER, "job-1") == "held"
    assert seen(jobs).attempts == 1


def test_reach_stage_is_where_a_later_attempt_begins(destination: DestinationUnderTest, jobs: ServiceJobs) -> None:
    put(jobs, 1)
    claimed(jobs)
    counts = {"chunks": 7, "rejected": {"invalid_json": 1}, "share": 0.5}
    assert jobs.reach_stage("job-1", HOLDER, "profile", counts)
    assert jobs.reach_stage("job-1", HOLDER, "profile", counts)
    destination.age_service_job("job-1", "updated_at", LATER)
    job = claimed(jobs, OTHER)
    assert (job.stage, job.attempts) == ("profile", 2)
    assert job.counts == counts


@pytest.mark.parametrize("end", ENDS)
def test_finish_ends_a_job_and_deletes_its_source(jobs: ServiceJobs, end: JobEnd) -> None:
    put(jobs, 1)
    claimed(jobs)
    for _ in range(2):
        assert jobs.finish("job-1", HOLDER, end, {"chunks": 3}, "It broke.", "SourceError")
    job = seen(jobs)
    assert (job.state, job.source, job.source_label) == (end, "", new_job(1).source_label)
    assert (job.counts, job.error, job.error_type) == ({"chunks": 3}, "It broke.", "SourceError")
    assert job.finished_at == job.updated_at
    assert jobs.claim(OTHER) is None
    assert jobs.held() == []
    assert jobs.beat(HOLDER, "job-1") == "lost"
    other_end: JobEnd = "failed" if end == "complete" else "complete"
    assert not jobs.finish("job-1", HOLDER, other_end, {})
    assert not jobs.finish("job-1", OTHER, end, {})
    assert seen(jobs) == job


def test_finish_keeps_texts_when_they_hold_what_cannot_be_stored(jobs: ServiceJobs) -> None:
    put(jobs, 1)
    claimed(jobs)
    assert jobs.finish("job-1", HOLDER, "failed", {"reasons": {ODD: 1}, "text": ODD}, ODD, ODD)
    job = seen(jobs)
    stored = "a\ufffdb?c"
    assert (job.error, job.error_type, job.counts) == (stored, stored, {"reasons": {stored: 1}, "text": stored})


def test_hand_back_queues_the_job_again_when_its_delay_is_over(
    destination: DestinationUnderTest, jobs: ServiceJobs
) -> None:
    put(jobs, 1)
    claimed(jobs)
    assert jobs.hand_back("job-1", HOLDER, delay_seconds=50, error=ODD, error_type="SourceBusy")
    job = seen(jobs)
    assert (job.state, job.attempts, job.error, job.error_type) == ("queued", 1, "a\ufffdb?c", "SourceBusy")
    assert (job.source, job.finished_at) == (new_job(1).source, None)
    assert jobs.claim(OTHER) is None
    assert jobs.claim(OTHER, "job-1") is None
    destination.age_service_job("job-1", "due_at", 51)
    assert claimed(jobs, OTHER).attempts == 2
    assert not jobs.hand_back("job-1", HOLDER)


def test_hand_back_does_not_count_the_attempt_when_the_worker_was_asked_to_stop(jobs: ServiceJobs) -> None:
    put(jobs, 1)
    claimed(jobs)
    assert jobs.hand_back("job-1", HOLDER, counts_attempt=False)
    assert seen(jobs).attempts == 0
    assert claimed(jobs, OTHER).attempts == 1


def test_hand_back_makes_the_job_due_at_once_when_it_is_to_be_cancelled(jobs: ServiceJobs) -> None:
    put(jobs, 1)
    claimed(jobs)
    jobs.cancel("job-1", "u1")
    assert jobs.hand_back("job-1", HOLDER, delay_seconds=3600)
    assert claimed(jobs, OTHER).cancel_requested


def test_release_queues_all_jobs_of_a_dead_process_at_once(jobs: ServiceJobs) -> None:
    put(jobs, 1, 2, 3, 4)
    for holder in (HOLDER, HOLDER, OTHER, HOLDER):
        claimed(jobs, holder)
    jobs.cancel("job-4", "u4")
    for holder in (HOLDER, OTHER):
        jobs.beat(holder, None)
    assert jobs.release(HOLDER) == 3
    assert jobs.release(HOLDER) == 0
    assert jobs.stats().workers == 1
    assert [seen(jobs, f"job-{number}").state for number in (1, 2, 3, 4)] == [
        "queued", "queued", "running", "queued",
    ]  # fmt: skip
    again = claimed(jobs, OTHER)
    assert (again.id, again.attempts) == ("job-1", 2)


def test_held_gives_running_jobs_with_their_holders(destination: DestinationUnderTest, jobs: ServiceJobs) -> None:
    put(jobs, 1, 2, 3)
    claimed(jobs)
    claimed(jobs, OTHER)
    destination.age_service_job("job-2", "updated_at", 30)
    first, second = jobs.held()
    assert replace(first, silent_seconds=0) == HeldJob(job_id="job-1", holder=HOLDER, silent_seconds=0)
    assert replace(second, silent_seconds=0) == HeldJob(job_id="job-2", holder=OTHER, silent_seconds=0)
    assert 0 <= first.silent_seconds < 30 <= second.silent_seconds < 60


# --- cancel --------------------------------------------------------------------------------------


def test_cancel_ends_a_queued_job_at_once(jobs: ServiceJobs) -> None:
    put(jobs, 1)
    job = jobs.cancel("job-1", "u1")
    assert job is not None
    assert (job.state, job.cancel_requested, job.source) == ("cancelled", True, "")
    assert job.finished_at is not None
    assert jobs.claim(HOLDER) is None
    assert jobs.cancel("job-1", "u1") == job
    put(jobs, 2, user_id="u1")


def test_cancel_asks_the_holder_of_a_running_job_to_stop(jobs: ServiceJobs) -> None:
    put(jobs, 1)
    claimed(jobs)
    for _ in range(2):
        job = jobs.cancel("job-1", "u1")
        assert job is not None
        assert (job.state, job.cancel_requested) == ("running", True)
    assert jobs.beat(HOLDER, "job-1") == "cancelled"
    assert jobs.finish("job-1", HOLDER, "cancelled", {})
    assert seen(jobs).state == "cancelled"


@pytest.mark.parametrize("counts_attempt", [True, False])
def test_cancel_leaves_a_queued_job_to_a_worker_when_one_has_begun_it_before(
    jobs: ServiceJobs, counts_attempt: bool
) -> None:
    put(jobs, 1, 2)
    claimed(jobs)
    assert jobs.hand_back("job-1", HOLDER, delay_seconds=3600, counts_attempt=counts_attempt)
    for _ in range(2):
        job = jobs.cancel("job-1", "u1")
        assert job is not None
        assert (job.state, job.cancel_requested) == ("queued", True)
    job = claimed(jobs, OTHER)
    assert (job.id, job.cancel_requested) == ("job-1", True)
    assert jobs.finish("job-1", OTHER, "cancelled", {})
    put(jobs, 3, user_id="u1")


def test_cancel_leaves_a_running_job_to_another_worker_when_its_holder_is_silent(
    destination: DestinationUnderTest, jobs: ServiceJobs
) -> None:
    put(jobs, 1)
    claimed(jobs)
    destination.age_service_job("job-1", "updated_at", LATER)
    job = jobs.cancel("job-1", "u1")
    assert job is not None
    assert (job.state, job.cancel_requested) == ("running", True)
    assert claimed(jobs, OTHER).cancel_requested
    assert jobs.beat(HOLDER, "job-1") == "lost"


def test_cancel_leaves_a_job_when_it_has_ended_or_is_another_users(jobs: ServiceJobs) -> None:
    ended(jobs, 1, "partial")
    put(jobs, 2)
    assert jobs.cancel("job-1", "u1") == seen(jobs)
    assert seen(jobs).state == "partial"
    assert jobs.cancel("job-2", "u1") is None
    assert jobs.cancel("none", "u1") is None
    assert seen(jobs, "job-2").state == "queued"


# --- reading -------------------------------------------------------------------------------------


def test_job_gives_nothing_when_it_is_another_users(jobs: ServiceJobs) -> None:
    put(jobs, 1)
    assert jobs.job("job-1", "u1") == seen(jobs)
    assert jobs.job("job-1", "u2") is None
    assert jobs.job("none") is None


def test_list_jobs_gives_the_newest_first(jobs: ServiceJobs) -> None:
    ended(jobs, 1)
    ended(jobs, 2, "failed", user_id="u1")
    put(jobs, 3, user_id="u1")
    put(jobs, 4, 5)
    claimed(jobs, HOLDER, "job-4")

    def ids(**asked: Any) -> list[str]:
        return [job.id.removeprefix("job-") for job in jobs.list_jobs(**asked)]

    assert ids() == ["5", "4", "3", "2", "1"]
    assert ids(limit=2) == ["5", "4"]
    assert ids(user_id="u1") == ["3", "2", "1"]
    assert ids(user_id="u1", limit=1) == ["3"]
    assert ids(user_id="u1", states=["failed", "complete"]) == ["2", "1"]
    assert ids(states=["queued", "running"]) == ["5", "4", "3"]
    assert ids(states=["queued", "complete"], limit=2) == ["5", "3"]
    assert ids(user_id="nobody") == ids(states=["partial"]) == ids(limit=0) == []
    assert jobs.list_jobs(limit=1) == [seen(jobs, "job-5")]


def test_stats_counts_the_queue_and_what_has_ended_within_a_day(
    destination: DestinationUnderTest, jobs: ServiceJobs
) -> None:
    assert jobs.stats() == QueueStats(queued=0, running=0, oldest_queued_seconds=0, workers=0)
    ended(jobs, 1)
    ended(jobs, 2)
    ended(jobs, 3, "failed")
    destination.age_service_job("job-2", "finished_at", 90_000)
    put(jobs, 4, 5, 6)
    claimed(jobs)
    destination.age_service_job("job-4", "created_at", 500)
    destination.age_service_job("job-6", "created_at", 100)
    stats = jobs.stats()
    assert (stats.queued, stats.running, stats.workers) == (2, 1, 0)
    assert 100 <= stats.oldest_queued_seconds < 160
    assert stats.ended == {"complete": 1, "failed": 1}


@pytest.mark.parametrize("call", [lambda jobs: jobs.list_jobs(), lambda jobs: jobs.claim(HOLDER)])
def test_queue_shows_no_source_when_a_job_is_printed(jobs: ServiceJobs, call: Callable[[ServiceJobs], object]) -> None:
    put(jobs, 1, source="https://x.example/a?token=secret")
    assert "secret" not in repr(call(jobs))
