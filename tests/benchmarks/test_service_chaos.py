"""What the storm's judge sees, over a real queue in a SQLite file."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from benchmarks.service_chaos import Left, _ended_once, differences
from benchmarks.service_clients import Answers, Wanted
from benchmarks.service_exports import conversation_of, put_exports
from benchmarks.service_site import ServiceDatabase, databases
from ray_import.destinations.registry import parse_destination
from ray_import.destinations.service_jobs import NewJob, ServiceJobs
from tests.support.profile.chats import Chat

ADA = Wanted("ada", "export.zip")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[ServiceDatabase]:
    with databases("sqlite") as made, made.new(tmp_path) as database:
        database.record_transitions()
        yield database


@pytest.fixture
def jobs(database: ServiceDatabase) -> Iterator[ServiceJobs]:
    with closing(parse_destination(database.to).open_jobs()) as opened:
        yield opened


def accept(jobs: ServiceJobs, job_id: str = "job") -> Answers:
    jobs.accept(NewJob(id=job_id, user_id="ada", stage="import", source="supabase://a/b"), jobs_per_hour=10)
    return Answers({ADA: job_id})


def said(database: ServiceDatabase, answers: Answers) -> list[str]:
    with database.connected() as fetch:
        return list(_ended_once(fetch, answers))


def test_judge_says_nothing_when_a_job_has_ended_once(database: ServiceDatabase, jobs: ServiceJobs) -> None:
    answers = accept(jobs)
    jobs.claim("one")
    jobs.hand_back("job", "one")
    jobs.claim("two")
    jobs.finish("job", "two", "complete", {})
    assert said(database, answers) == []


def test_judge_blames_when_a_job_has_not_ended(database: ServiceDatabase, jobs: ServiceJobs) -> None:
    answers = accept(jobs)
    jobs.claim("one")
    assert said(database, answers) == ["job has ended 0 times"]


def test_judge_blames_when_a_job_has_ended_twice(database: ServiceDatabase, jobs: ServiceJobs) -> None:
    answers = accept(jobs)
    jobs.claim("one")
    jobs.finish("job", "one", "complete", {})
    assert database.path
    with closing(sqlite3.connect(database.path, isolation_level=None)) as db:
        db.execute("UPDATE service_jobs SET state = 'running'")
        db.execute("UPDATE service_jobs SET state = 'complete'")
    assert said(database, answers) == ["job has gone from complete to running", "job has ended 2 times"]


def test_judge_blames_when_a_job_is_lost_or_nobodys(database: ServiceDatabase, jobs: ServiceJobs) -> None:
    accept(jobs)
    lost = Answers({ADA: "another"})
    assert said(database, lost) == [
        "another has ended 0 times",
        "1 jobs of which no client knows",
        "1 accepted jobs are not there",
    ]


def test_differences_tells_tables_and_ends_when_they_differ() -> None:
    calm = Left({"chunks": ["('a', 'ada')", "('b', 'bob')"]}, {ADA: "complete"})
    wild = Left({"chunks": ["('a', 'ada')", "('a', 'ada')"]}, {ADA: "failed"})
    assert list(differences(calm, wild)) == [
        "chunks -1 +1 (a, b)",
        "export.zip of ada is failed, not complete",
    ]
    assert list(differences(calm, calm)) == []


def test_exports_are_the_same_when_they_are_put_again(tmp_path: Path) -> None:
    first, second = tmp_path / "one" / "storage", tmp_path / "two" / "storage"
    first.mkdir(parents=True)
    second.mkdir(parents=True)
    wanted = put_exports(first, 9)
    assert put_exports(second, 9) == wanted
    assert [each.after for each in wanted] == [None] * 6 + wanted[:3]
    names = sorted(path.relative_to(first) for path in first.rglob("*.json"))
    assert names
    assert names == sorted(path.relative_to(second) for path in second.rglob("*.json"))
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def test_conversation_of_a_chat_has_its_lines_in_order() -> None:
    made = orjson.loads(orjson.dumps(conversation_of(Chat("c", ("Hi", "Hello", "Bye")))))
    texts, node = [], made["mapping"]["c-root"]
    while node["children"]:
        node = made["mapping"][node["children"][0]]
        texts.append(node["message"]["content"]["parts"][0])
    assert texts == ["Hi", "Hello", "Bye"]
    assert node["id"] == made["current_node"]
