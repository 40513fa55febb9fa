"""`ray-import profiles` on a real Ray, against the fake API: results, deaths, metrics, and where the key is not."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.commands import PLAIN, Ended
from tests.cluster.ray_head import free_ports, ray_head
from tests.cluster.test_jobs import ask, ended, log_of, submit
from tests.cluster.test_metrics import asked, scrape, values_in
from tests.cluster.test_secrets import Run, texts_in
from tests.support.cluster.reimports import of_own_ray, processes
from tests.support.cluster.several_nodes import QUICKLY, several_nodes
from tests.support.model_api.server import ModelApi, model_api
from tests.support.profile.bench import Profiled
from tests.support.profile.chats import chat, fact_of
from tests.support.user_exports import query_in

pytestmark = pytest.mark.ray

USERS = [f"person-{number}" for number in range(6)]
DEADLINE_SECONDS = 180
HOLDERS_THAT_SEND = (
    "SELECT DISTINCT holder FROM profile_runs JOIN profile_requests ON run_id = profile_runs.id"
    " WHERE state = 'sending' AND profile_runs.status = 'running'"
)
LOST = "The process that makes the calls to Claude was lost."


def numbers(user_id: str) -> range:
    """Those of a user's conversations."""
    first = 8 * USERS.index(user_id)
    return range(first, first + 8)


def said_by(user_id: str) -> set[tuple[str, str]]:
    return {(fact_of(number).statement, f"c-{number:04}-0") for number in numbers(user_id)}


def imported(folder: Path, api: ModelApi) -> Profiled:
    """A destination with all users."""
    made = Profiled(folder / "chunks.db", api)
    for user_id in USERS:
        made.imported([chat(number, fact_of(number), padding=9_000) for number in numbers(user_id)], user_id)
    (folder / "users.csv").write_text("\n".join(["user_id", *USERS]))
    return made


@pytest.fixture
def profiled(tmp_path: Path) -> Iterator[Profiled]:
    with model_api(latency_seconds=0.3) as api:
        yield imported(tmp_path, api)


def started(profiled: Profiled, *options: str, **environment: str) -> "subprocess.Popen[bytes]":
    """Profiles of all users by two workers, on a Ray of its own unless `environment` names another."""
    folder = profiled.path.parent
    base = dict(os.environ) if "RAY_ADDRESS" in environment else of_own_ray()
    return subprocess.Popen(
        [sys.executable, "-m", "ray_import", "profiles", "--users", str(folder / "users.csv"), "--to", profiled.to,
         "--json", "--workers", "2", *options],
        cwd=folder, env=base | PLAIN | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finished(process: "subprocess.Popen[bytes]") -> Ended:
    out, err = process.communicate(timeout=DEADLINE_SECONDS)
    return Ended(process.returncode, out, err.decode())


def wait_until(holds: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    """Looks again and again while the command runs."""
    until = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            raise AssertionError(f"it did not come to that: {process.communicate()[1].decode()}")
        time.sleep(0.05)  # between two looks, not instead of one


def killed(process: "subprocess.Popen[bytes]", name: str) -> None:
    """Kills one process of this kind."""
    wait_until(lambda: bool(processes(process.pid, name)), process)
    processes(process.pid, name)[0].kill()


def all_are_complete(profiled: Profiled, run: Ended) -> None:
    assert run.code == 0, run.err
    assert [(one["user_id"], one["status"]) for one in run.json["profiles"]] == [(one, "complete") for one in USERS]
    for user_id in USERS:
        assert profiled.said(user_id) == said_by(user_id)


@pytest.mark.parametrize("way", ["--now", "--batch"])
def test_profiles_are_made_and_every_request_is_paid_once(profiled: Profiled, way: str) -> None:
    run = finished(started(profiled, way, **profiled.api.environment()))
    all_are_complete(profiled, run)
    ledger = profiled.api.ledger()
    assert sum(one["requests"] for one in run.json["profiles"]) == len(ledger.paid)
    assert ledger.paid_twice() == {}
    assert ledger.most_in_flight <= 8


def test_cost_limit_is_that_of_all_workers_when_direct_calls_are_made(profiled: Profiled) -> None:
    run = finished(started(profiled, "--now", "--max-cost", "0.02", **profiled.api.environment()))
    assert run.code == 1, run.err
    assert {one["status"] for one in run.json["profiles"]} >= {"partial"}
    assert 0 < sum(one["usd"] for one in run.json["profiles"]) <= 0.02


def test_users_are_taken_up_again_when_a_worker_is_killed(profiled: Profiled) -> None:
    process = started(profiled, "--now", **profiled.api.environment())
    at_work: list[tuple[str]] = []

    def is_at_work() -> bool:
        at_work[:] = query_in(profiled.path, HOLDERS_THAT_SEND) if len(profiled.api.ledger().paid) >= 4 else []
        return bool(at_work)

    wait_until(is_at_work, process)
    os.kill(int(at_work[0][0].split("/")[-2]), signal.SIGKILL)
    run = finished(process)
    all_are_complete(profiled, run)
    unknown = sum(one["unknown_outcome"] for one in run.json["profiles"])
    assert 0 < unknown <= 8
    assert sum(count - 1 for count in profiled.api.ledger().paid_twice().values()) <= unknown
    assert query_in(profiled.path, "SELECT count(*) FROM profile_runs WHERE error = 'interrupted'")[0][0] > 0


def test_run_ends_in_plain_words_when_the_process_of_the_calls_is_killed(profiled: Profiled) -> None:
    process = started(profiled, "--now", **profiled.api.environment())
    wait_until(lambda: len(profiled.api.ledger().paid) >= 4, process)
    killed(process, "ClaudeCalls")
    run = finished(process)
    assert run.code == 3, run.err
    errors = {one["error"].splitlines()[0] for one in run.json["profiles"] if one["error"]}
    assert errors == {LOST}
    unknown = sum(one["unknown_outcome"] for one in run.json["profiles"])
    assert 0 < unknown <= 8
    again = finished(started(profiled, "--now", **profiled.api.environment()))
    all_are_complete(profiled, again)
    assert sum(count - 1 for count in profiled.api.ledger().paid_twice().values()) <= unknown


def test_next_run_need_not_wait_when_this_one_was_stopped(profiled: Profiled) -> None:
    process = started(profiled, "--now", **profiled.api.environment())
    wait_until(lambda: len(profiled.api.ledger().paid) >= 4, process)
    process.send_signal(signal.SIGTERM)
    stopped = finished(process)
    assert stopped.code == 3, stopped.err
    assert "interrupted" in stopped.err
    assert query_in(profiled.path, "SELECT count(*) FROM profile_runs WHERE status = 'running'") == [(0,)]
    left = query_in(profiled.path, "SELECT count(*) FROM profile_requests WHERE state = 'sending'")[0][0]
    assert left <= 8
    run = finished(started(profiled, "--now", **profiled.api.environment()))
    all_are_complete(profiled, run)
    assert sum(one["unknown_outcome"] for one in run.json["profiles"]) == left


@dataclass(frozen=True, slots=True)
class Scraped:
    """A run on a cluster whose processes have the key, and what was left behind."""

    profiled: Profiled
    run: Ended
    text: str
    files: dict[str, str]


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """The command itself has no key. One user has no import, and one pack is answered with lies."""
    folder = tmp_path_factory.mktemp("profiles")
    [port] = free_ports(1)
    soon = {"metrics_report_interval_ms": 500}
    with model_api(invented_quotes=2) as api, pytest.MonkeyPatch.context() as patched:
        made = imported(folder, api)
        with (folder / "users.csv").open("a") as file:
            file.write("\nnobody-7\n")
        for name, value in api.environment().items():
            patched.setenv(name, value)
        with several_nodes(2, metrics_export_port=port, _system_config=QUICKLY | soon) as cluster:
            patched.delenv("ANTHROPIC_API_KEY")
            run = finished(started(made, "--now", RAY_ADDRESS=cluster.address))
            text = scrape(port, "ray_profile_")
            files = texts_in(Path(cluster.head_node.get_session_dir_path()))
        yield Scraped(made, run, text, files)


def test_driver_needs_no_key_when_the_processes_of_the_cluster_have_it(scraped: Scraped) -> None:
    reports = scraped.run.json["profiles"]
    assert [one["status"] for one in reports] == ["complete"] * 6 + ["failed"], scraped.run.err
    assert scraped.run.code == 2
    for user_id in USERS:
        assert scraped.profiled.said(user_id) == said_by(user_id)


def test_every_query_names_a_metric_of_profiles_that_is_exported(scraped: Scraped) -> None:
    names = {line.partition("{")[0] for line in scraped.text.splitlines() if line.startswith("ray_profile_")}
    assert names == asked("ray_profile_")


def test_the_metrics_say_what_the_reports_say(scraped: Scraped) -> None:
    reports = scraped.run.json["profiles"]
    states = {state: count for state, count in values_in(scraped.text, "ray_profile_users", "state").items() if count}
    assert states == {"complete": 6, "failed": 1}
    assert sum(values_in(scraped.text, "ray_profile_requests_total").values()) == sum(r["requests"] for r in reports)
    tokens = values_in(scraped.text, "ray_profile_tokens_total", "direction")
    assert tokens == {
        "input": sum(report["input_tokens"] for report in reports),
        "output": sum(report["output_tokens"] for report in reports),
    }
    dollars = sum(values_in(scraped.text, "ray_profile_dollars_total").values())
    assert dollars == pytest.approx(sum(report["usd"] for report in reports), rel=0.001)
    rejected = values_in(scraped.text, "ray_profile_rejected_statements_total", "reason")
    assert rejected["quote_not_found"] == sum(report["rejected"].get("quote_not_found", 0) for report in reports) > 0
    assert values_in(scraped.text, "ray_profile_retries_total", "reason") == {"rate_limit": 0, "busy": 0}


def test_no_label_holds_a_user_and_no_file_of_ray_the_key_or_words_of_a_chat(scraped: Scraped) -> None:
    assert "person-" not in scraped.text
    assert len(scraped.files) > 10
    left = Run(0, {**scraped.files, "out": scraped.run.out.decode(), "err": scraped.run.err, "metrics": scraped.text})
    assert left.places_of(scraped.profiled.api.key) == []
    assert left.places_of(fact_of(3).quote) == []


def test_no_profile_is_made_when_the_processes_of_the_cluster_have_no_key(profiled: Profiled) -> None:
    assert "ANTHROPIC_API_KEY" not in os.environ
    with several_nodes(2) as cluster:
        run = finished(started(profiled, "--now", RAY_ADDRESS=cluster.address, **profiled.api.environment()))
    assert run.code == 2
    assert "ANTHROPIC_API_KEY is not set." in run.err
    assert "ray start" in run.err
    assert json.loads(run.out)["error"].startswith("ANTHROPIC_API_KEY")
    assert profiled.paid() == 0


def test_job_makes_profiles_and_shows_its_figures_as_metadata(
    profiled: Profiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in profiled.api.environment().items():
        monkeypatch.setenv(name, value)
    with ray_head(token=False) as head:
        job_id = submit(
            head, "--users", str(profiled.path.parent / "users.csv"), "--to", profiled.to, "--now",
            entry=("python", "profile_users.py"),
        )  # fmt: skip
        job = ended(head, job_id)
        texts = {"log": log_of(head, job_id), "job": str(job), "jobs": str(ask(head, "/api/jobs/"))}
        actors = ask(head, "/api/v0/actors?detail=1")
        texts |= {"actors": str(actors), "tasks": str(ask(head, "/api/v0/tasks?detail=1"))} | texts_in(head.folder)
    assert job["driver_exit_code"] == 0, texts["log"]
    told = {name: value for name, value in job["metadata"].items() if name.startswith("profile_")}
    assert (told["profile_users"], told["profile_percent"]) == ("6 complete", "100")
    assert told["profile_requests"] == str(len(profiled.api.ledger().paid))
    assert float(told["profile_usd"]) > 0
    assert set(told) == {
        "profile_users", "profile_percent", "profile_requests", "profile_tokens", "profile_usd",
        "profile_limit_wait_seconds", "profile_rejected",
    }  # fmt: skip
    names = {actor["name"] for actor in actors["data"]["result"]["result"] if actor["class_name"] != "JobSupervisor"}
    assert names == {"claude-calls", "profile-worker-0", "profile-worker-1"}
    assert "person-" not in str(told)
    assert Run(0, texts).places_of(profiled.api.key) == []
