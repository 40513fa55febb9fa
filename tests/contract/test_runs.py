"""What every destination remembers of runs over many users (`RunLedger` in `ray_import/destinations/base.py`)."""

import threading
from contextlib import closing
from dataclasses import replace
from typing import get_args

import pytest

from ray_import.chunks.rows import ImportJob
from ray_import.destinations.base import LEASE_SECONDS, RunKey, RunUser, Sink, UserState
from ray_import.errors import ConfigError, SinkError
from tests.contract.destinations import SETTINGS, DestinationUnderTest, PostgresTables
from tests.support.gateway.postgres import Database
from tests.unit.pipeline.runs import a_millisecond_later

WHAT = "/exports/users.jsonl"
OF = RunKey(WHAT, SETTINGS)
ME, OTHER = "host/boot/pids/1/5", "other/boot/pids/1/5"
ANA, BEN, EVE = (RunUser(name, f"{name}.zip") for name in ("ana", "ben", "eve"))
COUNTS = {"conversations": {"seen": 3}, "messages": {"left_out": {"no_text": 1}}}


def ended(user: RunUser, state: UserState = "complete", version: str = "v1") -> RunUser:
    return replace(user, state=state, attempts=1, version=version, counts=COUNTS)


def begun(sink: Sink, run_id: str, *users: RunUser, key: RunKey = OF) -> list[RunUser]:
    """The users of a run that begins, or goes on."""
    assert sink.start_run(run_id, key, ME) is None
    return sink.add_users(run_id, users)


def run_of(sink: Sink, run_id: str, *users: RunUser, key: RunKey = OF) -> None:
    """A run in which `users` are as they are given."""
    begun(sink, run_id, *users, key=key)
    assert sink.save_users(run_id, ME, users)
    sink.complete_run(run_id, ME)


# --- runs ----------------------------------------------------------------------------------------


def test_a_new_run_has_its_users_in_order_and_nothing_done(sink: Sink, destination: DestinationUnderTest) -> None:
    users = [RunUser(name, f"{name}.zip") for name in ("b", "é", "a", "B", "日本", "\U0001f600", "a b")]
    opened = begun(sink, "run-1", *users)
    assert opened == sorted(users, key=lambda user: user.user_id.encode())
    with closing(destination.open()) as other:
        assert other.run_users("run-1") == opened


def test_of_a_run_that_is_not_there_nobody_is_known(sink: Sink) -> None:
    assert sink.run_users("run-1") == []
    assert sink.interrupted_run(OF) is None
    assert sink.versions(SETTINGS) == {}
    assert sink.lacking_users(WHAT, SETTINGS) == []


def test_a_run_may_be_of_nobody(sink: Sink) -> None:
    assert begun(sink, "run-1") == []
    assert sink.interrupted_run(OF) == "run-1"


def test_a_run_that_goes_on_takes_users_in_and_leaves_the_others_as_they_are(sink: Sink) -> None:
    begun(sink, "run-1", ANA, BEN)
    done = ended(ANA)
    assert sink.save_users("run-1", ME, [done])
    assert begun(sink, "run-1", EVE, replace(ANA, source="other.zip")) == [done, BEN, EVE]


@pytest.mark.parametrize("state", get_args(UserState))
def test_how_far_a_user_is_comes_back_as_it_was_saved(sink: Sink, state: UserState) -> None:
    begun(sink, "run-1", ANA, BEN)
    saved = RunUser("ana", "new.zip", state, 2, '"é" 7', "é 日本 \U0001f600 ' \" \\ \n", COUNTS)
    assert sink.save_users("run-1", ME, [saved])
    assert sink.run_users("run-1") == [saved, BEN]
    assert sink.save_users("run-1", ME, [ANA, ended(BEN)])
    assert sink.run_users("run-1") == [ANA, ended(BEN)]
    assert sink.save_users("run-1", ME, [])


def test_a_user_is_saved_in_one_run_and_nowhere_else(sink: Sink) -> None:
    for run_id in ("run-1", "run-2"):
        begun(sink, run_id, ANA)
    assert sink.save_users("run-2", ME, [ended(ANA), ended(EVE)])
    assert not sink.save_users("run-3", ME, [ended(ANA)])
    assert [sink.run_users(f"run-{i}") for i in (1, 2, 3)] == [[ANA], [ended(ANA)], []]


@pytest.mark.parametrize("other", [RunKey("x", SETTINGS), RunKey(WHAT, SETTINGS, force=True)])
def test_the_last_run_that_did_the_same_is_interrupted_until_it_is_complete(sink: Sink, other: RunKey) -> None:
    for run_id in ("run-2", "run-1"):
        begun(sink, run_id, ANA)
    begun(sink, "run-3", ANA, key=other)
    sink.let_go(ME)
    assert (sink.interrupted_run(OF), sink.interrupted_run(other)) == ("run-1", "run-3")
    begun(sink, "run-1", ANA)
    sink.complete_run("run-1", ME)
    assert (sink.interrupted_run(OF), sink.interrupted_run(other)) == (None, "run-3")


def test_a_run_is_interrupted_in_its_table_when_its_process_has_released_it(
    sink: Sink, destination: DestinationUnderTest
) -> None:
    begun(sink, "run-1", ANA)
    assert destination.run_statuses() == {"run-1": "running"}
    sink.let_go(ME)
    assert destination.run_statuses() == {"run-1": "interrupted"}
    begun(sink, "run-1", ANA)
    assert destination.run_statuses() == {"run-1": "running"}
    sink.let_go(ME)
    begun(sink, "run-2", ANA, key=RunKey(WHAT, "settings-2"))
    assert destination.run_statuses() == {"run-1": "failed", "run-2": "running"}
    sink.complete_run("run-2", ME)
    sink.let_go(ME)
    assert destination.run_statuses() == {"run-1": "failed", "run-2": "complete"}


def test_a_run_is_over_when_one_with_other_settings_has_begun(sink: Sink) -> None:
    begun(sink, "run-1", ANA)
    begun(sink, "run-2", ANA, key=RunKey(WHAT, "settings-2"))
    begun(sink, "run-3", ANA, key=RunKey("other.jsonl", "settings-3"))
    sink.let_go(ME)
    assert sink.interrupted_run(OF) is None
    assert sink.interrupted_run(RunKey(WHAT, "settings-2")) == "run-2"


def test_thousands_of_users_are_one_run(sink: Sink) -> None:
    users = [RunUser(f"user-{i:05}", f"supabase://exports/user-{i:05}/conversations.json") for i in range(5_000)]
    assert begun(sink, "run-1", *users) == users


# --- one process at a run at a time --------------------------------------------------------------


@pytest.mark.parametrize("key", [OF, RunKey(WHAT, "settings-2"), RunKey(WHAT, SETTINGS, force=True)])
def test_while_a_process_is_at_a_run_no_other_begins_one_over_the_same_users(sink: Sink, key: RunKey) -> None:
    begun(sink, "run-1", ANA)
    for run_id in ("run-1", "run-2"):
        running = sink.start_run(run_id, key, OTHER)
        assert running is not None
        assert (running.id, running.holder) == ("run-1", ME)
        assert 0 <= running.silent_seconds < 60
        assert running.started_at.endswith("Z")
    assert sink.start_run("run-3", RunKey("other.jsonl", SETTINGS), OTHER) is None


@pytest.mark.parametrize("how", ["let go", "complete", "silent"])
def test_a_run_that_nobody_is_at_may_be_gone_on_with(sink: Sink, destination: DestinationUnderTest, how: str) -> None:
    begun(sink, "run-1", ANA)
    if how == "silent":
        destination.silence_run("run-1", LEASE_SECONDS + 1)
    elif how == "complete":
        sink.complete_run("run-1", ME)
    else:
        sink.let_go(ME)
    assert sink.start_run("run-1", OF, OTHER) is None
    assert sink.start_run("run-1", OF, ME) is not None


def test_a_sign_of_life_keeps_a_run(sink: Sink, destination: DestinationUnderTest) -> None:
    begun(sink, "run-1", ANA)
    destination.silence_run("run-1", LEASE_SECONDS + 1)
    sink.beat(OTHER)
    sink.beat(ME)
    running = sink.start_run("run-1", OF, OTHER)
    assert running is not None
    assert running.silent_seconds < LEASE_SECONDS


def test_whose_run_was_taken_over_changes_nothing_in_it(sink: Sink, destination: DestinationUnderTest) -> None:
    begun(sink, "run-1", ANA)
    destination.silence_run("run-1", LEASE_SECONDS + 1)
    assert sink.start_run("run-1", OF, OTHER) is None
    assert not sink.save_users("run-1", ME, [ended(ANA)])
    sink.complete_run("run-1", ME)
    sink.let_go(ME)
    assert sink.run_users("run-1") == [ANA]
    assert sink.interrupted_run(OF) == "run-1"
    assert sink.save_users("run-1", OTHER, [ended(ANA)])


@pytest.mark.parametrize("key", [OF, RunKey(WHAT, "settings-2"), RunKey(WHAT, SETTINGS, force=True)])
def test_a_process_that_was_silent_is_at_its_run_no_more_when_another_one_has_begun(
    sink: Sink, destination: DestinationUnderTest, key: RunKey
) -> None:
    begun(sink, "run-1", ANA)
    destination.silence_run("run-1", LEASE_SECONDS + 1)
    assert sink.start_run("run-2", key, OTHER) is None
    sink.beat(ME)
    assert not sink.save_users("run-1", ME, [ended(ANA)])
    sink.complete_run("run-1", ME)
    assert sink.run_users("run-1") == [ANA]
    assert sink.interrupted_run(key) == "run-2"


def test_of_many_that_begin_at_the_same_moment_one_does(destination: DestinationUnderTest) -> None:
    destination.open().close()
    together = threading.Barrier(8)
    began: list[int] = []

    def start(number: int) -> None:
        with closing(destination.open()) as sink:
            together.wait(60)
            if sink.start_run(f"run-{number}", OF, f"host/{number}") is None:
                began.append(number)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(together.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(began) == 1


# --- who lacks something -------------------------------------------------------------------------


def test_how_somebody_ended_last_counts_in_whichever_run(sink: Sink) -> None:
    run_of(sink, "run-2", ended(ANA, "failed"), ended(BEN, "failed"), ended(EVE, "partial"))
    run_of(sink, "run-1", ended(BEN), key=RunKey(WHAT, SETTINGS, force=True))
    assert sorted(sink.lacking_users(WHAT, SETTINGS)) == ["ana", "eve"]
    assert sink.lacking_users("other.jsonl", SETTINGS) == sink.lacking_users(WHAT, "settings-2") == []
    run_of(sink, "run-3", ended(EVE, "skipped"), ended(BEN, "partial"))
    assert sorted(sink.lacking_users(WHAT, SETTINGS)) == ["ana", "ben"]


def test_who_has_not_been_tried_has_not_changed(sink: Sink) -> None:
    run_of(sink, "run-1", ended(ANA, "failed"), ended(BEN))
    run_of(sink, "run-2", ANA, BEN, EVE)
    assert sink.lacking_users(WHAT, SETTINGS) == ["ana"]


def test_who_was_interrupted_lacks_something(sink: Sink) -> None:
    run_of(sink, "run-1", ended(ANA, "failed"), ended(BEN), ended(EVE))
    assert begun(sink, "run-1")
    assert sink.save_users("run-1", ME, [ended(ANA, "running"), ended(BEN, "pending")])
    assert sorted(sink.lacking_users(WHAT, SETTINGS)) == ["ana", "ben"]


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
    assert sink.versions(SETTINGS) == {}


def test_who_has_not_been_tried_since_has_what_was_in(sink: Sink) -> None:
    run_of(sink, "run-1", ended(ANA))
    run_of(sink, "run-2", ANA, BEN)
    begun(sink, "run-3", ANA, key=RunKey(WHAT, "settings-2"))
    assert sink.versions(SETTINGS) == {"ana": ("ana.zip", "v1")}


def test_what_was_replaced_with_other_settings_is_not_in_any_more(sink: Sink) -> None:
    run_of(sink, "run-1", ended(ANA), ended(BEN))
    run_of(sink, "run-2", ended(ANA, version="v2"), key=RunKey(WHAT, "settings-2"))
    assert sink.versions(SETTINGS) == {"ben": ("ben.zip", "v1")}
    assert sink.versions("settings-2") == {"ana": ("ana.zip", "v2")}


def test_who_was_imported_by_themselves_since_may_have_something_else_in(sink: Sink) -> None:
    run_of(sink, "run-1", ended(ANA), ended(BEN))
    a_millisecond_later()
    sink.start_job(ImportJob("import-1", "ana", 1_790_000_000.0), "ana.zip", ME)
    sink.update_job("import-1", COUNTS, "complete")
    assert sink.versions(SETTINGS) == {"ben": ("ben.zip", "v1")}
    run_of(sink, "run-2", ended(ANA))
    assert sorted(sink.versions(SETTINGS)) == ["ana", "ben"]


@pytest.mark.parametrize("attempts", [(), ("pending",)], ids=["at once", "after a reader was lost"])
def test_who_is_skipped_has_nothing_newer_than_what_was_imported_meanwhile(
    sink: Sink, attempts: tuple[UserState, ...]
) -> None:
    run_of(sink, "run-1", ended(ANA), ended(BEN))
    begun(sink, "run-2", ANA, BEN)
    run_of(sink, "run-3", ended(ANA), key=RunKey("other.jsonl", "settings-2"))
    a_millisecond_later()
    for state in (*attempts, "skipped"):
        assert sink.save_users("run-2", ME, [ended(ANA, state), ended(BEN, state)])
    assert sink.versions(SETTINGS) == {"ben": ("ben.zip", "v1")}
    assert sink.versions("settings-2") == {"ana": ("ana.zip", "v1")}


def test_a_run_that_was_interrupted_counts_as_far_as_it_came(sink: Sink) -> None:
    begun(sink, "run-1", ANA, BEN)
    assert sink.save_users("run-1", ME, [ended(ANA)])
    assert sink.versions(SETTINGS) == {"ana": ("ana.zip", "v1")}


# --- users of a table ----------------------------------------------------------------------------

SOME, ANOTHER = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "7f9619ff-8b86-4d01-b42d-00cf4fc964ff"


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
    of_a_service(destination.database, kind, f"('{ANOTHER}', 'b.zip'), ('{SOME}', 'a.zip'), {nobody}")
    assert sink.users_of("user profiles", "export path") == [(SOME, "a.zip"), (ANOTHER, "b.zip")]


@pytest.mark.parametrize(
    ("table", "column"), [("no such table", "x"), ("import_jobs", "no such column"), ("import_runs", "what")]
)
def test_a_table_that_is_not_there_or_lacks_a_column_is_an_error(sink: Sink, table: str, column: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sink.users_of(table, column)
    assert caught.value.hint


def test_a_table_is_asked_by_name_and_by_nothing_else(sink: Sink, destination: DestinationUnderTest) -> None:
    begun(sink, "run-1", ANA)
    for name in ('import_runs"; DROP TABLE public.import_runs; --', "x'; DROP TABLE public.import_runs; --"):
        for table, column in ((name, "id"), ("import_runs", name)):
            with pytest.raises((ConfigError, SinkError)):
                sink.users_of(table, column)
    assert sink.run_users("run-1") == [ANA]
