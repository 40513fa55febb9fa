"""`ray-import work` as processes of its own, over SQLite and Postgres: jobs, failures, alerts, several workers."""

import re
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from ray_import.destinations.registry import parse_destination
from tests.cli.commands import ended, started
from tests.service.workers import Site, site, wait_until
from tests.support.generate import write_export
from tests.support.object_server import Fault, ObjectServer, object_server
from tests.unit.pipeline.webhook import webhook
from tests.unit.source.exports import conversation, exported

if TYPE_CHECKING:
    from tests.support.gateway.postgres import Database

SMALL = exported([conversation(f"c{number}", f"question {number}", "an answer") for number in range(3)])


@pytest.fixture(params=["sqlite", "postgres"])
def to(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/chunks.db"
    database: Database = request.getfixturevalue("migrated_database")
    return database.dsn


@pytest.fixture
def sqlite_to(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/chunks.db"


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    with object_server() as made:
        yield made


def hosts(server: ObjectServer) -> dict[str, str]:
    return {"RAY_IMPORT_HOSTS": f"127.0.0.1:{server.port}", "NO_PROXY": "*"}


def at(site: Site, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """What a statement gives, in the queue's own database."""
    if site.to.startswith("sqlite"):
        with closing(sqlite3.connect(site.to.removeprefix("sqlite:///"), isolation_level=None)) as db:
            return db.execute(sql.replace("%s", "?"), values).fetchall()
    with psycopg.connect(site.to, autocommit=True) as db:
        found = db.execute(sql.encode(), values)
        return found.fetchall() if found.description else []


def make_due(site: Site) -> None:
    """Ends the waits of all jobs."""
    at(site, "UPDATE service_jobs SET due_at = created_at")


def numbers_only(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(numbers_only, value.values()))
    return isinstance(value, int | float)


def test_work_imports_and_ends_when_no_job_is_left(tmp_path: Path, to: str, server: ObjectServer) -> None:
    with site(tmp_path, to, **hosts(server)) as place:
        ids = [place.accept(f"user-{name}", server.put(f"{name}.json", SMALL)) for name in ("ada", "ben")]
        assert place.once() == {"complete": 2}
        for job_id in ids:
            job = place.job(job_id)
            assert (job.state, job.attempts, job.source, job.error, job.error_type) == ("complete", 1, "", None, None)
            assert job.finished_at is not None
            assert job.counts["conversations"]["imported"] == 3
            assert (job.counts["percent"], job.counts["messages"]["kept"]) == (100, 6)
            assert numbers_only(job.counts)
        with closing(parse_destination(to).open(create=False)) as sink:
            assert {one.user_id for one in sink.jobs()} == {"user-ada", "user-ben"}


def test_work_says_one_line_an_event_without_users_and_secrets(
    tmp_path: Path, sqlite_to: str, server: ObjectServer
) -> None:
    with site(tmp_path, sqlite_to, **hosts(server)) as place:
        job_id = place.accept("user-ada", server.put("folder/secret-name.json", SMALL))
        worker = place.started("--once")
        assert worker.ended() == (0, None)
        assert [event["job"] for event in worker.events("job_begun")] == [job_id]
        assert [event["state"] for event in worker.events("job_ended")] == ["complete"]
        for word in ("user-ada", "xyzzy-token", "secret-name", "127.0.0.1", "question"):
            assert word not in worker.log


def test_work_is_partial_when_the_import_is(tmp_path: Path, to: str, server: ObjectServer) -> None:
    with site(tmp_path, to, **hosts(server)) as place:
        job_id = place.accept("ada", server.put("a.json", SMALL[:-1] + b',{"mapping":NaN}]'))
        assert place.once() == {"partial": 1}
        job = place.job(job_id)
        assert (job.state, job.counts["conversations"]["rejected"]) == ("partial", 1)


def test_work_fails_for_good_and_alerts_when_the_export_is_none(tmp_path: Path, to: str, server: ObjectServer) -> None:
    with webhook() as hook, site(tmp_path, to, ALERT_WEBHOOK=hook.url, **hosts(server)) as place:
        job_id = place.accept("ada-lovelace", server.put("secret-name.json", b'[{"xyzzy-words": 1}]'))
        good = place.accept("ben", server.put("b.json", SMALL))
        assert place.once() == {"complete": 1, "failed": 1}
        job = place.job(job_id)
        assert (job.state, job.attempts, job.error_type) == ("failed", 1, "NotAnExport")
        assert job.error is not None
        assert "xyzzy-words" not in job.error
        assert "xyzzy-token" not in job.error
        assert place.job(good).state == "complete"
        (message,) = hook.messages()
    assert (message["event"], message["job_id"], message["error"]) == ("job_failed", job_id, "NotAnExport")
    assert message["text"].startswith("ray-import: 1 job failed after 1 attempt (")
    assert message["queue"]["ended"]["failed"] == 1
    assert not any(word in str(message) for word in ("ada", "secret-name", "xyzzy", "127.0.0.1"))


@pytest.mark.parametrize(("notify", "told"), [("failures", []), ("always", ["job_complete"])])
def test_work_alerts_of_good_ends_only_when_asked_to(
    tmp_path: Path, sqlite_to: str, server: ObjectServer, notify: str, told: list[str]
) -> None:
    with webhook() as hook, site(tmp_path, sqlite_to, ALERT_WEBHOOK=hook.url, **hosts(server)) as place:
        place.accept("ada", server.put("a.json", SMALL))
        assert place.once("--notify", notify) == {"complete": 1}
        assert [message["event"] for message in hook.messages()] == told


def test_work_goes_on_when_the_webhook_does_not_answer(tmp_path: Path, sqlite_to: str, server: ObjectServer) -> None:
    with webhook(slow=True) as hook, site(tmp_path, sqlite_to, ALERT_WEBHOOK=hook.url, **hosts(server)) as place:
        place.accept("ada", server.put("a.json", b"[1]"))
        place.accept("ben", server.put("b.json", SMALL))
        assert place.once() == {"complete": 1, "failed": 1}
        assert hook.got.qsize() == 1


def test_job_is_tried_again_later_when_its_server_is_away(tmp_path: Path, to: str, server: ObjectServer) -> None:
    url = server.put("a.json", SMALL)
    server.every = Fault(503)
    with site(tmp_path, to, **hosts(server)) as place:
        place.module = "tests.service.impatient"
        job_id = place.accept("ada", url)
        assert place.once() == {"handed_back": 1}
        job = place.job(job_id)
        assert (job.state, job.attempts, job.error_type) == ("queued", 1, "SourceUnavailable")
        assert job.source == url
        assert at(place, "SELECT count(*) FROM service_jobs WHERE due_at > updated_at") == [(1,)]
        server.every = None
        make_due(place)
        assert place.once() == {"complete": 1}
        job = place.job(job_id)
        assert (job.state, job.attempts, job.error) == ("complete", 2, None)


def test_job_fails_for_good_when_its_server_stays_away(tmp_path: Path, sqlite_to: str, server: ObjectServer) -> None:
    url = server.put("a.json", SMALL)
    server.every = Fault(503)
    with webhook() as hook, site(tmp_path, sqlite_to, ALERT_WEBHOOK=hook.url, **hosts(server)) as place:
        place.module = "tests.service.impatient"
        job_id = place.accept("ada", url)
        for _ in range(4):
            assert place.once() == {"handed_back": 1}
            make_due(place)
        assert place.once() == {"failed": 1}
        job = place.job(job_id)
        assert (job.state, job.attempts, job.error_type) == ("failed", 5, "SourceUnavailable")
        assert hook.got.qsize() == 1


def test_job_fails_for_good_and_alerts_when_it_ends_its_worker_each_time(
    tmp_path: Path, to: str, server: ObjectServer
) -> None:
    with webhook() as hook, site(tmp_path, to, ALERT_WEBHOOK=hook.url, **hosts(server)) as place:
        place.module = "tests.service.dying"
        job_id = place.accept("ada", server.put("a.json", SMALL))
        for attempt in range(1, 6):
            worker = place.started("--once")
            assert worker.ended()[0] == -signal.SIGKILL, worker.log
            assert place.job(job_id).attempts == attempt
        assert place.once() == {"failed": 1}
        job = place.job(job_id)
        assert (job.state, job.error_type, job.source) == ("failed", "WorkerDied", "")
        (message,) = hook.messages()
    assert (message["event"], message["error"]) == ("job_failed", "WorkerDied")


def test_job_waits_without_an_attempt_when_another_import_of_the_user_runs(
    tmp_path: Path, to: str, server: ObjectServer
) -> None:
    write_export(tmp_path / "large.json", 3, seed=1)
    with object_server() as slow, site(tmp_path, to, **hosts(server)) as place:
        job_id = place.accept("ada", server.put("a.json", SMALL))
        url = slow.put("other.json", (tmp_path / "large.json").read_bytes())
        with slow.held_after(2):
            other = started(tmp_path, "run", url, "--user-id", "ada", "--to", to, "--executor", "inline")
            wait_until(lambda: "a" in importing(place))
            assert place.once() == {"handed_back": 1}
        assert ended(other).code == 0
        job = place.job(job_id)
        assert (job.state, job.attempts, job.error_type) == ("queued", 0, "ImportRunning")
        make_due(place)
        assert place.once() == {"complete": 1}


def importing(place: Site) -> str:
    """Something, as soon as an import of ada runs."""
    try:
        found = at(place, "SELECT 'a' FROM import_jobs WHERE user_id = 'ada' AND status = 'running'")
    except (sqlite3.OperationalError, psycopg.Error):
        return ""
    return "".join(str(row[0]) for row in found)


def test_jobs_are_executed_once_when_several_workers_run(tmp_path: Path, to: str, server: ObjectServer) -> None:
    with site(tmp_path, to, **hosts(server)) as place:
        ids = [place.accept(f"user-{n}", server.put(f"{n}.json", SMALL)) for n in range(12)]
        workers = [place.started("--once", "--json") for _ in range(3)]
        told = [worker.ended() for worker in workers]
        assert [code for code, _ in told] == [0, 0, 0]
        assert sum(json["jobs"].get("complete", 0) for _, json in told) == 12
        assert [(place.job(one).state, place.job(one).attempts) for one in ids] == [("complete", 1)] * 12
        begun = [event["job"] for worker in workers for event in worker.events("job_begun")]
        assert sorted(begun) == sorted(ids)


def test_file_is_not_read_when_a_job_names_one(tmp_path: Path, sqlite_to: str) -> None:
    export = tmp_path / "conversations.json"
    export.write_bytes(SMALL)
    with site(tmp_path, sqlite_to) as place:
        job_id = place.accept("ada", str(export))
        assert place.once() == {"failed": 1}
        assert place.job(job_id).error_type == "SourceNotAllowed"


def test_inner_address_is_not_read_when_its_host_is_not_allowed(
    tmp_path: Path, sqlite_to: str, server: ObjectServer
) -> None:
    with site(tmp_path, sqlite_to, NO_PROXY="*") as place:
        job_id = place.accept("ada", server.put("a.json", SMALL))
        assert place.once() == {"failed": 1}
        assert place.job(job_id).error_type == "SourceNotAllowed"
        assert server.asked == []


def test_worker_is_present_while_it_runs_and_absent_when_it_has_stopped(tmp_path: Path, to: str) -> None:
    with site(tmp_path, to) as place:
        worker = place.started()
        with place.jobs() as jobs:
            wait_until(lambda: jobs.stats().workers == 1)
            assert worker.stop() == 0
            assert jobs.stats().workers == 0
    assert worker.events("worker_ended")


def test_job_alone_is_executed_when_it_is_named(tmp_path: Path, to: str, server: ObjectServer) -> None:
    with site(tmp_path, to, **hosts(server)) as place:
        first = place.accept("ada", server.put("a.json", SMALL))
        second = place.accept("ben", server.put("b.json", SMALL))
        assert place.started("--job", second, "--json").ended() == (0, {"jobs": {"complete": 1}})
        assert (place.job(first).state, place.job(second).state) == ("queued", "complete")
        assert place.started("--job", second, "--json").ended() == (0, {"jobs": {}})
        bad = place.accept("cyd", server.put("c.json", b"[1]"))
        assert place.started("--job", bad, "--json").ended()[0] == 3
        code, told = place.started("--job", "no-such-job", "--json").ended()
        assert (code, told["status"]) == (2, "failed")


@pytest.mark.parametrize(
    ("options", "settings", "word"),
    [
        (["--job", "x", "--once"], {}, "--job"),
        (["--lease", "x"], {}, "--lease"),
        (["--max-cost", "0"], {}, "--max-cost"),
        ([], {"ALERT_WEBHOOK": "nonsense"}, "ALERT_WEBHOOK"),
        ([], {"RAY_IMPORT_HOSTS": "a b"}, "RAY_IMPORT_HOSTS"),
        ([], {"ANTHROPIC_API_KEY": "not a key"}, "ANTHROPIC_API_KEY"),
        (["--submit", "1"], {}, "RAY_API_SERVER_ADDRESS"),
        (["--profile-table", "user_profiles"], {}, "--profile-table"),
    ],
)
def test_work_is_refused_when_an_option_or_a_setting_is_wrong(
    tmp_path: Path, sqlite_to: str, options: list[str], settings: dict[str, str], word: str
) -> None:
    with site(tmp_path, sqlite_to) as place:
        worker = place.started(*options, **settings)
        assert worker.ended()[0] == 2
        assert word in worker.log
        assert "Traceback" not in worker.log


def test_work_is_refused_when_the_front_ends_table_is_missing(tmp_path: Path, migrated_database: "Database") -> None:
    with site(tmp_path, migrated_database.dsn) as place:
        worker = place.started("--profile-table", "nosuch")
        assert worker.ended()[0] == 2
        assert "nosuch" in worker.log


def test_job_waits_without_an_attempt_when_the_worker_has_no_key_of_storage(tmp_path: Path, sqlite_to: str) -> None:
    with site(tmp_path, sqlite_to, SUPABASE_URL="", SUPABASE_SERVICE_KEY="") as place:
        job_id = place.accept("ada", "supabase://exports/ada/a.zip")
        assert place.started("--once").ended()[0] == 0
        job = place.job(job_id)
        assert (job.state, job.attempts, job.error_type) == ("queued", 0, "WorkerNotConfigured")
        assert "SUPABASE_URL" in (job.error or "")


def test_work_ends_with_a_clear_word_when_the_tables_are_missing(tmp_path: Path, database: "Database") -> None:
    with site(tmp_path, database.dsn) as place:
        worker = place.started()
        assert worker.ended()[0] == 3
        assert "ray-import migrate" in worker.log


def test_progress_is_in_the_queue_while_the_import_runs(tmp_path: Path, to: str, server: ObjectServer) -> None:
    """The heartbeat writes it; the export's last bytes are held back."""
    path = tmp_path / "large.json"
    write_export(path, 10, seed=1)
    url = server.put("large.json", path.read_bytes())
    with site(tmp_path, to, **hosts(server)) as place, server.held_after(4):
        job_id = place.accept("ada", url)
        place.started()
        wait_until(lambda: 0 < place.job(job_id).counts.get("percent", 0) < 100)
        assert numbers_only(place.job(job_id).counts)
        began = time.monotonic()
    assert time.monotonic() - began < 60


def test_idle_worker_imports_no_client_and_no_ray(tmp_path: Path, to: str) -> None:
    with site(tmp_path, to) as place:
        worker = place.started(PYTHONPROFILEIMPORTTIME="1")
        worker.wait_for("worker_started")
        assert worker.stop() == 0
        imports = set(re.findall(r"^import time:.*\| +([\w.]+)$", worker.log, re.MULTILINE))
    assert "ray_import.service.work.worker" in imports
    assert {name.split(".")[0] for name in imports} & {"ray", "anthropic", "supabase", "fastapi", "uvicorn"} == set()
