"""GET and HEAD /rest/v1/TABLE, in the statements that PostgREST sends."""

from psycopg import sql

from tests.support.gateway.calls import Answer, Call, Refused, rest_error
from tests.support.gateway.catalogue import Table, find_table
from tests.support.gateway.keys import Caller
from tests.support.gateway.pool import Connection, Pool
from tests.support.gateway.preferences import applied, preferences, wants_one_object
from tests.support.gateway.queries import Part, number, order, selected, where
from tests.support.gateway.replies import answered, one_object, shown_answer
from tests.support.gateway.transactions import transaction


def read(pool: Pool, caller: Caller, call: Call, name: str, max_rows: int) -> Answer:
    """GET and HEAD; never more than `max_rows` rows, and nothing says so."""
    asked = preferences(call)
    condition = where(call)
    limit, offset = number(call, "limit"), number(call, "offset") or 0
    with transaction(pool, caller, call, read_only=True) as db:
        table = find_table(db, name)
        source = sql.SQL("SELECT {} FROM {} AS target{}{} LIMIT %s OFFSET %s").format(
            selected(call), table.sql, condition.text, order(call)
        )
        shown = max_rows if limit is None else min(limit, max_rows)
        rows, body = answered(db, Part(source, (*condition.values, shown, offset)))
        total = _total(db, table, condition) if "count" in asked else None
        if wants_one_object(call):
            body = one_object(rows, body)
    return _read_answer(call, asked, rows, body, offset, total)


def _total(db: Connection, table: Table, condition: Part) -> int:
    counted = sql.SQL("SELECT count(*) FROM (SELECT 1 FROM {} AS target{}) counted").format(table.sql, condition.text)
    found = db.execute(counted, condition.values).fetchone()
    assert found is not None
    return int(found[0])


def _read_answer(call: Call, asked: dict[str, str], rows: int, body: str, offset: int, total: int | None) -> Answer:
    if total is not None and offset > total:
        told = f"An offset of {offset} was requested, but there are only {total} rows."
        raise Refused(rest_error(416, "PGRST103", "Requested range not satisfiable", told))
    window = f"{offset}-{offset + rows - 1}" if rows else "*"
    headers = {"content-range": f"{window}/{'*' if total is None else total}", **applied(asked)}
    status = 206 if total is not None and rows < total else 200
    return shown_answer(call, status, body, headers)
