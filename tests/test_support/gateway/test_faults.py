"""Faults of the stand-in: each shows itself to a client as what it stands for, and does or does not do the work."""

import pickle
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from postgrest.exceptions import APIError

from tests.support.gateway import faults
from tests.support.gateway.calls import Call
from tests.support.gateway.clients import official, plain
from tests.support.gateway.faults import Fault
from tests.support.gateway.postgres import Database, Server, new_database
from tests.support.gateway.server import Gateway, gateway

TABLES = """
CREATE TABLE kept (id int PRIMARY KEY);
CREATE FUNCTION keep(id int) RETURNS int LANGUAGE sql AS 'INSERT INTO kept VALUES (id) RETURNING id';
"""


@pytest.fixture(scope="module")
def served(postgres: Server, supabase_template: str) -> Iterator[tuple[Database, Gateway]]:
    with new_database(postgres, supabase_template) as database:
        with database.connected() as db:
            db.execute(TABLES)
        with gateway(database.dsn_as("authenticator")) as made:
            yield database, made
            assert made.served.failures == []


@pytest.fixture
def project(served: tuple[Database, Gateway]) -> Iterator[Gateway]:
    database, made = served
    with database.connected() as db:
        db.execute("TRUNCATE kept")
    made.served.clear()
    yield made
    made.faults.clear()


@pytest.fixture
def http(project: Gateway) -> Iterator[httpx.Client]:
    with plain(project.project, project.service_key) as made:
        yield made


def keep(http: httpx.Client, number: int) -> httpx.Response:
    return http.post("/rest/v1/rpc/keep", json={"id": number})


def kept(served: tuple[Database, Gateway]) -> list[int]:
    with served[0].connected() as db:
        return [number for (number,) in db.execute("SELECT id FROM kept ORDER BY id")]


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        (faults.RATE_LIMITED, 429, '{"message":"API rate limit exceeded"}'),
        (faults.BAD_GATEWAY, 502, "<html>"),
        (faults.TOO_LARGE, 413, "<html>"),
        (faults.SCHEMA_LOADING, 503, '{"code":"PGRST002"'),
        (faults.POOL_EXHAUSTED, 504, '{"code":"PGRST003"'),
        (faults.STATEMENT_TIMEOUT, 500, '{"code":"57014"'),
        (faults.DEADLOCK, 500, '{"code":"40P01"'),
        (faults.STORAGE_TIMEOUT, 400, '{"statusCode":"544"'),
        (faults.STORAGE_LOCKED, 400, '{"statusCode":"423"'),
        (faults.STORAGE_SLOW_DOWN, 429, '{"statusCode":"429"'),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else None,
)
def test_an_answer_is_given_instead_of_the_work(
    project: Gateway, served: tuple[Database, Gateway], http: httpx.Client, fault: Fault, status: int, body: str
) -> None:
    project.faults.add(fault, nth=[1])
    answer = keep(http, 1)
    assert (answer.status_code, answer.text[: len(body)]) == (status, body)
    assert kept(served) == []
    assert keep(http, 1).status_code == 200
    assert [(r.fault, r.status) for r in project.served.requests()] == [(fault.name, status), ("", 200)]


def test_a_limit_says_when_to_come_again(project: Gateway, http: httpx.Client) -> None:
    project.faults.add(faults.rate_limited(0.5))
    assert keep(http, 1).headers["retry-after"] == "0.5"


@pytest.mark.parametrize(("fault", "there"), [(faults.RESET_BEFORE, []), (faults.RESET_AFTER, [1])])
def test_a_reset_loses_the_answer_and_maybe_the_work(
    project: Gateway, served: tuple[Database, Gateway], http: httpx.Client, fault: Fault, there: list[int]
) -> None:
    project.faults.add(fault, nth=[1])
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        keep(http, 1)
    assert kept(served) == there
    assert keep(http, 2).status_code == 200


@pytest.mark.parametrize(("fault", "there"), [(faults.HANG_BEFORE, []), (faults.HANG_AFTER, [1])])
def test_a_hang_lasts_until_the_client_goes(
    project: Gateway, served: tuple[Database, Gateway], fault: Fault, there: list[int]
) -> None:
    project.faults.add(fault)
    with plain(project.project, project.service_key, timeout=0.5) as http, pytest.raises(httpx.ReadTimeout):
        keep(http, 1)
    until = time.monotonic() + 10
    while kept(served) != there:
        assert time.monotonic() < until


def test_a_hang_lasts_no_longer_than_the_gateway(served: tuple[Database, Gateway]) -> None:
    failed = threading.Event()

    def wait_for_an_answer() -> None:
        with plain(g.project, g.service_key, timeout=60) as http, pytest.raises(httpx.TransportError):
            keep(http, 1)
        failed.set()

    with gateway(served[0].dsn_as("authenticator")) as g:
        begun = threading.Event()
        g.faults.add(replace(faults.HANG_BEFORE, do=begun.set))
        waiting = threading.Thread(target=wait_for_an_answer)
        waiting.start()
        assert begun.wait(10)
    waiting.join(10)
    assert failed.is_set()


def test_a_request_that_still_runs_when_the_gateway_closes_is_cancelled(served: tuple[Database, Gateway]) -> None:
    database = served[0]
    statuses: list[int] = []

    def wait_for_the_lock() -> None:
        with plain(g.project, g.service_key, timeout=60) as http:
            statuses.append(keep(http, 1).status_code)

    with database.connected() as holder, holder.transaction():
        holder.execute("LOCK TABLE kept")
        with gateway(database.dsn_as("authenticator")) as g:
            waiting = threading.Thread(target=wait_for_the_lock)
            waiting.start()
            wait_for_a_waiter(database)
        waiting.join(10)
    assert statuses == [500]


def wait_for_a_waiter(database: Database) -> None:
    until = time.monotonic() + 10
    with database.connected() as db:
        while db.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() == (0,):
            assert time.monotonic() < until


def test_a_body_that_is_cut_off(project: Gateway, http: httpx.Client) -> None:
    project.faults.add(faults.cut_after(3), path="/kept$")
    keep(http, 1)
    with pytest.raises(httpx.RemoteProtocolError):
        http.get("/rest/v1/kept")
    project.objects.put("exports", "a.bin", bytes(1_000_000))
    project.faults.add(faults.cut_after(400_000), path="/storage/", nth=[1])
    got: list[int] = []
    with http.stream("GET", "/storage/v1/object/authenticated/exports/a.bin") as answer:
        sizes = map(len, answer.iter_raw())
        with pytest.raises(httpx.RemoteProtocolError):
            got.extend(sizes)
    assert sum(got) == 400_000 == project.served.sent("/storage/")


def test_a_slow_drip_comes_whole(project: Gateway, http: httpx.Client) -> None:
    project.objects.put("exports", "a.bin", b"0123456789")
    project.faults.add(faults.dripping(3, 0.01))
    with http.stream("GET", "/storage/v1/object/authenticated/exports/a.bin") as answer:
        assert b"".join(answer.iter_raw()) == b"0123456789"


def test_an_object_may_be_replaced_between_two_ranges(project: Gateway, http: httpx.Client) -> None:
    project.objects.put("exports", "a.bin", b"old bytes")
    project.faults.add(faults.doing(lambda: project.objects.put("exports", "a.bin", b"new bytes")), nth=[2])
    address = "/storage/v1/object/authenticated/exports/a.bin"
    first, second = (http.get(address, headers={"Range": f"bytes={span}"}) for span in ("0-2", "3-8"))
    assert (first.content, second.content) == (b"old", b" bytes")
    assert first.headers["etag"] != second.headers["etag"]


def test_a_slow_destination(project: Gateway, http: httpx.Client) -> None:
    project.faults.add(faults.delayed(0.3), nth=[1])
    before = time.monotonic()
    assert keep(http, 1).json() == 1
    assert time.monotonic() - before >= 0.3


def test_which_requests_fail_is_the_same_each_time_with_a_seed(project: Gateway, http: httpx.Client) -> None:
    project.faults.add(faults.BAD_GATEWAY, path="/rpc/", chance=0.4, seed=3)
    statuses = [keep(http, number).status_code for number in range(20)]
    chances = random.Random(3)
    assert statuses == [502 if chances.random() < 0.4 else 200 for _ in range(20)]
    assert set(statuses) == {200, 502}


def test_a_test_may_decide_itself(project: Gateway, http: httpx.Client) -> None:
    def decide(call: Call) -> Fault | None:
        return faults.TOO_LARGE if b'"id":7' in call.body else None

    project.faults.decide = decide
    assert [keep(http, number).status_code for number in (6, 7, 8)] == [200, 413, 200]


def test_only_what_a_rule_names_fails(project: Gateway, http: httpx.Client) -> None:
    project.faults.add(faults.BAD_GATEWAY, method="GET")
    project.faults.add(faults.TOO_LARGE, path="/rpc/", larger_than=10)
    assert http.get("/rest/v1/kept").status_code == 502
    assert http.head("/rest/v1/kept").status_code == 200
    assert [keep(http, number).status_code for number in (1, 123456)] == [200, 413]


def test_what_the_official_client_makes_of_them(project: Gateway) -> None:
    with official(project.project, project.service_key) as client:
        for fault, code in [
            (faults.RATE_LIMITED, None),
            (faults.BAD_GATEWAY, "502"),
            (faults.TOO_LARGE, "413"),
            (faults.STATEMENT_TIMEOUT, "57014"),
        ]:
            project.faults.clear()
            project.faults.add(fault)
            with pytest.raises(APIError) as caught:
                client.rpc("keep", {"id": 1}).execute()
            assert caught.value.code == code


def test_what_was_served_is_counted(project: Gateway, http: httpx.Client) -> None:
    for number in (1, 2):
        keep(http, number)
    http.get("/rest/v1/kept")
    assert (project.served.count("/rpc/"), project.served.count(method="GET")) == (2, 1)
    assert project.served.received("/rpc/keep") == 2 * len(b'{"id":1}')
    assert project.served.sent("/kept") == len(http.get("/rest/v1/kept").content)


def test_the_address_and_the_keys_travel(project: Gateway) -> None:
    same = pickle.loads(pickle.dumps(project.project))
    with plain(same, same.secret_key) as http:
        assert keep(http, 1).json() == 1
    assert project.secret_key not in repr(same)
