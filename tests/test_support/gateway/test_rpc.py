"""Functions over the stand-in: what comes back for what they return, and what PostgREST makes of their errors."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from postgrest.exceptions import APIError

from tests.support.gateway.clients import official, plain
from tests.support.gateway.postgres import Database, Server, new_database
from tests.support.gateway.server import Gateway, gateway

FUNCTIONS = """
CREATE TABLE kept (id int PRIMARY KEY, text text NOT NULL CHECK (text <> 'bad'));
CREATE TABLE hidden (id int);
REVOKE ALL ON hidden FROM anon, authenticated, service_role;
CREATE FUNCTION add(a int, b int DEFAULT 10) RETURNS int LANGUAGE sql AS 'SELECT a + b';
CREATE FUNCTION keep(id int, text text) RETURNS void LANGUAGE sql AS 'INSERT INTO kept VALUES (id, text)';
CREATE FUNCTION as_json(rows jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT rows';
CREATE FUNCTION nothing() RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
CREATE FUNCTION several(n int) RETURNS SETOF int LANGUAGE sql AS 'SELECT generate_series(1, n)';
CREATE FUNCTION one_row() RETURNS kept LANGUAGE sql AS $$ SELECT 1, 'one' $$;
CREATE FUNCTION table_of(ids int[]) RETURNS TABLE (id int, twice int) LANGUAGE sql
    AS 'SELECT i, i * 2 FROM unnest(ids) i';
CREATE FUNCTION whole(json) RETURNS text LANGUAGE sql AS 'SELECT json_typeof($1)';
CREATE FUNCTION bytes_of(raw bytea) RETURNS int LANGUAGE sql AS 'SELECT length(raw)';
CREATE FUNCTION who() RETURNS text LANGUAGE sql AS $$ SELECT current_user || ' ' || coalesce(auth.uid()::text, '-') $$;
CREATE FUNCTION read_hidden() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM hidden';
CREATE FUNCTION my_timeout() RETURNS text LANGUAGE sql AS $$ SELECT current_setting('statement_timeout') $$;
CREATE FUNCTION long_timeout() RETURNS text LANGUAGE sql SET statement_timeout = '60s'
    AS $$ SELECT current_setting('statement_timeout') $$;
CREATE FUNCTION slow(seconds float) RETURNS void LANGUAGE sql SET statement_timeout = '100ms'
    AS 'SELECT pg_sleep(seconds)';
CREATE FUNCTION quiet() RETURNS void LANGUAGE sql STABLE AS 'SELECT';
CREATE FUNCTION fail(code text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE 'message' USING ERRCODE = code, DETAIL = 'detail', HINT = 'hint';
END $$;
CREATE FUNCTION writes_though_stable() RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
    PERFORM keep(1, 'x');
END $$;
CREATE FUNCTION twice(a int) RETURNS int LANGUAGE sql AS 'SELECT a';
CREATE FUNCTION twice(a text) RETURNS text LANGUAGE sql AS 'SELECT a';
"""


@pytest.fixture(scope="module")
def filled(postgres: Server, supabase_template: str) -> Iterator[Database]:
    with new_database(postgres, supabase_template) as database:
        with database.connected() as db:
            db.execute(FUNCTIONS)
        yield database


@pytest.fixture(scope="module")
def project(filled: Database) -> Iterator[Gateway]:
    with gateway(filled.dsn_as("authenticator")) as made:
        yield made
        assert made.served.failures == []


@pytest.fixture
def http(project: Gateway) -> Iterator[httpx.Client]:
    with plain(project.project, project.service_key) as client:
        yield client


def called(http: httpx.Client, name: str, **arguments: Any) -> httpx.Response:
    return http.post(f"/rest/v1/rpc/{name}", json=arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "status", "body"),
    [
        ("add", {"a": 1}, 200, "11"),
        ("add", {"a": 1, "b": 2}, 200, "3"),
        ("keep", {"id": 2, "text": "é"}, 204, ""),
        ("quiet", {}, 204, ""),
        ("as_json", {"rows": [{"a": 1}, None]}, 200, '[{"a": 1}, null]'),
        ("as_json", {"rows": None}, 200, "null"),
        ("nothing", {}, 200, "null"),
        ("several", {"n": 3}, 200, "[1, 2, 3]"),
        ("several", {"n": 0}, 200, "[]"),
        ("one_row", {}, 200, '{"id":1,"text":"one"}'),
        ("table_of", {"ids": [4, 5]}, 200, '[{"id":4,"twice":8}, {"id":5,"twice":10}]'),
        ("whole", {"anything": 1}, 200, '"object"'),
        ("bytes_of", {"raw": "\\x00ff"}, 200, "2"),
    ],
)
def test_what_a_function_returns_is_the_body(
    http: httpx.Client, name: str, arguments: dict[str, Any], status: int, body: str
) -> None:
    answer = called(http, name, **arguments)
    assert (answer.status_code, answer.text.replace(" \n ", " ")) == (status, body)


def test_a_function_that_fails_has_written_nothing(project: Gateway, filled: Database, http: httpx.Client) -> None:
    assert called(http, "keep", id=7, text="good").status_code == 204
    assert called(http, "keep", id=7, text="again").status_code == 409
    with filled.connected() as db:
        assert db.execute("SELECT * FROM kept WHERE id = 7").fetchall() == [(7, "good")]


@pytest.mark.parametrize(
    ("name", "arguments", "status", "code"),
    [
        ("missing", {"a": 1}, 404, "PGRST202"),
        ("add", {"a": 1, "c": 2}, 404, "PGRST202"),
        ("add", {}, 404, "PGRST202"),
        ("twice", {"a": 1}, 300, "PGRST203"),
        ("add", {"a": "x"}, 400, "22P02"),
        ("add", {"a": 3_000_000_000}, 400, "22003"),
        ("keep", {"id": 1, "text": None}, 400, "23502"),
        ("keep", {"id": 1, "text": "bad"}, 400, "23514"),
        ("keep", {"id": 1, "text": "\0"}, 400, "22P05"),
        ("as_json", {"rows": ["\0"]}, 400, "22P05"),
        ("slow", {"seconds": 5}, 500, "57014"),
        ("read_hidden", {}, 403, "42501"),
        ("writes_though_stable", {}, 405, "25006"),
        ("fail", {"code": "40002"}, 500, "40002"),
        ("fail", {"code": "53300"}, 503, "53300"),
        ("fail", {"code": "57P01"}, 503, "57P01"),
        ("fail", {"code": "P0001"}, 400, "P0001"),
        ("fail", {"code": "23503"}, 409, "23503"),
        ("fail", {"code": "21000"}, 500, "21000"),
        ("fail", {"code": "PT418"}, 418, "PT418"),
    ],
)
def test_errors_have_postgrests_status_and_code(
    http: httpx.Client, name: str, arguments: dict[str, Any], status: int, code: str
) -> None:
    answer = called(http, name, **arguments)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json().keys() == {"code", "details", "hint", "message"}
    assert answer.headers["proxy-status"] == f"PostgREST; error={code}"


@pytest.mark.parametrize("body", [b'{"rows": "\\ud800"}', b'{"rows": "\xff"}', b'{"rows": NaN}', b"{", b'{"a":1} x'])
def test_what_is_no_json_is_refused_before_postgres_sees_it(http: httpx.Client, body: bytes) -> None:
    answer = http.post("/rest/v1/rpc/as_json", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST102")


def test_a_functions_error_reaches_the_official_client_whole(project: Gateway) -> None:
    with official(project.project, project.service_key) as client:
        assert client.rpc("add", {"a": 1}).execute().data == 11
        assert client.rpc("several", {"n": 2}).execute().data == [1, 2]
        with pytest.raises(APIError) as caught:
            client.rpc("fail", {"code": "P0002"}).execute()
    assert (caught.value.code, caught.value.message) == ("P0002", "message")
    assert (caught.value.details, caught.value.hint) == ("detail", "hint")


def test_a_function_runs_as_the_keys_role_with_its_claims(project: Gateway) -> None:
    user = "00000000-0000-0000-0000-000000000001"
    asked = [
        (project.service_key, None, "service_role -"),
        (project.secret_key, None, "service_role -"),
        (project.anon_key, None, "anon -"),
        (project.anon_key, project.user_token(user), f"authenticated {user}"),
        (project.secret_key, project.user_token(user), f"authenticated {user}"),
    ]
    for key, token, expected in asked:
        with plain(project.project, key, token=token) as http:
            assert called(http, "who").json() == expected


def test_the_roles_time_out_holds_unless_the_function_has_its_own(project: Gateway) -> None:
    for key, expected in [(project.service_key, "8s"), (project.anon_key, "3s")]:
        with plain(project.project, key) as http:
            assert called(http, "my_timeout").json() == expected
            assert called(http, "long_timeout").json() == "1min"


def test_anon_is_refused_with_401(project: Gateway) -> None:
    with plain(project.project, project.anon_key) as http:
        assert (called(http, "read_hidden").status_code, called(http, "read_hidden").json()["code"]) == (401, "42501")


def test_who_waits_too_long_for_a_connection_is_refused(filled: Database) -> None:
    with filled.connected() as holder, gateway(filled.dsn_as("authenticator"), pool_size=1, pool_wait_seconds=0.1) as g:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE kept")
        with plain(g.project, g.service_key, timeout=0.5) as first, pytest.raises(httpx.ReadTimeout):
            called(first, "keep", id=1, text="waits")
        with plain(g.project, g.service_key) as second:
            refused = called(second, "add", a=1)
            assert (refused.status_code, refused.json()["code"]) == (504, "PGRST003")
        holder.execute("ROLLBACK")


def test_a_connection_that_was_ended_is_replaced(project: Gateway, filled: Database, http: httpx.Client) -> None:
    assert called(http, "add", a=1).json() == 11
    with filled.connected() as db:
        db.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'authenticator'")
    assert called(http, "add", a=1).status_code == 503
    assert called(http, "add", a=1).json() == 11


def test_a_connection_that_breaks_without_a_code_is_http_400_with_an_empty_code(
    project: Gateway, http: httpx.Client
) -> None:
    assert called(http, "add", a=1).json() == 11
    project.pool.break_connections()
    answer = called(http, "add", a=1)
    assert answer.status_code == 400
    assert answer.text == '{"code":"","details":null,"hint":null,"message":""}'
    assert answer.headers["proxy-status"] == "PostgREST; error="
    assert called(http, "add", a=1).json() == 11


def test_a_database_that_is_away_is_looked_for_again_only_after_a_while(filled: Database) -> None:
    nowhere = filled.beside("nowhere").dsn_as("authenticator")
    with gateway(nowhere) as g, plain(g.project, g.service_key) as client:
        first = called(client, "add", a=1)
        assert (first.status_code, first.json()["code"]) == (503, "PGRST000")
        second = called(client, "add", a=1)
        assert (second.status_code, second.headers["content-type"]) == (502, "text/html")


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_a_transaction_that_may_pass_is_repeated_without_end(project: Gateway, http: httpx.Client, code: str) -> None:
    with plain(project.project, project.service_key, timeout=0.3) as impatient, pytest.raises(httpx.ReadTimeout):
        called(impatient, "fail", code=code)
    assert called(http, "add", a=1).json() == 11


def test_a_key_of_a_role_that_is_not_there_is_401_with_22023(project: Gateway) -> None:
    key = project.project.signed({"role": "nobody", "iss": "supabase", "exp": 4_000_000_000})
    with plain(project.project, key) as client:
        answer = called(client, "add", a=1)
    assert (answer.status_code, answer.json()["code"]) == (401, "22023")
