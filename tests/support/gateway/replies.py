"""What a statement's rows become: JSON that Postgres makes, in the form that the request asks for."""

from psycopg import sql

from tests.support.gateway.calls import JSON, Answer, Call, Refused, rest_error
from tests.support.gateway.pool import Connection
from tests.support.gateway.preferences import OBJECT, preferences, wants_one_object
from tests.support.gateway.queries import Part, selected


def returning(call: Call) -> sql.Composable:
    """Only what the answer needs: RETURNING a column takes the right to read it."""
    if preferences(call).get("return") == "representation":
        return sql.SQL(" RETURNING ") + selected(call)
    return sql.SQL(" RETURNING 1")


def answered(db: Connection, part: Part) -> tuple[int, str]:
    """Runs a statement; how many rows it gave, and these as JSON."""
    whole = sql.SQL(
        "WITH source AS ({}) SELECT count(*), coalesce(json_agg(result), '[]')::text FROM (SELECT * FROM source) result"
    )
    found = db.execute(whole.format(part.text), part.values).fetchone()
    assert found is not None
    return found[0], found[1]


def one_object(rows: int, body: str) -> str:
    """The only row of a list; raises Refused (406 PGRST116) where it is not the only one."""
    if rows != 1:
        told = f"The result contains {rows} rows"
        raise Refused(rest_error(406, "PGRST116", "Cannot coerce the result to a single JSON object", told))
    return body.strip()[1:-1]


def shown_answer(call: Call, status: int, body: str, headers: dict[str, str]) -> Answer:
    """An answer with rows."""
    kind = f"{OBJECT}; charset=utf-8" if wants_one_object(call) else JSON
    return Answer(status, b"" if call.method == "HEAD" else body.encode(), {"content-type": kind, **headers})
