"""The commands `profile` and `profiles` as a person uses them, against the fake API."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ray_import.destinations.sqlite.sink import SqliteSink
from tests.cli.commands import ray_import, started
from tests.support.model_api.server import ModelApi, model_api
from tests.support.profile.bench import Profiled
from tests.support.profile.chats import chat, fact_of

CHATS = [chat(number, fact_of(number), padding=2_000) for number in range(60)]
SAID = {(fact_of(number).statement, f"c-{number:04}-0") for number in range(60)}
TABLES = ("runs", "requests", "units", "facts", "fact_units", "versions")


@pytest.fixture
def profiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Profiled]:
    with model_api() as api:
        for name, value in api.environment().items():
            monkeypatch.setenv(name, value)
        made = Profiled(tmp_path / "chunks.db", api)
        made.imported(CHATS)
        yield made


def rows(path: Path) -> dict[str, int]:
    """How many rows are in each table of the profile."""
    with closing(SqliteSink(path, create=False)) as sink:
        return {name: sink._db.execute(f"SELECT count(*) FROM profile_{name}").fetchone()[0] for name in TABLES}


def test_profile_is_made_shown_listed_and_forgotten_when_each_is_asked_for(profiled: Profiled, tmp_path: Path) -> None:
    made = ray_import(tmp_path, "profile", "--user-id", "ada", "--json")
    assert made.code == 0, made.err
    assert made.json["status"] == "complete"
    assert made.json["by_step"]["facts"]["requests"] == profiled.paid("facts")

    shown = ray_import(tmp_path, "profile", "show", "--user-id", "ada")
    assert shown.code == 0, shown.err
    assert fact_of(3).value in shown.out.decode()

    listed = ray_import(tmp_path, "profile", "facts", "--user-id", "ada", "--category", "project", "--json")
    assert {fact["statement"] for fact in listed.json["facts"]} == {fact_of(n).statement for n in range(1, 60, 5)}
    assert fact_of(1).value in ray_import(tmp_path, "profile", "facts", "--user-id", "ada").out.decode()

    gone = ray_import(tmp_path, "profile", "forget", "--user-id", "ada", "--json")
    assert gone.code == 0, gone.err
    assert gone.json["facts"] == 60
    assert rows(profiled.path) == dict.fromkeys(TABLES, 0)
    missing = ray_import(tmp_path, "profile", "show", "--user-id", "ada")
    assert (missing.code, missing.err_lines[0]) == (2, "error: There is no profile of the user ada.")


def test_facts_says_what_to_do_when_there_are_none(profiled: Profiled, tmp_path: Path) -> None:
    none = ray_import(tmp_path, "profile", "facts", "--user-id", "ada")
    assert (none.code, none.out) == (0, b"")
    assert none.err_lines == ["There are no facts of the user ada. Make them with ray-import profile."]
    assert ray_import(tmp_path, "profile", "facts", "--user-id", "ada", "--json").json == {"facts": []}
    ray_import(tmp_path, "profile", "--user-id", "ada")
    of_category = ray_import(tmp_path, "profile", "facts", "--user-id", "ada", "--category", "date")
    told = "There are no facts of the category date of the user ada. Leave out --category to see the others."
    assert (of_category.out, of_category.err_lines) == (b"", [told])


def test_report_says_what_was_spent_when_a_person_reads_it(profiled: Profiled, tmp_path: Path) -> None:
    made = ray_import(tmp_path, "profile", "--user-id", "ada", "--quick-only")
    assert made.code == 0, made.err
    assert "input tokens" in made.err
    assert made.out == b""
    again = ray_import(tmp_path, "profile", "--user-id", "ada", "--quick-only")
    assert "everything was answered before" in again.err


def test_dry_run_estimates_and_writes_nothing_when_there_is_no_key(
    profiled: Profiled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    before = profiled.path.read_bytes()
    planned = ray_import(tmp_path, "profile", "--user-id", "ada", "--dry-run", "--json")
    assert planned.code == 0, planned.err
    assert profiled.path.read_bytes() == before
    assert profiled.api.ledger().calls == []
    assert planned.json["units"] == 60
    monkeypatch.setenv("ANTHROPIC_API_KEY", profiled.api.key)
    made = ray_import(tmp_path, "profile", "--user-id", "ada", "--json").json
    for name in ("requests", "input_tokens"):
        assert made[name] == pytest.approx(planned.json[name], rel=0.5), name
    assert 0 < made["usd"] < 2 * planned.json["usd"]
    afterwards = ray_import(tmp_path, "profile", "--user-id", "ada", "--dry-run", "--json").json
    assert (afterwards["requests"], afterwards["usd"], afterwards["answered"]) == (0, 0, 60)


def test_dry_run_counts_at_the_api_when_that_is_asked_for(profiled: Profiled, tmp_path: Path) -> None:
    counted = ray_import(tmp_path, "profile", "--user-id", "ada", "--dry-run", "--exact", "--json")
    assert counted.code == 0, counted.err
    assert counted.json["is_exact"]
    assert profiled.api.ledger().count("/count_tokens") >= 3
    assert profiled.paid() == 0
    assert "input tokens" in ray_import(tmp_path, "profile", "--user-id", "ada", "--dry-run").out.decode()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--user-id", "ada", "--max-cost", "0"], "--max-cost 0 is not valid"),
        (["--user-id", "ada", "--exact"], "--exact is for --dry-run"),
        (["--user-id", "ada", "--batch", "--now"], "--batch and --now exclude each other"),
        (["--user-id", "ben"], "no imported conversations of the user ben"),
        (["--user-id", "ada", "--profile-table", "user_profiles"], "--profile-table is not available for SQLite"),
    ],
)
def test_profile_ends_with_2_when_an_option_cannot_be(
    profiled: Profiled, tmp_path: Path, options: list[str], words: str
) -> None:
    ended = ray_import(tmp_path, "profile", *options)
    assert ended.code == 2
    assert words in ended.err
    assert len(ended.err_lines) <= 2
    assert profiled.paid() == 0


def test_profile_names_the_variable_when_there_is_no_key(
    profiled: Profiled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    ended = ray_import(tmp_path, "profile", "--user-id", "ada")
    assert ended.code == 2
    assert ended.err_lines[0] == "error: ANTHROPIC_API_KEY is not set."
    assert rows(profiled.path) == dict.fromkeys(TABLES, 0)


def test_profiles_are_made_of_the_listed_users_when_a_file_names_them(profiled: Profiled, tmp_path: Path) -> None:
    profiled.imported(CHATS[:3], "ben")
    profiled.imported(CHATS[3:6], "eve")
    (tmp_path / "users.csv").write_text("user_id\nben\nada\n")
    made = ray_import(tmp_path, "profiles", "--users", "users.csv", "--now", "--json")
    assert made.code == 0, made.err
    assert [one["user_id"] for one in made.json["profiles"]] == ["ben", "ada"]
    assert profiled.said("eve") == set()
    everybody = ray_import(tmp_path, "profiles", "--all", "--now")
    assert everybody.code == 0, everybody.err
    assert "3: 3 complete" in everybody.err
    assert len(profiled.said("eve")) == 3
    neither = ray_import(tmp_path, "profiles")
    assert (neither.code, neither.err_lines[0]) == (2, "error: Give either --users or --all.")


def test_dry_run_adds_up_when_there_are_many_users(profiled: Profiled, tmp_path: Path) -> None:
    profiled.imported(CHATS[:3], "ben")
    planned = ray_import(tmp_path, "profiles", "--all", "--dry-run", "--json")
    assert planned.code == 0, planned.err
    assert [user["user_id"] for user in planned.json["users"]] == ["ada", "ben"]
    assert planned.json["requests"] == sum(user["requests"] for user in planned.json["users"])


def wait_until(api: ModelApi, paid: int) -> None:
    """Until so many requests were paid for."""
    until = time.monotonic() + 60
    while len(api.ledger().paid) < paid and time.monotonic() < until:
        time.sleep(0.02)
    assert len(api.ledger().paid) >= paid


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_profile_pays_only_for_the_calls_in_flight_again_when_it_was_ended(
    profiled: Profiled, tmp_path: Path, how: signal.Signals
) -> None:
    profiled.imported([chat(number, fact_of(number), padding=6_000) for number in range(60)])
    profiled.api.set(latency_seconds=0.2)
    process = started(tmp_path, "profile", "--user-id", "ada")
    wait_until(profiled.api, 5)
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    if how is not signal.SIGKILL:
        assert process.returncode == 3
        assert b"Stored answers are kept; run it again to resume." in err
    left = sum(request.state == "sending" for request in profiled.requests())
    assert left <= 8
    profiled.api.set(latency_seconds=0.0)
    report = profiled.run()
    assert report.status == "complete"
    assert report.unknown_outcome == left
    assert len(profiled.said()) == 60
    assert sum(profiled.api.ledger().paid_twice().values()) <= 2 * left


@pytest.mark.parametrize("seed", range(4))
def test_batches_are_never_paid_twice_when_the_process_is_killed(profiled: Profiled, tmp_path: Path, seed: int) -> None:
    profiled.api.set(hold_batches=True)
    process = started(tmp_path, "profile", "--user-id", "ada", "--batch")
    until = time.monotonic() + 60
    while len(profiled.api.batches()) < 1 and time.monotonic() < until:
        time.sleep(0.005 * (1 + seed))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    profiled.api.set(hold_batches=False)
    report = profiled.run(in_batches=True)
    assert report.status == "complete"
    assert profiled.said() == SAID
    assert profiled.api.ledger().paid_twice() == {}
    assert report.resumed_batches == 1


def test_second_run_is_refused_when_one_is_alive(profiled: Profiled, tmp_path: Path) -> None:
    profiled.api.set(latency_seconds=30.0)
    process = started(tmp_path, "profile", "--user-id", "ada")
    until = time.monotonic() + 60
    while not profiled.requests() and time.monotonic() < until:
        time.sleep(0.02)
    second = ray_import(tmp_path, "profile", "--user-id", "ada", "--json")
    process.kill()
    process.communicate(timeout=60)
    assert second.code == 2
    assert "is already being made" in json.loads(second.out)["error"]


def test_batches_are_deleted_at_the_api_when_the_profile_is_forgotten(profiled: Profiled, tmp_path: Path) -> None:
    profiled.run(in_batches=True)
    batches = profiled.api.batches()
    assert len(batches) >= 3
    gone = ray_import(tmp_path, "profile", "forget", "--user-id", "ada", "--json")
    assert gone.code == 0, gone.err
    assert gone.json["batches_deleted"] == len(batches)
    assert profiled.api.batches() == []


def test_open_batch_is_canceled_when_the_profile_is_forgotten(profiled: Profiled, tmp_path: Path) -> None:
    profiled.api.set(hold_batches=True)
    process = started(tmp_path, "profile", "--user-id", "ada", "--batch")
    until = time.monotonic() + 60
    while not any(request.batch_id for request in profiled.requests()) and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=60)
    gone = ray_import(tmp_path, "profile", "forget", "--user-id", "ada", "--json")
    assert gone.code == 0, gone.err
    assert gone.json["batches_deleted"] == 1
    assert profiled.api.batches() == []
    assert rows(profiled.path) == dict.fromkeys(TABLES, 0)
