"""What a profile asks of a destination: every one keeps runs, requests, units, facts and versions alike."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from threading import Barrier
from typing import Any, cast

import pytest

from ray_import.chunks.rows import iso_time
from ray_import.destinations.base import LEASE_SECONDS, Sink
from ray_import.destinations.postgres import profiles
from ray_import.destinations.postgres.psycopg import PostgresDatabase
from ray_import.destinations.postgres.sink import DatabaseSink
from ray_import.destinations.profiles import Fact, Forgotten, ProfileConversation, StoredUnit
from ray_import.errors import SinkBusy, SinkError
from tests.contract.destinations import SETTINGS, DestinationUnderTest, PostgresTables, import_of, rows_for
from tests.contract.profiles import answered, at, fact_of, request_of, unit_of, version_of

ANA = "u1"
HOLDER = "host/1"
LATER = LEASE_SECONDS + 10


@pytest.fixture
def running(sink: Sink) -> Sink:
    """A destination in which a run of ana's profile is at work."""
    assert sink.start_profile(ANA, "run-1", HOLDER, at(0)) is None
    return sink


def settled(sink: Sink, number: int, facts: Sequence[Fact] = (), units: Sequence[StoredUnit] = ()) -> bool:
    """Saves a request and settles it with one unit."""
    request = request_of(number)
    sink.save_requests(ANA, [request])
    return sink.settle_request(ANA, answered(request), units or [unit_of(number)], facts)


def everything_of(sink: Sink, user_id: str = ANA) -> list[Any]:
    """All that is kept of a user's profile."""
    return [
        sink.requests(user_id), sink.units(user_id), sink.facts(user_id), sink.versions_of(user_id),
        [run.id for run in sink.profile_runs(user_id)],
    ]  # fmt: skip


# --- what is read of imports ---------------------------------------------------------------------


def test_profile_conversations_gives_all_of_a_user_by_product_and_id(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "PAGE_ROWS", 2)
    job = replace(import_of(2), product="claude")
    sink.write(import_of(1), SETTINGS, [rows_for(name, messages=name != "b") for name in ("b", "a", "B", "é", "c")], [])
    sink.write(job, SETTINGS, [replace(rows_for("a", job=job), product="claude", chunks=(), messages=())], [])
    other = import_of(3, "u2")
    sink.write(other, SETTINGS, [rows_for("x", job=other)], [])
    found = sink.profile_conversations(ANA)
    names = [("chatgpt", name) for name in ("B", "a", "b", "c", "é")]
    assert [(one.product, one.conversation_id) for one in found] == [*names, ("claude", "a")]
    assert found[2] == ProfileConversation(
        product="chatgpt", conversation_id="b", content_hash="b-v1", title="v1", create_time=iso_time(1_690_000_000.0),
        update_time=iso_time(1_700_000_000.0), message_count=2, has_messages=False,
    )  # fmt: skip
    assert sink.profile_conversations("nobody") == []


def test_profile_users_gives_everybody_with_conversations(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "PAGE_ROWS", 2)
    assert sink.profile_users() == []
    users = ["u5", "u1", "U2", "u3", "u4"]
    for number, user_id in enumerate(users):
        job = import_of(number, user_id)
        sink.write(job, SETTINGS, [rows_for(name, job=job) for name in ("a", "b")], [])
    sink.start_job(import_of(9, "u9"), "x", HOLDER)
    assert sink.profile_users() == sorted(users)


@pytest.mark.parametrize("page_bytes", [1, 1_000, 4_000_000])
def test_messages_of_gives_each_conversation_by_position_in_the_order_asked_for(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, page_bytes: int
) -> None:
    monkeypatch.setattr(profiles, "PAGE_BYTES", page_bytes)
    monkeypatch.setattr(profiles, "PAGE_BYTES", page_bytes)
    monkeypatch.setattr(profiles, "PAGE_ROWS", 2)
    rows = [rows_for(f"c{number}", chunks=number) for number in (3, 0, 7, 1)]
    backwards = replace(rows[0], messages=tuple(reversed(rows[0].messages)))
    sink.write(import_of(1), SETTINGS, [backwards, *rows[1:]], [])
    asked = [("chatgpt", name) for name in ("c7", "none", "c0", "c1", "c3", "c7")]
    found = list(sink.messages_of(ANA, asked))
    by_name = {one.conversation_id: list(one.messages) for one in rows}
    assert found == [by_name.get(name, []) for _, name in asked]
    assert list(sink.messages_of("u2", asked[:1])) == [[]]
    assert list(sink.messages_of(ANA, [])) == []


# --- runs ----------------------------------------------------------------------------------------


def test_start_profile_tells_of_the_run_that_is_alive_and_of_no_other_users(running: Sink) -> None:
    found = running.start_profile(ANA, "run-2", "host/2", at(1))
    assert found is not None
    assert (found.id, found.holder, found.started_at) == ("run-1", HOLDER, at(0))
    assert 0 <= found.silent_seconds < LEASE_SECONDS
    assert running.start_profile("u2", "run-3", "host/2", at(1)) is None
    assert [run.id for run in running.profile_runs(ANA)] == ["run-1"]


def test_start_profile_is_idempotent_when_it_is_called_again(running: Sink) -> None:
    assert running.start_profile(ANA, "run-1", HOLDER, at(0)) is None
    assert running.start_profile(ANA, "run-1", "host/2", at(0)) is not None
    assert len(running.profile_runs(ANA)) == 1


def test_start_profile_ends_the_run_before_when_that_is_silent(
    destination: DestinationUnderTest, running: Sink
) -> None:
    running.save_requests(ANA, [request_of(1)])
    destination.silence_profile("run-1", LATER)
    (before,) = running.profile_runs(ANA)
    assert (before.status, before.error) == ("failed", "interrupted")
    assert running.start_profile(ANA, "run-2", "host/2", at(1)) is None
    assert not running.beat_profile(ANA, "run-1", HOLDER)
    new, old = running.profile_runs(ANA)
    assert (new.id, new.status, new.error, new.finished_at) == ("run-2", "running", None, None)
    assert (old.id, old.status, old.error, old.finished_at) == ("run-1", "failed", "interrupted", before.updated_at)
    assert running.requests(ANA) == [request_of(1)]


def test_beat_profile_keeps_a_run_alive_when_it_is_its_holders(
    destination: DestinationUnderTest, running: Sink
) -> None:
    destination.silence_profile("run-1", LATER)
    assert not running.beat_profile(ANA, "run-1", "host/2")
    assert not running.beat_profile("u2", "run-1", HOLDER)
    assert running.profile_runs(ANA)[0].status == "failed"
    assert running.beat_profile(ANA, "run-1", HOLDER)
    assert running.profile_runs(ANA)[0].status == "running"
    assert running.start_profile(ANA, "run-2", "host/2", at(1)) is not None


def test_end_profile_keeps_the_report_and_lets_another_start(running: Sink) -> None:
    report = {"requests": 3, "usd": 0.25, "rejected": {"quote_not_found": 2}, "note": None}
    running.end_profile(ANA, "run-1", "partial", report, "the model was away")
    running.end_profile(ANA, "run-1", "complete", {}, None)
    (run,) = running.profile_runs(ANA)
    assert (run.status, run.report, run.error) == ("partial", report, "the model was away")
    assert run.finished_at is not None
    assert (run.started_at, run.finished_at) == (at(0), run.updated_at)
    assert not running.beat_profile(ANA, "run-1", HOLDER)
    assert running.start_profile(ANA, "run-2", HOLDER, at(1)) is None


def test_release_profiles_ends_the_runs_of_one_holder_alone(running: Sink) -> None:
    running.start_profile("u2", "run-2", HOLDER, at(1))
    running.start_profile("u3", "run-3", "host/2", at(1))
    running.start_profile("u4", "run-4", HOLDER, at(1))
    running.end_profile("u4", "run-4", "complete", {}, None)
    running.release_profiles(HOLDER)
    found = [running.profile_runs(user_id)[0] for user_id in (ANA, "u2", "u3", "u4")]
    assert [run.status for run in found] == ["failed", "failed", "running", "complete"]
    assert [run.error for run in found] == ["interrupted", "interrupted", None, None]


def test_start_profile_starts_one_when_several_processes_call_it_at_once(
    destination: DestinationUnderTest, sink: Sink
) -> None:
    together = Barrier(4)

    def start(number: int) -> bool:
        with closing(destination.open()) as own:
            together.wait(60)
            return own.start_profile(ANA, f"run-{number}", f"host/{number}", at(number)) is None

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(start, range(4))) == 1
    assert len(sink.profile_runs(ANA)) == 1


# --- requests ------------------------------------------------------------------------------------


def test_requests_gives_what_was_saved_oldest_first(running: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "PAGE_ROWS", 2)
    monkeypatch.setattr(profiles, "PART_REQUESTS", 2)
    full = answered(
        request_of(3), id="a", kind="merge", unit_ids=(), mark="x", group_id="g", batch_id="b", attempts=2, reason="r",
        rejected={"no_such_message": 2}, result={"pairs": [["a", "b", "same"]], "share": 1.5},
    )  # fmt: skip
    saved = [request_of(2), full, request_of(1, state="in_batch"), request_of(4, id="B"), request_of(4, id="c")]
    running.save_requests(ANA, saved)
    oldest_first = [saved[2], saved[0], full, saved[3], saved[4]]
    assert running.requests(ANA) == oldest_first
    assert running.requests(ANA, ["in_batch", "answered"]) == [saved[2], full]
    assert running.requests(ANA, ["failed"]) == running.requests("u2") == []
    running.save_requests(ANA, [])


def test_save_requests_gives_a_time_when_there_is_none_and_keeps_it(running: Sink) -> None:
    running.save_requests(ANA, [request_of(1, created_at="")])
    (first,) = running.requests(ANA)
    assert len(first.created_at) == len(at(1))
    running.save_requests(ANA, [request_of(1, created_at="", state="in_batch")])
    assert running.requests(ANA) == [replace(first, state="in_batch")]


@pytest.mark.parametrize("state", ["answered", "failed"])
def test_save_requests_leaves_a_request_alone_when_it_is_final(running: Sink, state: str) -> None:
    final = answered(request_of(1), state=state)
    running.save_requests(ANA, [request_of(1)])
    running.save_requests(ANA, [final])
    running.save_requests(ANA, [request_of(1, state="unknown_outcome"), request_of(2)])
    assert running.requests(ANA) == [final, request_of(2)]


def test_save_requests_refuses_new_ones_when_their_run_is_over(
    destination: DestinationUnderTest, running: Sink
) -> None:
    running.save_requests(ANA, [request_of(1)])
    destination.silence_profile("run-1", LATER)
    running.start_profile(ANA, "run-2", "host/2", at(1))
    unknown = request_of(1, state="unknown_outcome")
    with pytest.raises(SinkError) as caught:
        running.save_requests(ANA, [unknown, request_of(2)])
    assert not caught.value.retry
    assert running.requests(ANA) == [request_of(1)]
    running.save_requests(ANA, [unknown, request_of(3, run_id="run-2")])
    assert [request.state for request in running.requests(ANA)] == ["unknown_outcome", "sending"]
    with pytest.raises(SinkError):
        running.save_requests("u2", [request_of(1, run_id="run-2")])


# --- answers -------------------------------------------------------------------------------------


def test_settle_request_saves_request_units_and_facts(running: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "PAGE_ROWS", 2)
    facts = [
        fact_of(2), fact_of(1, said_at=None, valid_from=None, valid_to=at(5), subject="漢🚀\n"),
        fact_of(3, status="superseded", superseded_by="fact-2", seen=4, said_at=at(2)),
    ]  # fmt: skip
    units = [unit_of(2, state="split"), unit_of(1), unit_of(3, state="failed", reason="refused", attempts=3)]
    final = answered(request_of(1), rejected={"empty": 1})
    running.save_requests(ANA, [request_of(1)])
    assert running.settle_request(ANA, final, units, facts)
    assert running.requests(ANA) == [final]
    assert running.units(ANA) == sorted(units, key=lambda unit: unit.id)
    assert running.facts(ANA) == [facts[1], facts[0], facts[2]]
    assert running.facts("u2") == []
    assert running.units("u2") == []


@pytest.mark.parametrize("state", ["answered", "failed"])
def test_settle_request_changes_nothing_when_it_was_settled_before(running: Sink, state: str) -> None:
    running.save_requests(ANA, [request_of(1)])
    assert running.settle_request(ANA, answered(request_of(1), state=state), [unit_of(1)], [fact_of(1)])
    before = everything_of(running)
    again = answered(request_of(1), input_tokens=1)
    assert not running.settle_request(ANA, again, [unit_of(1, attempts=2), unit_of(2)], [fact_of(2)])
    assert not running.settle_request(ANA, answered(request_of(1), state=state), [unit_of(1)], [fact_of(1)])
    assert everything_of(running) == before


def test_settle_request_takes_a_late_answer_when_its_run_is_over(
    destination: DestinationUnderTest, running: Sink
) -> None:
    running.save_requests(ANA, [request_of(1)])
    destination.silence_profile("run-1", LATER)
    running.start_profile(ANA, "run-2", "host/2", at(1))
    running.save_requests(ANA, [request_of(1, state="unknown_outcome")])
    assert running.settle_request(ANA, answered(request_of(1)), [unit_of(1)], [fact_of(1)])
    assert running.requests(ANA) == [answered(request_of(1))]
    assert running.facts(ANA) == [fact_of(1)]


def test_settle_request_writes_nothing_when_a_row_is_refused(running: Sink) -> None:
    running.save_requests(ANA, [request_of(1)])
    wrong: Any = "no_such_status"
    with pytest.raises(SinkError):
        running.settle_request(ANA, answered(request_of(1)), [unit_of(1)], [fact_of(1), fact_of(2, status=wrong)])
    assert running.requests(ANA) == [request_of(1)]
    assert running.units(ANA) == []
    assert running.facts(ANA) == []


def test_settle_request_replaces_what_came_of_a_unit_before(running: Sink) -> None:
    assert settled(running, 1, units=[unit_of(1, state="failed", reason="off_schema", request_id="request-1")])
    assert settled(running, 2, units=[unit_of(1, attempts=2, content_hash="sha256:2", request_id="request-2")])
    assert running.units(ANA) == [unit_of(1, attempts=2, content_hash="sha256:2", request_id="request-2")]


def test_settle_request_keeps_the_state_of_facts_that_are_there(running: Sink) -> None:
    settled(running, 1, [fact_of(1)])
    merged = fact_of(1, status="superseded", superseded_by="fact-9", valid_to=at(9), seen=3)
    running.update_facts(ANA, [merged])
    settled(running, 2, [fact_of(1, unit_id="unit-2")])
    assert running.facts(ANA) == [merged]


@pytest.mark.parametrize("first", [0, 1])
def test_facts_are_the_same_when_their_units_are_answered_in_another_order(running: Sink, first: int) -> None:
    spellings = [fact_of(1, unit_id="unit-1", quote="TEA é"), fact_of(1, unit_id="unit-2", quote="TEA z")]
    settled(running, 1, [spellings[first]])
    settled(running, 2, [spellings[1 - first]])
    settled(running, 3, [*spellings, spellings[first]])
    assert running.facts(ANA) == [fact_of(1, unit_id="unit-1", quote="TEA z")]


def test_settle_request_is_done_once_when_its_answer_is_lost(destination: DestinationUnderTest) -> None:
    if not isinstance(destination, PostgresTables):
        pytest.skip("a file has no connection to lose")

    class LosesAnAnswer(PostgresDatabase):
        lost = False

        def call(self, function: str, arguments: dict[str, Any]) -> Any:
            found = super().call(function, arguments)
            if function == "ray_import_profile_settle" and not self.lost:
                self.lost = True
                raise SinkBusy("The connection was lost.")
            return found

    with closing(LosesAnAnswer(destination.database.dsn)) as database:
        sink = DatabaseSink(database, wait=lambda _: 0.0)
        sink.start_profile(ANA, "run-1", HOLDER, at(0))
        assert settled(sink, 1, [fact_of(1)])
        assert database.lost
        assert not sink.settle_request(ANA, answered(request_of(1)), [unit_of(1)], [])


# --- units and facts -----------------------------------------------------------------------------


def test_drop_units_deletes_the_facts_that_came_of_no_other_unit(
    running: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "PART_ROWS", 1)
    settled(running, 1, [fact_of(1), fact_of(2)])
    settled(running, 2, [fact_of(1, unit_id="unit-2"), fact_of(3, unit_id="unit-2")])
    settled(running, 3, [fact_of(4, unit_id="unit-3")])
    running.drop_units(ANA, ["unit-1", "unit-3", "no such unit"])
    running.drop_units("u2", ["unit-2"])
    running.drop_units(ANA, [])
    assert running.units(ANA) == [unit_of(2)]
    assert running.facts(ANA) == [fact_of(1, unit_id="unit-2"), fact_of(3, unit_id="unit-2")]
    running.drop_units(ANA, ["unit-2"])
    assert running.facts(ANA) == []
    assert running.units(ANA) == []


def test_settle_request_replaces_units_when_it_is_told_to(running: Sink) -> None:
    settled(running, 1, [fact_of(1), fact_of(2), fact_of(5)], [unit_of(1)])
    settled(running, 2, [fact_of(2, unit_id="unit-2")], [unit_of(2)])
    running.save_requests(ANA, [request_of(3)])
    assert running.settle_request(
        ANA, answered(request_of(3)), [unit_of(3)], [fact_of(3, unit_id="unit-3")], ["unit-1"]
    )
    assert running.units(ANA) == [unit_of(2), unit_of(3)]
    assert {fact.id for fact in running.facts(ANA)} == {"fact-2", "fact-3"}
    assert not running.settle_request(ANA, answered(request_of(3)), [], [], ["unit-2"])
    assert running.units(ANA) == [unit_of(2), unit_of(3)]


def test_settle_request_replaces_nothing_when_a_row_is_refused(running: Sink) -> None:
    settled(running, 1, [fact_of(1)], [unit_of(1)])
    running.save_requests(ANA, [request_of(2)])
    before, wrong = everything_of(running), fact_of(2, status=cast("Any", "no_such_status"))
    with pytest.raises(SinkError):
        running.settle_request(ANA, answered(request_of(2)), [unit_of(2)], [wrong], ["unit-1"])
    assert everything_of(running) == before


def test_replace_units_saves_the_words_of_the_new_unit_when_the_fact_is_the_same(running: Sink) -> None:
    settled(running, 1, [fact_of(1, quote="A"), fact_of(2)], [unit_of(1)])
    running.replace_units(ANA, ["unit-1", "no such unit"], [fact_of(1, unit_id="unit-2", quote="B")])
    assert running.units(ANA) == []
    assert running.facts(ANA) == [fact_of(1, unit_id="unit-2", quote="B")]
    running.replace_units("u2", ["unit-2"], [])
    running.replace_units(ANA, [], [])
    assert running.facts(ANA) == [fact_of(1, unit_id="unit-2", quote="B")]
    with pytest.raises(SinkError):
        running.replace_units(ANA, ["unit-2"], [fact_of(3, status=cast("Any", "no_such_status"))])
    assert running.facts(ANA) == [fact_of(1, unit_id="unit-2", quote="B")]


def test_keep_units_sets_the_hash_of_these_alone(running: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "PART_ROWS", 1)
    settled(running, 1, [fact_of(1)], [unit_of(1), unit_of(2), unit_of(3)])
    running.keep_units(ANA, ["unit-1", "unit-3"], "sha256:9")
    running.keep_units("u2", ["unit-2"], "sha256:8")
    hashes = [unit.content_hash for unit in running.units(ANA)]
    assert hashes == ["sha256:9", "sha256:1", "sha256:9"]
    assert running.facts(ANA) == [fact_of(1)]


def test_update_facts_sets_what_merging_decides_and_nothing_else(
    running: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "PART_ROWS", 2)
    settled(running, 1, [fact_of(number) for number in (1, 2, 3)])
    first = fact_of(1, status="duplicate", superseded_by="fact-2")
    second = fact_of(2, status="superseded", superseded_by="fact-3", valid_from=None, valid_to=at(3), seen=2)
    changed = replace(second, statement="other words", quote="x")
    running.update_facts(ANA, [first, changed, fact_of(3), fact_of(4)])
    running.update_facts("u2", [fact_of(3, seen=9)])
    assert running.facts(ANA) == [first, second, fact_of(3)]
    running.update_facts(ANA, [fact_of(2)])
    assert running.facts(ANA) == [first, fact_of(2), fact_of(3)]


def test_facts_and_results_are_stored_when_a_model_answers_with_nul_and_lone_surrogates(running: Sink) -> None:
    odd = 'a\0b\\u0000 \ud83d "q"'
    clean = 'a\ufffdb\\u0000 ? "q"'
    running.save_requests(ANA, [request_of(1)])
    final = answered(request_of(1), result={"text": odd, "deeper": [[{"x": odd}]]})
    assert running.settle_request(ANA, final, [unit_of(1)], [fact_of(1, statement=odd), fact_of(2)])
    assert [fact.statement for fact in running.facts(ANA)] == [clean, fact_of(2).statement]
    assert running.requests(ANA)[0].result == {"text": clean, "deeper": [[{"x": clean}]]}
    running.save_version(ANA, version_of(1, memory_md=odd, sections={"soul": odd}))
    assert running.versions_of(ANA) == [version_of(1, memory_md=clean, sections={"soul": clean})]
    running.end_profile(ANA, "run-1", "failed", {"odd": odd}, odd)
    (run,) = running.profile_runs(ANA)
    assert (run.report, run.error) == ({"odd": clean}, clean)


# --- versions, and forgetting --------------------------------------------------------------------


def test_versions_of_gives_the_newest_first(running: Sink) -> None:
    versions = [version_of(number, kind="quick" if number == 1 else "full") for number in (3, 1, 6, 2, 5, 4)]
    for version in versions:
        running.save_version(ANA, version)
        running.save_version(ANA, replace(version, memory_md="again"))
    newest_first = sorted(versions, key=lambda version: version.created_at, reverse=True)
    assert running.versions_of(ANA) == newest_first
    assert running.versions_of(ANA, 5) == newest_first[:5]
    assert running.versions_of(ANA, 0) == running.versions_of("u2") == []


def test_save_version_is_refused_when_its_run_is_over(running: Sink) -> None:
    running.end_profile(ANA, "run-1", "complete", {}, None)
    with pytest.raises(SinkError):
        running.save_version(ANA, version_of(1))
    assert running.versions_of(ANA) == []


def test_forget_profile_deletes_all_of_one_user_and_tells_how_much(running: Sink) -> None:
    running.start_profile("u2", "run-1", HOLDER, at(0))
    for user_id in (ANA, "u2"):
        running.save_requests(user_id, [request_of(1), request_of(2)])
        units = [unit_of(1), unit_of(2), unit_of(3)]
        facts = [fact_of(number) for number in range(4)]
        running.settle_request(user_id, answered(request_of(1)), units, facts)
        running.save_version(user_id, version_of(1))
    before = everything_of(running, "u2")
    assert running.forget_profile(ANA) == Forgotten(runs=1, requests=2, units=3, facts=4, versions=1)
    assert everything_of(running) == [[], [], [], [], []]
    assert everything_of(running, "u2") == before
    assert running.forget_profile(ANA) == Forgotten(runs=0, requests=0, units=0, facts=0, versions=0)


def test_forget_profile_leaves_nothing_behind_when_a_run_is_at_work(running: Sink) -> None:
    settled(running, 1, [fact_of(1)])
    running.save_requests(ANA, [request_of(2)])
    running.forget_profile(ANA)
    assert not running.beat_profile(ANA, "run-1", HOLDER)
    assert not running.settle_request(ANA, answered(request_of(2)), [unit_of(2)], [fact_of(2)])
    with pytest.raises(SinkError):
        running.save_requests(ANA, [request_of(2), request_of(3)])
    with pytest.raises(SinkError):
        running.save_version(ANA, version_of(1))
    running.update_facts(ANA, [fact_of(1)])
    running.keep_units(ANA, ["unit-1"], "x")
    running.end_profile(ANA, "run-1", "complete", {"facts": 1}, None)
    assert everything_of(running) == [[], [], [], [], []]
    assert running.start_profile(ANA, "run-2", HOLDER, at(1)) is None
    settled_again = request_of(4, run_id="run-2")
    running.save_requests(ANA, [settled_again])
    assert running.settle_request(ANA, answered(settled_again), [unit_of(1)], [fact_of(1)])
    running.drop_units(ANA, ["unit-1"])
    assert running.facts(ANA) == []
