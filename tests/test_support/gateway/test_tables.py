"""Tables over the stand-in, with the official client and with plain HTTP: rows, errors, row level security."""

from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
from postgrest import APIResponse, CountMethod, ReturnMethod
from postgrest.exceptions import APIError
from supabase import Client

from tests.support.gateway.clients import official, plain
from tests.support.gateway.postgres import Database, Server, new_database
from tests.support.gateway.server import Gateway, gateway

USERS = ["00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"]
TABLES = """
CREATE TABLE items (
    id int PRIMARY KEY, name text NOT NULL DEFAULT 'unnamed', size numeric, extra jsonb, at timestamptz DEFAULT now()
);
CREATE TABLE parts (id int PRIMARY KEY, item int NOT NULL REFERENCES items, CHECK (id > 0));
CREATE TABLE closed (id int);
REVOKE ALL ON closed FROM anon, authenticated, service_role;
CREATE TABLE owned (id int PRIMARY KEY, user_id uuid NOT NULL DEFAULT auth.uid());
ALTER TABLE owned ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON owned TO authenticated USING (user_id = auth.uid()) WITH CHECK (user_id = auth.uid());
"""


@pytest.fixture(scope="module")
def served(postgres: Server, supabase_template: str) -> Iterator[tuple[Database, Gateway]]:
    with new_database(postgres, supabase_template) as database:
        with database.connected() as db:
            db.execute(TABLES)
        with gateway(database.dsn_as("authenticator"), max_rows=20) as made:
            yield database, made
            assert made.served.failures == []


@pytest.fixture
def project(served: tuple[Database, Gateway]) -> Gateway:
    database, made = served
    with database.connected() as db:
        db.execute("TRUNCATE items, parts, owned")
    return made


@pytest.fixture
def client(project: Gateway) -> Iterator[Client]:
    with official(project.project, project.service_key) as made:
        yield made


@pytest.fixture
def http(project: Gateway) -> Iterator[httpx.Client]:
    with plain(project.project, project.service_key) as made:
        yield made


def items(*ids: int, **columns: Any) -> list[dict[str, Any]]:
    return [{"id": number, "name": f"item {number}"} | columns for number in ids]


def rows_of(answer: APIResponse) -> list[dict[str, Any]]:
    """The rows, without their JSON's type."""
    return cast("list[dict[str, Any]]", answer.data)


def ids_of(answer: APIResponse) -> list[int]:
    return [row["id"] for row in rows_of(answer)]


def ids(client: Client) -> list[int]:
    return ids_of(client.table("items").select("id").order("id").execute())


# --- writing -------------------------------------------------------------------------------------


def test_what_is_inserted_comes_back_as_it_is(client: Client) -> None:
    row = {"id": 1, "name": "é \U0001f600 ' \" \\ \r\n", "size": 1.5, "extra": {"a": [1, None]}}
    inserted = rows_of(client.table("items").insert([row]).execute())
    assert inserted == rows_of(client.table("items").select("*").execute())
    assert inserted[0] | row == inserted[0]
    assert client.table("items").select("name,n:size,extra").execute().data == [
        {"name": row["name"], "n": 1.5, "extra": {"a": [1, None]}}
    ]


def test_one_bad_row_is_no_row(client: Client) -> None:
    with pytest.raises(APIError) as caught:
        client.table("items").insert([*items(1, 2), *items(2)]).execute()
    assert caught.value.code == "23505"
    assert ids(client) == []


def test_an_upsert_replaces_what_is_there_and_tells_whether_all_was(http: httpx.Client, client: Client) -> None:
    def upserted(rows: list[dict[str, Any]]) -> int:
        prefer = {"Prefer": "return=minimal,resolution=merge-duplicates"}
        address = "/rest/v1/items?on_conflict=id&columns=%22id%22%2C%22name%22"
        answer = http.post(address, json=rows, headers=prefer)
        assert answer.content == b""
        return answer.status_code

    assert upserted(items(1, 2)) == 201
    assert upserted(items(2, 3, name="new")) == 201
    assert upserted(items(2, 3, name="newer")) == 200
    assert upserted([]) == 201
    rows = client.table("items").select("id,name").order("id", desc=True).execute().data
    assert rows == [{"id": 3, "name": "newer"}, {"id": 2, "name": "newer"}, {"id": 1, "name": "item 1"}]


def test_the_official_upserts(client: Client) -> None:
    client.table("items").insert(items(1, size=7)).execute()
    client.table("items").upsert(items(1, 2, name="new"), on_conflict="id").execute()
    there = client.table("items").select("id,name,size").order("id").execute().data
    assert there == [{"id": 1, "name": "new", "size": 7}, {"id": 2, "name": "new", "size": None}]
    ignored = client.table("items").upsert(items(2, 3, name="late"), ignore_duplicates=True).execute()
    assert ids_of(ignored) == [3]
    counted = client.table("items").upsert(items(4), returning=ReturnMethod.minimal, count=CountMethod.exact).execute()
    assert (counted.data, counted.count) == ([], 1)


def test_a_column_that_a_row_lacks_is_null_or_its_default(client: Client) -> None:
    rows: list[dict[str, Any]] = [{"id": 1, "name": "one"}, {"id": 2}]
    with pytest.raises(APIError) as caught:
        client.table("items").insert(rows).execute()
    assert caught.value.code == "23502"
    client.table("items").insert(rows, default_to_null=False).execute()
    assert client.table("items").select("name").order("id").execute().data == [{"name": "one"}, {"name": "unnamed"}]


def test_an_update_says_whom_it_met(client: Client) -> None:
    client.table("items").insert(items(1, 2)).execute()
    won = client.table("items").update({"name": "mine"}).eq("id", 1).in_("name", ["item 1", "a,b"]).execute()
    assert [row["name"] for row in rows_of(won)] == ["mine"]
    assert client.table("items").update({"name": "late"}).eq("id", 1).in_("name", ["item 1"]).execute().data == []


def test_a_delete_takes_what_fits_and_needs_a_filter(client: Client, http: httpx.Client) -> None:
    client.table("items").insert(items(1, 2, 3)).execute()
    client.table("items").delete().gt("id", 1).neq("name", "item 3").execute()
    assert ids(client) == [1, 3]
    refused = http.delete("/rest/v1/items")
    assert (refused.status_code, refused.json()["code"]) == (400, "21000")
    assert ids(client) == [1, 3]


@pytest.mark.parametrize(
    ("table", "rows", "status", "code"),
    [
        ("parts", [{"id": 1, "item": 99}], 409, "23503"),
        ("parts", [{"id": -1, "item": 1}], 400, "23514"),
        ("items", [{"id": None}], 400, "23502"),
        ("items", [{"id": "x"}], 400, "22P02"),
        ("items", [{"id": 2**40}], 400, "22003"),
        ("items", [{"id": 1, "name": "\0"}], 400, "22P05"),
        ("items", [{"id": 1, "extra": {"a": "\0"}}], 400, "22P05"),
        ("items", [{"id": 1, "other": 1}], 400, "PGRST204"),
        ("items", [{"id": 1}, {"id": 2, "name": "x"}], 400, "PGRST102"),
        ("missing", [{"id": 1}], 404, "PGRST205"),
        ("closed", [{"id": 1}], 403, "42501"),
    ],
)
def test_rows_that_cannot_be_are_refused(
    http: httpx.Client, table: str, rows: list[dict[str, Any]], status: int, code: str
) -> None:
    answer = http.post(f"/rest/v1/{table}", json=rows)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("query", "prefer", "status", "code"),
    [
        ("on_conflict=id", "resolution=merge-duplicates", 500, "21000"),
        ("on_conflict=name", "resolution=merge-duplicates", 400, "42P10"),
        ("columns=id,wrong", "return=minimal", 400, "PGRST204"),
    ],
)
def test_upserts_that_cannot_be_are_refused(
    http: httpx.Client, query: str, prefer: str, status: int, code: str
) -> None:
    answer = http.post(f"/rest/v1/items?{query}", json=items(1, 1), headers={"Prefer": prefer})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_lone_surrogate_fails_the_whole_batch(http: httpx.Client) -> None:
    answer = http.post("/rest/v1/items", content=b'[{"id":1,"name":"x"},{"id":2,"name":"\\udc00"}]')
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST102")


# --- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("id=eq.3", [3]),
        ("id=neq.3", [1, 2, 4, 5]),
        ("id=gt.3", [4, 5]),
        ("id=gte.2&id=lt.4", [2, 3]),
        ("id=lte.2", [1, 2]),
        ("name=like.item*5", [5]),
        ("name=ilike.ITEM%201", [1]),
        ("id=in.(1,5,9)", [1, 5]),
        ("id=in.()", []),
        ('name=in.(%22item%201%22,%22a%2C\\%22b%22)', [1]),
        ("id=not.in.(1,5)", [2, 3, 4]),
        ("size=is.null", [1, 2, 3, 4, 5]),
        ("size=not.is.null", []),
        ("limit=2", [1, 2]),
        ("limit=2&offset=3", [4, 5]),
        ("limit=0", []),
    ],
)  # fmt: skip
def test_filters(client: Client, http: httpx.Client, query: str, expected: list[int]) -> None:
    client.table("items").insert(items(1, 2, 3, 4, 5)).execute()
    answer = http.get(f"/rest/v1/items?select=id&order=id.asc&{query}")
    assert answer.json() == [{"id": number} for number in expected]
    assert answer.status_code == 200


def test_what_is_counted(client: Client, http: httpx.Client) -> None:
    client.table("items").insert(items(*range(1, 26))).execute()
    found = client.table("items").select("id", count=CountMethod.exact).order("id").range(5, 9).execute()
    assert (ids_of(found), found.count) == ([6, 7, 8, 9, 10], 25)
    head = http.head("/rest/v1/items?select=*", headers={"Prefer": "count=exact"})
    assert (head.status_code, head.content, head.headers["content-range"]) == (206, b"", "0-19/25")


def test_no_more_rows_than_the_most_come_and_nothing_says_so(client: Client) -> None:
    client.table("items").insert(items(*range(1, 26))).execute()
    assert ids(client) == list(range(1, 21))
    assert len(client.table("items").select("id").range(0, 4999).execute().data) == 20
    assert len(client.table("items").update({"name": "x"}).gt("id", 0).execute().data) == 25


def test_one_row_or_an_error(client: Client) -> None:
    client.table("items").insert(items(1, 2)).execute()
    assert client.table("items").select("id").eq("id", 2).single().execute().data == {"id": 2}
    for condition in (0, 9):
        with pytest.raises(APIError) as caught:
            client.table("items").select("id").gt("id", condition).single().execute()
        assert caught.value.code == "PGRST116"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("wrong=eq.1", 400, "42703"),
        ("id=eq.x", 400, "22P02"),
        ("id=around.1", 400, "PGRST100"),
        ("select=id,other(*)", 400, "PGRST100"),
        ("or=(id.eq.1,id.eq.2)", 400, "PGRST100"),
    ],
)
def test_queries_that_are_not_understood_are_refused(http: httpx.Client, query: str, status: int, code: str) -> None:
    answer = http.get(f"/rest/v1/items?{query}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_an_address_that_is_too_long_is_refused(http: httpx.Client) -> None:
    many = ",".join(["00000000-0000-0000-0000-000000000000"] * 1000)
    assert http.get(f"/rest/v1/items?name=in.({many})").status_code == 431


# --- who asks ------------------------------------------------------------------------------------


def test_users_see_and_write_their_own_rows_only(project: Gateway) -> None:
    def as_user(number: int, method: str, query: str = "", body: Any = None) -> tuple[int, Any]:
        token = project.user_token(USERS[number])
        with plain(project.project, project.anon_key, token=token) as http:
            prefer = {"Prefer": "return=representation"}
            answer = http.request(method, f"/rest/v1/owned{query}", json=body, headers=prefer)
            return answer.status_code, answer.json()

    assert as_user(0, "POST", body={"id": 1})[0] == 201
    assert as_user(1, "POST", body={"id": 2})[0] == 201
    assert as_user(0, "GET", "?select=id") == (200, [{"id": 1}])
    assert as_user(1, "PATCH", "?id=eq.1", {"user_id": USERS[1]}) == (200, [])
    assert as_user(1, "DELETE", "?id=eq.1") == (200, [])
    status, refused = as_user(1, "POST", body={"id": 3, "user_id": USERS[0]})
    assert (status, refused["code"]) == (403, "42501")
    with plain(project.project, project.anon_key) as http:
        assert http.get("/rest/v1/owned").json() == []
    with official(project.project, project.secret_key) as client:
        assert len(client.table("owned").select("id").execute().data) == 2


@pytest.mark.parametrize("headers", [{}, {"apikey": "sb_secret_unknown"}, {"apikey": "a.b.c"}])
def test_unknown_keys_are_refused(project: Gateway, headers: dict[str, str]) -> None:
    answer = httpx.get(f"{project.url}/rest/v1/items", headers=headers)
    assert (answer.status_code, "code" in answer.json()) == (401, False)


def test_bad_and_expired_tokens_are_refused(project: Gateway) -> None:
    expired = project.user_token(USERS[0], expires_in=-10)
    for token, code in [(expired, "PGRST303"), ("garbage", "PGRST301"), (expired[:-4] + "AAAA", "PGRST301")]:
        with plain(project.project, project.anon_key, token=token) as http:
            answer = http.get("/rest/v1/items")
            assert (answer.status_code, answer.json()["code"]) == (401, code)


def test_another_schema_is_refused(http: httpx.Client) -> None:
    answer = http.get("/rest/v1/items", headers={"Accept-Profile": "auth"})
    assert (answer.status_code, answer.json()["code"]) == (406, "PGRST106")
