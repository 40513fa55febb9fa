"""Runs over many users: who ends how, what a failure costs, and what an interruption leaves."""

import json
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ray_import.chunks.rows import ImportJob
from ray_import.destinations.base import Job, JobStatus, RunKey, Running
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.errors import ImporterError, LeaseLost, SinkBusy, SourceRefused, SourceUnavailable
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.engine import MAX_ATTEMPTS, MAX_LOST_ATTEMPTS, RUNNING_AGAIN_SECONDS, RUNNING_PATIENCE_SECONDS
from ray_import.pipeline.report import MOST_TOLD_CHARACTERS, counts_as_dict, in_short
from ray_import.settings import ImportOptions
from tests.unit.pipeline.inline import WHAT, Clock, Dials, LedgerSink, Users
from tests.unit.pipeline.runs import STARTED_AT, Database, batches_of_bytes
from tests.unit.source.exports import conversation, exported, written, zipped

A_BATCH_EACH, ONE_BATCH = batches_of_bytes(1), batches_of_bytes(32 * 1024 * 1024)


def export(path: Path, conversations: int = 3) -> str:
    """An export whose conversations are called after its folder."""
    items = [conversation(f"{path.parent.name}-{i}") for i in range(conversations)]
    return str(written(path, exported(items)))


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "chunks.db")


@pytest.fixture
def users(tmp_path: Path, database: Database) -> Users:
    """Three users; each conversation is a batch."""
    sources = {name: export(tmp_path / name / "conversations.json") for name in ("ana", "ben", "eve")}
    return Users(database.path, A_BATCH_EACH, sources)


@pytest.fixture
def undisturbed(tmp_path: Path, users: Users) -> Database:
    """The same users, imported one by one."""
    return plainly_imported(tmp_path, users)


def plainly_imported(tmp_path: Path, users: Users) -> Database:
    database = Database(tmp_path / "undisturbed.db")
    for user_id, source in users.sources.items():
        database.imported(Path(source), settings=users.settings, user_id=user_id)
    return database


def jobs(database: Database) -> list[Job]:
    with closing(SqliteSink(database.path)) as sink:
        return sink.jobs()


# --- all goes well -------------------------------------------------------------------------------


@pytest.mark.parametrize("halves", [False, True], ids=["", "halves"])
@pytest.mark.parametrize("most_active", [1, 2, 9])
@pytest.mark.parametrize("room", [1, 4])
@pytest.mark.parametrize("settings", [A_BATCH_EACH, ONE_BATCH], ids=["a batch each", "one batch"])
def test_every_user_ends_with_the_counts_and_rows_of_a_plain_import(
    tmp_path: Path, users: Users, database: Database, settings: Any, room: int, most_active: int, halves: bool
) -> None:
    users.settings = settings
    undisturbed = Database(tmp_path / "undisturbed.db")
    expected = {
        user_id: undisturbed.imported(Path(source), settings=settings, user_id=user_id)
        for user_id, source in users.sources.items()
    }
    outcome = users.run(dials=Dials(halves=halves), room=room, most_active=most_active)
    assert outcome.states == dict.fromkeys(users.sources, "complete")
    for user_id, summary in expected.items():
        saved = outcome.saved[user_id]
        assert (saved.counts, saved.attempts, saved.error) == (counts_as_dict(summary.counts), 1, None)
    assert database.content() == undisturbed.content()
    assert outcome.bytes_read == sum(summary.bytes_read for summary in expected.values())
    assert {(job.user_id, job.status, str(job.counts)) for job in jobs(database)} == {
        (user_id, "complete", str(saved.counts)) for user_id, saved in outcome.saved.items()
    }
    assert outcome.readers.most_open <= most_active
    assert outcome.workers.most_held <= room + halves


def test_run_notes_files_by_name_when_they_might_hold_chats_and_are_not_read(tmp_path: Path, users: Users) -> None:
    members = {"conversations.json": exported([conversation("ana-0")]), "group_chats.json": b'[{"id":"g"}]'}
    users.sources["ana"] = str(written(tmp_path / "x.zip", zipped({**members, "old/chats.zip": b"x"})))
    outcome = users.run()
    assert outcome.states == dict.fromkeys(users.sources, "complete")
    ana = outcome.saved["ana"]
    assert (ana.error, ana.counts["notes"]) == (None, {"not_read:chats.zip": 1, "not_read:group_chats.json": 1})
    assert outcome.saved["ben"].counts["notes"] == {}


def test_the_last_that_is_shown_is_how_it_ended(users: Users) -> None:
    outcome = users.run()
    last = outcome.shown[-1]
    assert last.states == {"complete": 3}
    assert (last.conversations, last.rejects, last.active) == (9, 0, 0)
    assert (last.chunks_written, last.bytes_read) == (9, outcome.bytes_read)
    for before, after in zip(outcome.shown, outcome.shown[1:], strict=False):
        assert (before.seconds, before.bytes_read, before.conversations, before.chunks_written) <= (
            after.seconds, after.bytes_read, after.conversations, after.chunks_written,
        )  # fmt: skip


def test_run_shows_the_share_of_bytes_when_readers_know_the_sizes(users: Users) -> None:
    shares = [progress.bytes_share for progress in users.run(most_active=3, tick_seconds=0.15).shown]
    known = [share for share in shares if share is not None]
    assert known == sorted(known)
    assert any(0 < share < 1 for share in known)
    assert known[-1] == shares[-1] == 1.0


def test_run_shows_the_share_of_bytes_from_the_first_when_the_sizes_are_known_before(users: Users) -> None:
    sizes = {user_id: Path(source).stat().st_size for user_id, source in users.sources.items()}
    shares = [progress.bytes_share for progress in users.run(most_active=1, tick_seconds=0.15, known_bytes=sizes).shown]
    assert None not in shares
    assert shares == sorted(shares, key=lambda share: share or 0.0)
    assert len(set(shares)) > len(users.sources), "more than whole users"
    assert shares[-1] == 1.0


def test_nobody_is_no_error(database: Database) -> None:
    assert users_of(database).run().states == {}


def users_of(database: Database, **sources: str) -> Users:
    return Users(database.path, A_BATCH_EACH, sources)


@pytest.mark.parametrize("room", [1, 4])
@pytest.mark.parametrize("most_active", [2, 3])
def test_small_exports_do_not_wait_for_the_end_of_a_large_one(
    tmp_path: Path, database: Database, room: int, most_active: int
) -> None:
    small = {f"small-{i}": export(tmp_path / f"small-{i}" / "x.json", 2) for i in range(6)}
    users = users_of(database, large=export(tmp_path / "large" / "x.json", 60), **small)
    outcome = users.run(room=room, most_active=most_active)
    assert outcome.ended == [*small, "large"]


def test_whoever_is_read_has_their_turn(tmp_path: Path, database: Database) -> None:
    users = users_of(database, **{name: export(tmp_path / name / "x.json", 20) for name in ("ana", "ben", "eve")})
    worked_for = users.run(room=1, most_active=3).workers.worked_for
    for done in range(1, len(worked_for)):
        shares = [worked_for[:done].count(name) for name in users.sources]
        assert max(shares) - min(shares) <= 2


def test_of_the_bytes_in_flight_nobody_has_more_than_their_share(tmp_path: Path, database: Database) -> None:
    size = Path(export(tmp_path / "one" / "x.json", 1)).stat().st_size
    sizes = {"ana": 30, "ben": 60}
    users = users_of(database, **{name: export(tmp_path / name / "x.json", many) for name, many in sizes.items()})
    shares = users.run(dials=Dials(slow=True), room=99, budget_bytes=8 * size).workers.shares
    together = [held for held in shares if len(held) == 2]
    assert max(max(held.values()) for held in together) <= 4 * size
    assert max(held.total() for held in together) > 6 * size
    alone = [held for held in shares if len(held) == 1]
    assert 6 * size < max(held.total() for held in alone) <= 8 * size


def test_a_batch_that_is_larger_than_a_share_is_taken_alone(tmp_path: Path, database: Database) -> None:
    users = users_of(database, **{name: export(tmp_path / name / "x.json", 9) for name in ("ana", "ben")})
    outcome = users.run(dials=Dials(slow=True), room=99, budget_bytes=1)
    assert set(outcome.states.values()) == {"complete"}
    assert outcome.workers.most_held == 2


def test_the_table_of_users_has_no_counts_and_the_destination_has(users: Users) -> None:
    assert "complete" in users.run(tick_seconds=1, at=interruption(9), interrupted=True).states.values()
    outcome = users.run()
    assert [user.counts for user in outcome.users.values()] == [{}] * 3
    assert [saved.counts["conversations"]["seen"] for saved in outcome.saved.values()] == [3] * 3


# --- how a user may end --------------------------------------------------------------------------

ENDLESS = f"conversations-{'7' * 100_000}.json"
KINDS: dict[str, tuple[Callable[[Path], str], str]] = {
    "whole": (lambda path: export(path / "x.json"), "complete"),
    "nobody has chatted yet": (lambda path: str(written(path / "conversations.json", b"[]")), "complete"),
    "cut off": (lambda path: str(written(path / "x.json", exported([conversation("a")] * 3)[:-30])), "partial"),
    "a ZIP cut off behind all": (
        lambda path: str(
            written(path / "x.zip", zipped({"conversations.json": exported([conversation("a")]), "y": b""})[:-30])
        ),
        "partial",
    ),
    "a part is missing whose name has no end": (
        lambda path: str(
            written(
                path / "y.zip",
                zipped(
                    {
                        "conversations-000.json": exported([conversation("a")]),
                        "export_manifest.json": json.dumps(["conversations-000.json", ENDLESS]).encode(),
                    }
                ),
            )
        ),
        "partial",
    ),
    "one bad conversation": (
        lambda path: str(
            written(path / "x.json", exported([conversation("a"), conversation("b")]).replace(b'"b"', b"NaN", 1))
        ),
        "partial",
    ),
    "not there": (lambda path: str(path / "missing.zip"), "failed"),
    "no export": (lambda path: str(written(path / "x.json", b'[{"name": "a folder"}]')), "failed"),
    "a web page": (lambda path: str(written(path / "x.zip", b"<html>sign in</html>")), "failed"),
    "no address": (lambda _: "ftp://example.com/x.zip", "failed"),
    "no object": (lambda _: "supabase://exports", "failed"),
    "NUL in its name": (lambda path: f"{path}/a\0b.zip", "failed"),
}


PROBLEMS = {
    "cut off": "truncated: ",
    "a ZIP cut off behind all": "truncated: x.zip: ",
    "a part is missing whose name has no end": "missing_shard: ",
}
"""What is told of those who are partial for more than rejects, which are kept."""


NOTHING_THERE = {"not there", "no address", "no object", "NUL in its name"}
"""Of those that fail, these may have an export later; the others have one that is not worth another look."""


def test_every_user_ends_by_themselves(tmp_path: Path, database: Database) -> None:
    users = users_of(database, **{kind: make(tmp_path / str(i)) for i, (kind, (make, _)) in enumerate(KINDS.items())})
    outcome = users.run()
    assert outcome.states == {kind: state for kind, (_, state) in KINDS.items()}
    for user_id, user in outcome.saved.items():
        assert (user.error is not None) == (user.state == "failed" or user_id in PROBLEMS), user_id
        assert bool(user.version) == (user_id not in NOTHING_THERE), user_id
        assert user.attempts == 1
    for user_id, problem in PROBLEMS.items():
        assert (outcome.saved[user_id].error or "").startswith(problem)
    assert max(len(user.error or "") for user in outcome.saved.values()) <= MOST_TOLD_CHARACTERS + 1
    assert outcome.shown[-1].states == {"complete": 2, "partial": 4, "failed": 6}
    assert {job.user_id: job.status for job in jobs(database)} == {
        kind: state for kind, (_, state) in KINDS.items() if state != "failed" or kind == "no export"
    }


def test_in_short_cuts_an_error_when_it_is_longer_than_the_ledger_takes() -> None:
    assert in_short("x" * (MOST_TOLD_CHARACTERS + 1)) == "x" * MOST_TOLD_CHARACTERS + "…"
    assert in_short("x" * MOST_TOLD_CHARACTERS) == "x" * MOST_TOLD_CHARACTERS


def always(error: ImporterError) -> list[ImporterError]:
    return [error] * 99


GONE = SourceUnavailable("The server is away.")


@pytest.mark.parametrize(
    ("dials", "error", "attempts"),
    [
        pytest.param(lambda: Dials({"ben": always(GONE)}), "The server is away.", MAX_ATTEMPTS, id="a server away"),
        pytest.param(lambda: Dials({"ben": [SourceRefused("Gone.")]}), "Gone.", 1, id="an export gone"),
        pytest.param(lambda: Dials(lost_batches=lost(99)), "A machine was lost.", MAX_LOST_ATTEMPTS, id="losses"),
        pytest.param(lambda: Dials(refused_batches=lost(1)), "There is nowhere to put it.", 1, id="a batch not taken"),
    ],
)
def test_who_fails_costs_nobody_else_anything(
    users: Users, database: Database, undisturbed: Database, dials: Callable[[], Dials], error: str, attempts: int
) -> None:
    outcome = users.run(dials=dials())
    assert outcome.states == {"ana": "complete", "ben": "failed", "eve": "complete"}
    assert (outcome.saved["ben"].error, outcome.saved["ben"].attempts) == (error, attempts)
    assert outcome.readers.begun == {"ana": 1, "ben": attempts, "eve": 1}
    assert [(job.status, job.error) for job in jobs(database) if job.user_id == "ben"] == [("failed", error)] * attempts
    of_others = [row for row in undisturbed.content()["conversation_chunks"] if row["user_id"] != "ben"]
    assert [row for row in database.content()["conversation_chunks"] if row["user_id"] != "ben"] == of_others


def lost(times: int) -> Counter[str]:
    return Counter(ben=times)


@pytest.mark.parametrize(
    ("what", "times"),
    [
        *(("a server away", times) for times in range(1, MAX_ATTEMPTS)),
        *(("machines lost", times) for times in (1, MAX_LOST_ATTEMPTS - 1)),
    ],
)
def test_what_passes_is_tried_again_and_leaves_no_trace(
    users: Users, database: Database, undisturbed: Database, what: str, times: int
) -> None:
    dials = Dials({"ben": [GONE] * times}) if what == "a server away" else Dials(lost_batches=lost(times))
    users.settings = A_BATCH_EACH if what == "a server away" else ONE_BATCH
    outcome = users.run(dials=dials)
    assert outcome.states == dict.fromkeys(users.sources, "complete")
    assert (outcome.saved["ben"].attempts, outcome.saved["ben"].error) == (times + 1, None)
    assert outcome.saved["ben"].counts["conversations"]["seen"] == 3
    assert database.content() == undisturbed.content()


# --- slow servers --------------------------------------------------------------------------------


def users_with_slow_sources(folder: Path, database: Database, slow: int, good: int) -> tuple[Users, Dials]:
    """The slow ones come first."""
    names = [*(f"slow{i}" for i in range(slow)), *(f"good{i}" for i in range(good))]
    sources = {name: export(folder / name / "conversations.json") for name in names}
    return Users(database.path, A_BATCH_EACH, sources), Dials(slow_sources=set(names[:slow]))


def test_good_users_end_soon_when_the_servers_of_others_drip(tmp_path: Path, database: Database) -> None:
    users, dials = users_with_slow_sources(tmp_path, database, slow=8, good=4)
    undisturbed = plainly_imported(tmp_path, users)
    clock, done_at = Clock(), {}

    class Timed(LedgerSink):
        def save_users(self, run_id: str, holder: str, users: Any) -> bool:
            done_at.update({user.user_id: clock.now - 1000 for user in users if user.state == "complete"})
            return super().save_users(run_id, holder, users)

    outcome = users.run(dials=dials, most_active=4, room=20, tick_seconds=1.0, clock=clock, make_sink=Timed)
    assert outcome.states == dict.fromkeys(users.sources, "complete")
    assert max(done_at[name] for name in users.sources if name.startswith("good")) < 60
    assert max(done_at.values()) < 900
    assert outcome.readers.most_open <= 8
    assert all(outcome.readers.begun[name] == 2 for name in dials.slow_sources)
    assert {user.attempts for user in outcome.saved.values()} == {1}
    assert database.content() == undisturbed.content()


def test_slow_lane_is_bounded_when_nearly_all_servers_are_slow(tmp_path: Path, database: Database) -> None:
    users, dials = users_with_slow_sources(tmp_path, database, slow=12, good=1)
    outcome = users.run(dials=dials, most_active=2, room=20, tick_seconds=1.0)
    assert set(outcome.states.values()) == {"complete"}
    assert outcome.readers.most_open == 4
    assert max(progress.active for progress in outcome.shown) == 4
    assert max(progress.slow for progress in outcome.shown) == 12
    assert outcome.shown[-1].slow == 0


def test_silent_readings_leave_their_places_when_others_wait(tmp_path: Path, database: Database) -> None:
    """Before they have turned out to be slow: else each of them would hold up a place for all that time."""
    users, dials = users_with_slow_sources(tmp_path, database, slow=2, good=2)
    outcome = users.run(dials=dials, most_active=2, room=20, tick_seconds=1.0)
    assert outcome.readers.order[:4] == ["slow0", "slow1", "good0", "good1"]
    assert outcome.ended[:2] == ["good0", "good1"]


def test_reading_of_a_file_keeps_its_place_when_it_is_silent(tmp_path: Path, database: Database) -> None:
    users, dials = users_with_slow_sources(tmp_path, database, slow=0, good=6)
    dials.slow = True
    outcome = users.run(dials=dials, most_active=2, tick_seconds=20.0)
    assert outcome.readers.most_open == 2


def test_user_fails_once_when_the_deadline_of_their_source_is_over(users: Users) -> None:
    over = SourceRefused("It is too slow.")
    outcome = users.run(dials=Dials({"ben": [over, over, over]}))
    assert outcome.states == {"ana": "complete", "ben": "failed", "eve": "complete"}
    assert (outcome.readers.begun["ben"], outcome.saved["ben"].attempts) == (1, 1)


# --- one import of a user at a time --------------------------------------------------------------


def other_import(database: Database, user_id: str) -> ImportJob:
    job = ImportJob("another", user_id, STARTED_AT)
    with closing(SqliteSink(database.path)) as sink:
        sink.start_job(job, "x", "another-host//1")
    return job


def test_who_is_being_imported_already_is_waited_for(users: Users, database: Database, undisturbed: Database) -> None:
    other_import(database, "ana")

    def ends(shown: int) -> None:
        if shown == 50:
            with closing(SqliteSink(database.path)) as sink:
                sink.update_job("another", {}, "complete")

    outcome = users.run(at=ends)
    assert outcome.states == dict.fromkeys(users.sources, "complete")
    assert outcome.saved["ana"].attempts == 1
    assert outcome.ended == ["ben", "eve", "ana"]
    assert 2 < outcome.readers.begun["ana"] < 5
    assert database.content() == undisturbed.content()


def test_who_is_being_imported_for_too_long_fails(users: Users, database: Database) -> None:
    other_import(database, "ana")
    outcome = users.run()
    assert outcome.states == {"ana": "failed", "ben": "complete", "eve": "complete"}
    assert "another" in (outcome.saved["ana"].error or "")
    tries = RUNNING_PATIENCE_SECONDS / RUNNING_AGAIN_SECONDS
    assert 0.9 * tries <= outcome.readers.begun["ana"] <= tries + 1
    assert outcome.shown[-1].seconds >= RUNNING_PATIENCE_SECONDS
    assert {job.id: job.status for job in jobs(database)}["another"] == "running"


@pytest.mark.parametrize("tick_seconds", [0.01, 5.0], ids=["seen at the end", "seen on the way"])
def test_whose_place_was_taken_fails_and_leaves_the_others_job_alone(
    users: Users, database: Database, tick_seconds: float
) -> None:
    batches = count()

    def takes_over(work: BatchContext) -> None:
        if work.job.user_id == "ben" and next(batches) == 0:
            with closing(SqliteSink(database.path)) as sink:
                sink.update_job(work.job.id, {}, "failed", "interrupted")
                sink.start_job(ImportJob("another", "ben", STARTED_AT), "x", "another-host//1")

    outcome = users.run(dials=Dials(after_batch=takes_over), tick_seconds=tick_seconds)
    assert outcome.states == {"ana": "complete", "ben": "failed", "eve": "complete"}
    assert "another one has taken over" in (outcome.saved["ben"].error or "")
    assert [(job.status, job.error) for job in jobs(database) if job.user_id == "ben"] == [
        ("failed", "interrupted"),
        ("running", None),
    ]


# --- what is in already --------------------------------------------------------------------------


def test_an_export_that_is_in_is_skipped_until_it_changes(tmp_path: Path, users: Users, database: Database) -> None:
    users.run("run-1")
    before = database.dump()
    again = users.run("run-2")
    assert again.states == dict.fromkeys(users.sources, "skipped")
    assert (again.bytes_read, again.workers.worked_for) == (0, [])
    assert not again.readers.begun
    assert len(jobs(database)) == 3
    export(tmp_path / "ben" / "conversations.json", 4)
    changed = users.run("run-3")
    assert changed.states == {"ana": "skipped", "ben": "complete", "eve": "skipped"}
    assert changed.saved["ben"].counts["conversations"]["imported"] == 1
    assert changed.saved["ben"].counts["conversations"]["unchanged"] == 3
    after = database.dump()["imported_conversations"]
    assert len(after) == 10
    assert [row for row in after if row["import_id"] in {row["import_id"] for row in before["imported_conversations"]}]


def test_another_source_of_the_same_bytes_is_read(tmp_path: Path, users: Users) -> None:
    users.run("run-1")
    users.sources["ben"] = str(Path(users.sources["ben"]).rename(tmp_path / "moved.json"))
    assert users.run("run-2").states == {"ana": "skipped", "ben": "complete", "eve": "skipped"}


def test_other_settings_import_all_again(users: Users) -> None:
    users.run("run-1")
    users.settings = batches_of_bytes(1, type(users.settings)(branches="active"))
    assert users.run("run-2").states == dict.fromkeys(users.sources, "complete")


def test_force_imports_what_is_in_again(users: Users, database: Database, undisturbed: Database) -> None:
    users.run("run-1")
    outcome = users.run("run-2", options=ImportOptions(force=True))
    assert outcome.states == dict.fromkeys(users.sources, "complete")
    for saved in outcome.saved.values():
        assert saved.counts["conversations"]["imported"] == 3
    assert database.content() == undisturbed.content()


@pytest.mark.parametrize("how", ["partial", "failed"])
def test_who_lacks_something_is_not_skipped(tmp_path: Path, database: Database, how: str) -> None:
    make, state = KINDS["cut off" if how == "partial" else "no export"]
    users = users_of(database, ana=make(tmp_path))
    assert [users.run(f"run-{i}").states["ana"] for i in range(2)] == [state] * 2


# --- interruptions -------------------------------------------------------------------------------


def test_whenever_it_is_interrupted_the_same_run_goes_on_to_the_same_end(
    tmp_path: Path, users: Users, undisturbed: Database
) -> None:
    expected, interruptions, job = undisturbed.content(), 0, RunKey(WHAT, users.settings.rows_hash)
    for moment in range(1, len(users.run(tick_seconds=1).shown)):
        database = Database(tmp_path / f"{moment}.db")
        users.database = database.path
        first = users.run(tick_seconds=1, at=interruption(moment), interrupted=True)
        interruptions += 1
        assert {job.status for job in jobs(database)} <= {"complete", "failed"}
        assert {job.error for job in jobs(database) if job.status == "failed"} <= {"interrupted"}
        assert set(first.states.values()) <= {"complete", "running", "pending"}
        with closing(SqliteSink(database.path)) as sink:
            assert sink.interrupted_run(job) == "run-1"
        second = users.run()
        assert second.states == dict.fromkeys(users.sources, "complete")
        assert second.readers.begun.keys() == {name for name, state in first.states.items() if state != "complete"}
        assert database.content() == expected
        with closing(SqliteSink(database.path)) as sink:
            assert sink.interrupted_run(job) is None
    assert interruptions > 5


def interruption(at: int) -> Callable[[int], None]:
    """Raises when progress is shown for the so many-th time."""

    def interrupt(shown: int) -> None:
        if shown == at:
            raise KeyboardInterrupt

    return interrupt


def test_who_is_being_imported_is_running_in_the_destination_with_this_attempt(users: Users) -> None:
    seen: list[dict[str, tuple[str, int]]] = []

    def looks(_: BatchContext) -> None:
        with closing(SqliteSink(users.database)) as sink:
            seen.append({user.user_id: (user.state, user.attempts) for user in sink.run_users("run-1")})

    first = users.run(
        dials=Dials(after_batch=looks), tick_seconds=1, most_active=1, at=interruption(5), interrupted=True
    )
    assert seen[0] == {"ana": ("running", 1), "ben": ("pending", 0), "eve": ("pending", 0)}
    (at_work,) = [name for name, state in first.states.items() if state == "running"]
    assert {progress.states["running"] for progress in first.shown} == {1}
    second = users.run()
    assert second.shown[0].states["running"] <= 2
    assert second.saved[at_work].attempts == 2


def test_a_run_that_another_process_has_taken_over_ends_and_changes_nothing_more(users: Users) -> None:
    def takes_over(_: BatchContext) -> None:
        with closing(SqliteSink(users.database)) as sink:
            sink._db.execute("UPDATE import_runs SET holder = 'other/boot/pids/1/1'")

    with pytest.raises(LeaseLost):
        users.run(dials=Dials(after_batch=takes_over))
    with closing(SqliteSink(users.database)) as sink:
        assert "complete" not in {user.state for user in sink.run_users("run-1")}


def test_a_job_whose_begin_was_not_answered_keeps_nobody_waiting(users: Users, database: Database) -> None:
    unanswered = ["ben"]

    class Unanswered(LedgerSink):
        def start_job(self, job: ImportJob, source: str, holder: str) -> Running | None:
            running = super().start_job(job, source, holder)
            if job.user_id in unanswered:
                unanswered.remove(job.user_id)
                raise SinkBusy("The answer was lost.")
            return running

    outcome = users.run(make_sink=Unanswered)
    assert outcome.states == dict.fromkeys(users.sources, "complete")
    assert outcome.saved["ben"].attempts == 2
    assert sorted((job.user_id, job.status) for job in jobs(database)) == [
        ("ana", "complete"), ("ben", "complete"), ("ben", "failed"), ("eve", "complete"),
    ]  # fmt: skip


def test_telling_many_jobs_how_far_they_are_takes_a_tenth_of_the_time_and_forgets_none(
    tmp_path: Path, database: Database
) -> None:
    call_seconds, clock = 0.06, Clock()
    told = Counter[str]()

    class FarAway(LedgerSink):
        def update_job(
            self, import_id: str, counts: dict[str, Any], status: JobStatus = "running", error: str | None = None
        ) -> bool:
            if status == "running":
                clock.now += call_seconds
                told[import_id] += 1
            return super().update_job(import_id, counts, status, error)

    users = users_of(database, **{f"user-{i}": export(tmp_path / f"{i}" / "x.json", 60) for i in range(20)})
    began = clock.now
    outcome = users.run(most_active=20, tick_seconds=0.03, make_sink=FarAway, clock=clock)
    assert set(outcome.states.values()) == {"complete"}
    assert set(told) == {job.id for job in jobs(database)}
    assert told.total() * call_seconds <= 0.1 * (clock.now - began) + call_seconds
