"""POST, PATCH and DELETE /rest/v1/TABLE, in the statements that PostgREST sends."""

from typing import Any

from psycopg import sql

from tests.support.gateway.calls import Answer, Call, Refused, rest_error
from tests.support.gateway.catalogue import Table, find_table
from tests.support.gateway.json_bodies import json_body
from tests.support.gateway.keys import Caller
from tests.support.gateway.pool import Connection, Pool
from tests.support.gateway.preferences import applied, preferences, wants_one_object
from tests.support.gateway.queries import RESERVED, Part, listed, not_understood, where
from tests.support.gateway.replies import answered, one_object, returning, shown_answer
from tests.support.gateway.transactions import transaction


def insert(pool: Pool, caller: Caller, call: Call, name: str) -> Answer:
    """POST: all rows or none; with `resolution` those that are there already are replaced or left."""
    text, body = json_body(call.body)
    rows = body if isinstance(body, list) else [body]
    with transaction(pool, caller, call) as db:
        table = find_table(db, name)
        names = _written(call, table, rows)
        if not rows:
            return _written_answer(call, 201, 0, "[]")
        count, shown = answered(db, _insert(call, table, names, text))
        if wants_one_object(call):
            shown = one_object(count, shown)
        inserted = db.execute("SELECT coalesce(nullif(current_setting('pgrst.inserted', true), ''), '1')").fetchone()
    replaced = preferences(call).get("resolution") == "merge-duplicates" and inserted == ("0",)
    return _written_answer(call, 200 if replaced else 201, count, shown)


def _written(call: Call, table: Table, rows: list[Any]) -> list[str]:
    """The columns that are written: those that the call lists, else those of the first row."""
    if not all(isinstance(row, dict) for row in rows):
        raise Refused(rest_error(400, "PGRST102", "Empty or invalid json"))
    columns = call.asked("columns")
    if columns is not None:
        return table.checked(listed(columns))
    if any(row.keys() != rows[0].keys() for row in rows):
        raise Refused(rest_error(400, "PGRST102", "All object keys must match"))
    return table.checked(list(rows[0]) if rows else [])


def _record(table: Table, names: list[str]) -> sql.Composable:
    kinds = (sql.SQL("{} {}").format(sql.Identifier(n), sql.SQL(table.columns[n].kind)) for n in names)
    return sql.SQL(", ").join(kinds)


def _listed(names: list[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _insert(call: Call, table: Table, names: list[str], text: str) -> Part:
    asked = preferences(call)
    if not names:
        head = sql.SQL("INSERT INTO {} AS target DEFAULT VALUES").format(table.sql)
        return Part(head + returning(call))
    elements: sql.Composable = sql.SQL(
        "CASE WHEN json_typeof(json_data) = 'array' THEN json_data ELSE json_build_array(json_data) END"
    )
    if asked.get("missing") == "default":
        elements = _with_defaults(table, names, elements)
    statement = sql.SQL(
        "INSERT INTO {} AS target ({}) SELECT {} FROM (SELECT %s::json AS json_data) payload,"
        " LATERAL (SELECT {} FROM json_to_recordset({}) AS _({})) body"
    ).format(table.sql, _listed(names), _listed(names), _listed(names), elements, _record(table, names))
    statement += _on_conflict(call, table, names, asked.get("resolution")) + returning(call)
    return Part(statement, (text,))


def _with_defaults(table: Table, names: list[str], elements: sql.Composable) -> sql.Composable:
    defaults = sql.SQL(", ").join(
        sql.SQL("{}, {}").format(sql.Literal(n), sql.SQL((table.columns[n].default or "").replace("%", "%%")))
        for n in names
        if table.columns[n].default is not None
    )
    return sql.SQL(
        "(SELECT json_agg(jsonb_build_object({}) || element) FROM jsonb_array_elements(({})::jsonb) element)"
    ).format(defaults, elements)


SO_FAR = "coalesce(nullif(current_setting('pgrst.inserted', true), '')::int, 0)"
INSERTED = sql.SQL(f" WHERE set_config('pgrst.inserted', ({SO_FAR} + 1)::text, true) <> '0'")
REPLACED = sql.SQL(f" WHERE set_config('pgrst.inserted', ({SO_FAR} - 1)::text, true) <> '-1'")


def _on_conflict(call: Call, table: Table, names: list[str], resolution: str | None) -> sql.Composable:
    """The clause of an upsert; it counts those that were inserted as PostgREST does, for the status."""
    if resolution is None:
        return sql.SQL("")
    asked = call.asked("on_conflict")
    key = listed(asked) if asked else [column.name for column in table.columns.values() if column.in_key]
    if not key:
        return sql.SQL("")
    clause = INSERTED + sql.SQL(" ON CONFLICT ({})").format(_listed(key))
    if resolution == "ignore-duplicates":
        return clause + sql.SQL(" DO NOTHING")
    sets = sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(n)) for n in names)
    return clause + sql.SQL(" DO UPDATE SET {}").format(sets) + REPLACED


def update(pool: Pool, caller: Caller, call: Call, name: str) -> Answer:
    """PATCH: the columns of the body, in all rows that fit the filters."""
    text, body = json_body(call.body)
    condition = _required_where(call, "UPDATE")
    with transaction(pool, caller, call) as db:
        table = find_table(db, name)
        names = _written(call, table, [body])
        if not names:
            return _changed_answer(call, 0, "[]")
        sets = sql.SQL(", ").join(sql.SQL("{0} = body.{0}").format(sql.Identifier(n)) for n in names)
        statement = sql.SQL(
            "UPDATE {} AS target SET {} FROM (SELECT %s::json AS json_data) payload,"
            " LATERAL (SELECT {} FROM json_to_record(payload.json_data) AS _({})) body{}{}"
        ).format(table.sql, sets, _listed(names), _record(table, names), condition.text, returning(call))
        return _changed(db, call, Part(statement, (text, *condition.values)))


def delete(pool: Pool, caller: Caller, call: Call, name: str) -> Answer:
    """DELETE: all rows that fit the filters."""
    condition = _required_where(call, "DELETE")
    with transaction(pool, caller, call) as db:
        table = find_table(db, name)
        statement = sql.SQL("DELETE FROM {} AS target{}{}").format(table.sql, condition.text, returning(call))
        return _changed(db, call, Part(statement, condition.values))


def _required_where(call: Call, verb: str) -> Part:
    if any(call.asked(name) for name in ("limit", "offset", "order")):
        raise not_understood("limit, offset and order of a write")
    if all(name in RESERVED for name, _ in call.query):
        raise Refused(rest_error(400, "21000", f"{verb} requires a WHERE clause"))
    return where(call)


def _changed(db: Connection, call: Call, part: Part) -> Answer:
    rows, body = answered(db, part)
    if wants_one_object(call):
        body = one_object(rows, body)
    return _changed_answer(call, rows, body)


def _written_answer(call: Call, status: int, rows: int, body: str) -> Answer:
    asked = preferences(call)
    headers = {"content-range": f"*/{rows if 'count' in asked else '*'}", **applied(asked)}
    if asked.get("return") == "representation":
        return shown_answer(call, status, body, headers)
    return Answer(status, b"", headers)


def _changed_answer(call: Call, rows: int, body: str) -> Answer:
    asked = preferences(call)
    window = f"0-{rows - 1}" if rows and call.method == "PATCH" else "*"
    headers = {"content-range": f"{window}/{rows if 'count' in asked else '*'}", **applied(asked)}
    if asked.get("return") == "representation":
        return shown_answer(call, 200, body, headers)
    return Answer(204, b"", headers)
