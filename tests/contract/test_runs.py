"""What every destination remembers of runs over many users (`RunLedger` in `ray_import/sink/port.py`)."""

from contextlib import closing
from dataclasses import replace
from typing import get_args

import pytest

from ray_import.errors import ConfigError, SinkError
from ray_import.sink.port import RunStatus, RunUser, Sink, UserState
from tests.contract.destinations import SETTINGS, DestinationUnderTest, PostgresTables
from tests.gateway.postgres import Database

WHAT = "/exports/users.jsonl"
ANA, BEN, EVE = (RunUser(name, f"{name}.zip") for name in ("ana", "ben", "eve"))
COUNTS = {"conversations": {"seen": 3}, "messages": {"left_out": {"no_text": 1}}}


def ended(user: RunUser, state: UserState = "complete", version: str = "v1") -> RunUser:
    return replace(user, state=state, attempts=1, version=version, counts=COUNTS)


def run_of(sink: Sink, run_id: str, *users: RunUser, settings_hash: str = SETTINGS) -> None:
    """A run in which `users` are as they are given."""
    sink.open_run(run_id, WHAT, settings_hash, users)
    for user in users:
        sink.save_user(run_id, user)
    sink.close_run(run_id, "complete")


# --- runs ----------------------------------------------------------------------------------------


def test_a_new_run_has_its_users_in_order_and_nothing_done(sink: Sink, destination: DestinationUnderTest) -> None:
    users = [RunUser(name, f"{name}.zip") for name in ("b", "é", "a", "B", "日本", "\U0001f600", "a b")]
    opened = sink.open_run("run-1", WHAT, SETTINGS, users)
    assert opened == sorted(users, key=lambda user: user.user_id.encode())
    with closing(destination.open()) as other:
        assert other.run_users("run-1") == opened


def test_of_a_run_that_is_not_there_nobody_is_known(sink: Sink) -> None:
    assert sink.run_users("run-1") == []
    assert sink.last_run(WHAT, SETTINGS) is None
    assert sink.versions(SETTINGS) == {}


def test_a_run_may_be_of_nobody(sink: Sink) -> None:
    assert sink.open_run("run-1", WHAT, SETTINGS, []) == []
    assert sink.last_run(WHAT, SETTINGS) == ("run-1", "running")


def test_a_run_that_goes_on_takes_users_in_and_leaves_the_others_as_they_are(sink: Sink) -> None:
    sink.open_run("run-1", WHAT, SETTINGS, [ANA, BEN])
    done = ended(ANA)
    sink.save_user("run-1", done)
    assert sink.open_run("run-1", WHAT, SETTINGS, [EVE, replace(ANA, source="other.zip")]) == [done, BEN, EVE]


@pytest.mark.parametrize("state", get_args(UserState))
def test_how_far_a_user_is_comes_back_as_it_was_saved(sink: Sink, state: UserState) -> None:
    sink.open_run("run-1", WHAT, SETTINGS, [ANA, BEN])
    saved = replace(ANA, state=state, attempts=2, version='"é" 7', error="é 日本 \U0001f600 ' \" \\ \n", counts=COUNTS)
    sink.save_user("run-1", saved)
    assert sink.run_users("run-1") == [saved, BEN]
    sink.save_user("run-1", ANA)
    assert sink.run_users("run-1") == [ANA, BEN]


def test_a_user_is_saved_in_one_run_and_nowhere_else(sink: Sink) -> None:
    for run_id in ("run-1", "run-2"):
        sink.open_run(run_id, WHAT, SETTINGS, [ANA])
    sink.save_user("run-2", ended(ANA))
    sink.save_user("run-1", ended(EVE))
    sink.save_user("run-3", ended(ANA))
    assert [sink.run_users(f"run-{i}") for i in (1, 2, 3)] == [[ANA], [ended(ANA)], []]


@pytest.mark.parametrize("status", get_args(RunStatus))
def test_the_last_run_is_told_with_how_it_ended(sink: Sink, status: RunStatus) -> None:
    for run_id in ("run-2", "run-1"):
        sink.open_run(run_id, WHAT, SETTINGS, [ANA])
    sink.close_run("run-1", status)
    assert sink.last_run(WHAT, SETTINGS) == ("run-1", status)
    assert sink.last_run("other.jsonl", SETTINGS) is None
    assert sink.last_run(WHAT, "settings-2") is None


def test_a_run_that_goes_on_runs_again_and_is_not_a_later_one(sink: Sink) -> None:
    for run_id in ("run-1", "run-2"):
        sink.open_run(run_id, WHAT, SETTINGS, [ANA])
        sink.close_run(run_id, "failed")
    sink.open_run("run-1", WHAT, SETTINGS, [ANA])
    assert sink.last_run(WHAT, SETTINGS) == ("run-2", "failed")
    sink.open_run("run-2", WHAT, SETTINGS, [ANA])
    assert sink.last_run(WHAT, SETTINGS) == ("run-2", "running")


def test_thousands_of_users_are_one_run(sink: Sink) -> None:
    users = [RunUser(f"user-{i:05}", f"supabase://exports/user-{i:05}/conversations.json") for i in range(5_000)]
    assert sink.open_run("run-1", WHAT, SETTINGS, users) == users


# --- versions ------------------------------------------------------------------------------------


def test_of_several_imports_the_latest_whole_one_counts(sink: Sink) -> None:
    run_of(sink, "run-2", ended(ANA, version="v1"), ended(BEN, version="b1"))
    run_of(sink, "run-1", ended(replace(ANA, source="new.zip"), version="v2"))
    assert sink.versions(SETTINGS) == {"ana": ("new.zip", "v2"), "ben": ("ben.zip", "b1")}


def test_one_that_was_skipped_is_in(sink: Sink) -> None:
    run_of(sink, "run-1", ended(ANA, "skipped"))
    assert sink.versions(SETTINGS) == {"ana": ("ana.zip", "v1")}


@pytest.mark.parametrize("state", sorted({*get_args(UserState)} - {"complete", "skipped"}))
def test_what_is_not_in_as_a_whole_does_not_count(sink: Sink, state: UserState) -> None:
    run_of(sink, "run-1", ended(ANA, version="v1"))
    run_of(sink, "run-2", ended(ANA, state, version="v2"), ended(BEN, state))
    assert sink.versions(SETTINGS) == {"ana": ("ana.zip", "v1")}


def test_what_was_imported_with_other_settings_does_not_count(sink: Sink) -> None:
    run_of(sink, "run-1", ended(ANA))
    run_of(sink, "run-2", ended(ANA, version="v2"), settings_hash="settings-2")
    assert sink.versions(SETTINGS) == {"ana": ("ana.zip", "v1")}
    assert sink.versions("settings-2") == {"ana": ("ana.zip", "v2")}


def test_a_run_that_was_interrupted_counts_as_far_as_it_came(sink: Sink) -> None:
    sink.open_run("run-1", WHAT, SETTINGS, [ANA, BEN])
    sink.save_user("run-1", ended(ANA))
    assert sink.versions(SETTINGS) == {"ana": ("ana.zip", "v1")}


# --- users of a table ----------------------------------------------------------------------------

SOME, OTHER = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "7f9619ff-8b86-4d01-b42d-00cf4fc964ff"


def of_a_service(database: Database, kind: str, rows: str) -> None:
    with database.connected() as db:
        db.execute(f'CREATE TABLE "user profiles" (user_id {kind}, "export path" text)'.encode())
        db.execute(f'INSERT INTO "user profiles" VALUES {rows}'.encode())
        db.execute(b'GRANT SELECT ON "user profiles" TO service_role')
        db.execute(b"NOTIFY pgrst, 'reload schema'")


@pytest.mark.parametrize("kind", ["text", "uuid"])
def test_a_table_tells_whose_exports_there_are(sink: Sink, destination: DestinationUnderTest, kind: str) -> None:
    if not isinstance(destination, PostgresTables):
        with pytest.raises(ConfigError) as caught:
            sink.users_of("user profiles", "export path")
        assert caught.value.hint
        return
    nobody = f"('{SOME[:-1]}0', NULL), ('{SOME[:-1]}1', ''), (NULL, 'c.zip')"
    of_a_service(destination.database, kind, f"('{OTHER}', 'b.zip'), ('{SOME}', 'a.zip'), {nobody}")
    assert sink.users_of("user profiles", "export path") == [(SOME, "a.zip"), (OTHER, "b.zip")]


@pytest.mark.parametrize(
    ("table", "column"), [("no such table", "x"), ("import_jobs", "no such column"), ("import_runs", "what")]
)
def test_a_table_that_is_not_there_or_lacks_a_column_is_an_error(sink: Sink, table: str, column: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sink.users_of(table, column)
    assert caught.value.hint


def test_a_table_is_asked_by_name_and_by_nothing_else(sink: Sink, destination: DestinationUnderTest) -> None:
    sink.open_run("run-1", WHAT, SETTINGS, [ANA])
    for name in ('import_runs"; DROP TABLE public.import_runs; --', "x'; DROP TABLE public.import_runs; --"):
        for table, column in ((name, "id"), ("import_runs", name)):
            with pytest.raises((ConfigError, SinkError)):
                sink.users_of(table, column)
    assert sink.run_users("run-1") == [ANA]
