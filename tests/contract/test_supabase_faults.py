"""What a gateway answers when something is wrong, one by one: what is tried again, halved, refused, told."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from tenacity import RetryCallState

from ray_import.credentials import SupabaseAccess
from ray_import.destinations.base import WriteResult
from ray_import.destinations.postgres.calls import PATIENCE_SECONDS, polite_wait
from ray_import.destinations.postgres.sink import DatabaseSink
from ray_import.destinations.postgres.supabase import LEAST_BYTES, LEAST_ROWS, MOST_BYTES, MOST_ROWS, SupabaseDatabase
from ray_import.errors import SinkBusy, SinkError
from ray_import.records import Reject
from tests.contract.destinations import SETTINGS, PostgresTables, batch_of, import_of, rows_for
from tests.support.gateway import faults
from tests.support.gateway.calls import Answer, html_answer, json_answer, rest_error
from tests.support.gateway.postgres import Database
from tests.support.gateway.server import Gateway

WRITE = "/rpc/ray_import_write"
KEEP_REJECTS = "/rpc/ray_import_keep_rejects"
OF = import_of(1)
OUT_OF_TIME_SECONDS = 0.5
PASSES = (
    faults.rate_limited(3),
    faults.BAD_GATEWAY,
    faults.SCHEMA_LOADING,
    faults.POOL_EXHAUSTED,
    faults.DEADLOCK,
    faults.CONNECTION_LOST,
    faults.STATEMENT_TIMEOUT,
    faults.TOO_LARGE,
    faults.RESET_BEFORE,
    faults.RESET_AFTER,
    faults.HANG_BEFORE,
    faults.HANG_AFTER,
    faults.cut_after(1),
    faults.Fault("page", answer=html_answer(200, "Sign in to the network")),
    faults.Fault("not_reached", answer=html_answer(521, "Web server is down")),
    faults.Fault("no_code_of_the_database", answer=json_answer(503, {"code": "UNAVAILABLE", "message": "later"})),
)
HALVED = {"statement_timeout", "too_large", "hang_before", "hang_after", "pool_exhausted"}
"""Of these a batch is tried in halves; PGRST003 is among the others."""


@dataclass
class Opened:
    """A sink that does not wait, but writes down for how long it would."""

    database: SupabaseDatabase
    waits: list[float] = field(default_factory=list)

    def sink(self, patience_seconds: float = PATIENCE_SECONDS) -> DatabaseSink:
        return DatabaseSink(self.database, wait=self._wait, patience_seconds=patience_seconds)

    def _wait(self, state: RetryCallState) -> float:
        self.waits.append(polite_wait(state))
        return 0.0


def opened(project: Gateway, key: str | None = None) -> Opened:
    access = SupabaseAccess(project.url, SecretStr(key or project.secret_key))
    return Opened(SupabaseDatabase(access, httpx.Timeout(OUT_OF_TIME_SECONDS)))


@pytest.fixture
def ours(migrated_supabase: Gateway) -> Opened:
    return opened(migrated_supabase)


@pytest.fixture
def sink(ours: Opened) -> Iterator[DatabaseSink]:
    with closing(ours.sink()) as up:
        yield up


@pytest.mark.parametrize("fault", PASSES, ids=lambda fault: fault.name)
def test_what_passes_costs_a_try_and_leaves_the_same_rows(
    fault: faults.Fault, migrated_supabase: Gateway, migrated_database: Database, ours: Opened, sink: DatabaseSink
) -> None:
    migrated_supabase.faults.add(fault, path=WRITE, nth=[1])
    batch = batch_of(0, OF)
    outcomes = sink.write(OF, SETTINGS, batch, [])
    # Also where the first try was done and its answer lost: it is told as what was put in.
    assert outcomes == [WriteResult(len(rows.chunks), 0) for rows in batch]
    content = PostgresTables(migrated_database).content()["u1"]
    assert {name: len(chunks) for name, chunks in content.items()} == {
        rows.conversation_id: len(rows.chunks) for rows in batch
    }
    is_halved = fault.name in HALVED - {"pool_exhausted"}
    assert migrated_supabase.served.count(WRITE) == (3 if is_halved else 2)
    assert sink.retries == len(ours.waits) == (0 if is_halved else 1)
    assert sink.write(OF, SETTINGS, batch, []) == [WriteResult(len(rows.chunks), 0, same=True) for rows in batch]


@pytest.mark.parametrize("fault", [faults.STATEMENT_TIMEOUT, faults.HANG_BEFORE], ids=lambda fault: fault.name)
@pytest.mark.parametrize("at", ["opening", "a question"])
def test_where_nothing_can_be_halved_what_takes_too_long_is_a_destination_that_is_away(
    fault: faults.Fault, at: str, migrated_supabase: Gateway
) -> None:
    patience = 2 * OUT_OF_TIME_SECONDS
    if at == "opening":
        migrated_supabase.faults.add(fault)
        with pytest.raises(SinkBusy):
            opened(migrated_supabase).sink(patience)
        return
    with closing(opened(migrated_supabase).sink(patience)) as sink:
        migrated_supabase.faults.add(fault)
        with pytest.raises(SinkBusy):
            sink.known("u1", SETTINGS, ["a"])


@pytest.mark.parametrize("fault", PASSES, ids=lambda fault: fault.name)
def test_a_question_is_asked_again(fault: faults.Fault, migrated_supabase: Gateway, sink: DatabaseSink) -> None:
    migrated_supabase.faults.add(fault, path="/rpc/ray_import_known", nth=[1])
    assert sink.known("u1", SETTINGS, ["a"]) == {}
    assert migrated_supabase.served.count("/rpc/ray_import_known") == 2
    assert sink.retries == 1


@pytest.mark.parametrize(("asked", "least"), [(3, 3), (0, 0), (100_000, PATIENCE_SECONDS / 4)])
def test_as_long_as_a_gateway_asks_for_it_is_left_alone_but_not_for_ever(
    migrated_supabase: Gateway, ours: Opened, sink: DatabaseSink, asked: float, least: float
) -> None:
    migrated_supabase.faults.add(faults.rate_limited(asked), path=WRITE, nth=[1])
    sink.write(OF, SETTINGS, [rows_for("a")], [])
    assert len(ours.waits) == 1
    assert least <= ours.waits[0] <= least + 1


@pytest.mark.parametrize("after", ["Wed, 21 Oct 2026 07:28:00 GMT", "soon", "-3", "1.5", "²"])
def test_an_odd_retry_after_is_no_trouble(
    migrated_supabase: Gateway, ours: Opened, sink: DatabaseSink, after: str
) -> None:
    answer = rest_error(429, "", "slow down", retry_after=after)
    migrated_supabase.faults.add(faults.Fault("odd", answer=answer), path=WRITE, nth=[1])
    assert sink.write(OF, SETTINGS, [rows_for("a")], []) == [WriteResult(2, 0)]
    assert len(ours.waits) == 1


@pytest.mark.parametrize("body", [[], "slow down", None, {"code": 5}, {"code": "", "message": None}, {}])
@pytest.mark.parametrize("path", [WRITE, "/rpc/ray_import_known"])
def test_an_odd_body_of_an_error_is_no_trouble(
    migrated_supabase: Gateway, sink: DatabaseSink, path: str, body: Any
) -> None:
    migrated_supabase.faults.add(faults.Fault("odd", answer=json_answer(503, body)), path=path, nth=[1])
    assert sink.known("u1", SETTINGS, ["a"]) == {}
    assert sink.write(OF, SETTINGS, [rows_for("a")], []) == [WriteResult(2, 0)]


def test_after_what_was_too_much_parts_are_smaller_and_grow_again(
    migrated_supabase: Gateway, ours: Opened, sink: DatabaseSink
) -> None:
    limits = ours.database.limits
    migrated_supabase.faults.add(faults.STATEMENT_TIMEOUT, path=WRITE, nth=[1])
    sink.write(OF, SETTINGS, [rows_for("a")], [])
    assert MOST_ROWS / 2 <= limits.rows < MOST_ROWS
    migrated_supabase.faults.clear()
    for i in range(5):
        sink.write(OF, SETTINGS, [rows_for(f"b{i}")], [])
    assert (limits.rows, limits.bytes) == (MOST_ROWS, MOST_BYTES)
    migrated_supabase.faults.add(faults.TOO_LARGE, path=WRITE, nth=range(1, 40))
    sink.write(OF, SETTINGS, [rows_for(f"c{i}") for i in range(8)], [])
    assert LEAST_ROWS <= limits.rows < MOST_ROWS / 2
    assert LEAST_BYTES <= limits.bytes < MOST_BYTES / 2


def test_one_conversation_that_is_too_large_alone_is_refused_and_the_others_are_in(
    migrated_supabase: Gateway, migrated_database: Database, sink: DatabaseSink
) -> None:
    migrated_supabase.faults.add(faults.TOO_LARGE, path=WRITE, larger_than=20_000)
    batch = [rows_for("a"), rows_for("large", text="x" * 30_000), rows_for("c")]
    assert [outcome.refused for outcome in sink.write(OF, SETTINGS, batch, [])] == ["", "413", ""]
    assert PostgresTables(migrated_database).content()["u1"].keys() == {"a", "c"}


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (faults.rate_limited(0), "429"),
        (faults.BAD_GATEWAY, "502"),
        (faults.SCHEMA_LOADING, "PGRST002"),
        (faults.CONNECTION_LOST, "lost its connection to the database"),
        (faults.POOL_EXHAUSTED, "PGRST003"),
        (faults.STATEMENT_TIMEOUT, "57014"),
        (faults.RESET_BEFORE, "connection was lost"),
        (faults.HANG_BEFORE, "did not answer in time"),
    ],
    ids=lambda value: value.name if isinstance(value, faults.Fault) else "",
)
def test_what_does_not_pass_fails_in_words_after_a_while(
    fault: faults.Fault, told: str, migrated_supabase: Gateway, migrated_database: Database
) -> None:
    with closing(opened(migrated_supabase).sink(patience_seconds=2 * OUT_OF_TIME_SECONDS)) as sink:
        migrated_supabase.faults.add(fault, path=WRITE)
        with pytest.raises(SinkBusy) as caught:
            sink.write(OF, SETTINGS, [rows_for("a", text="my garden")], [])
        assert migrated_supabase.served.count(WRITE) >= 1
    assert told in caught.value.message
    assert "<" not in str(caught.value)  # the page of a proxy
    assert "garden" not in str(caught.value)
    assert PostgresTables(migrated_database).content() == {}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (rest_error(405, "25006", "cannot execute INSERT in a read-only transaction"), "25006"),
        (rest_error(404, "PGRST202", "Could not find the function"), "PGRST202"),
        (rest_error(401, "PGRST303", "JWT expired"), "PGRST303"),
    ],
    ids=["read-only", "function", "expired"],
)
def test_what_is_wrong_for_good_is_neither_tried_again_nor_halved(
    answer: Answer, told: str, migrated_supabase: Gateway, ours: Opened, sink: DatabaseSink
) -> None:
    migrated_supabase.faults.add(faults.Fault("for_good", answer=answer), path=WRITE)
    with pytest.raises(SinkError) as caught:
        sink.write(OF, SETTINGS, batch_of(0, OF), [])
    assert told in caught.value.message
    assert caught.value.hint
    assert not caught.value.retry
    assert (migrated_supabase.served.count(WRITE), ours.waits) == (1, [])


@pytest.mark.parametrize("role", ["wrong", "anon"])
def test_a_key_that_may_not_write_is_told_at_once_and_without_it(migrated_supabase: Gateway, role: str) -> None:
    key = migrated_supabase.anon_key if role == "anon" else "sb_secret_xyzzy"
    ours = opened(migrated_supabase, key)
    with pytest.raises(SinkError) as caught, closing(ours.sink()):
        pass
    assert caught.value.hint
    assert ours.waits == []
    assert key not in str(caught.value)


def test_a_reject_that_is_too_large_is_kept_by_its_ends(
    migrated_supabase: Gateway, migrated_database: Database, sink: DatabaseSink
) -> None:
    migrated_supabase.faults.add(faults.TOO_LARGE, path=KEEP_REJECTS, larger_than=300_000)
    raw = b"a" * 200_000 + b"b" * 200_000
    sink.write(OF, SETTINGS, [], [Reject("conversations.json", 0, None, "invalid_json", raw)])
    (kept,) = PostgresTables(migrated_database).rejects()
    assert kept[2] == raw[: 64 * 1024] + raw[-64 * 1024 :]


def test_nobody_waits_longer_than_the_patience_lasts(migrated_supabase: Gateway) -> None:
    """A wait that is asked for and would go beyond it is not begun."""
    waits = []

    def wait(state: RetryCallState) -> float:
        waits.append(state.attempt_number)
        return polite_wait(state)

    migrated_supabase.faults.add(faults.rate_limited(1000))
    with pytest.raises(SinkBusy):
        DatabaseSink(opened(migrated_supabase).database, wait=wait)
    assert waits == [1]
    assert migrated_supabase.served.count() == 1


def test_database_calls_try_once_more_when_the_patience_ends(migrated_supabase: Gateway) -> None:
    migrated_supabase.faults.add(faults.BAD_GATEWAY)
    with pytest.raises(SinkBusy):
        DatabaseSink(opened(migrated_supabase).database, wait=lambda _: 1000.0, patience_seconds=0.5)
    assert migrated_supabase.served.count() == 2
