"""POST /rest/v1/rpc/NAME: a function of the schema public, called in one transaction."""

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from tests.support.gateway.calls import JSON, Answer, Call, Refused, rest_error
from tests.support.gateway.database_errors import database_error
from tests.support.gateway.json_bodies import json_body
from tests.support.gateway.keys import Caller
from tests.support.gateway.pool import Connection, Pool
from tests.support.gateway.preferences import wants_one_object
from tests.support.gateway.transactions import HOISTED, settings_of, transaction

FUNCTIONS = """
SELECT coalesce(p.proargnames[:p.pronargs], '{}'),
       ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS u (t, n) ORDER BY n),
       p.pronargdefaults, p.provolatile = 'v', p.proretset, p.prorettype = 'void'::regtype,
       t.typtype = 'c' OR p.prorettype = 'record'::regtype, p.proconfig
FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype
WHERE p.pronamespace = 'public'::regnamespace AND p.proname = %s AND p.prokind = 'f'
  AND coalesce(p.proargmodes[:p.pronargs] <@ '{i}', true)
"""


@dataclass(frozen=True, slots=True)
class Function:
    """A function as pg_proc has it; `names` and `types` are those of its arguments."""

    names: list[str]
    types: list[str]
    defaults: int
    volatile: bool
    returns_set: bool
    returns_void: bool
    returns_row: bool
    config: list[str] | None

    @property
    def takes_the_body(self) -> bool:
        """One argument without a name, of JSON: it is given the whole body."""
        return self.names in ([], [""]) and self.types in (["json"], ["jsonb"])

    def fits(self, given: set[str]) -> bool:
        """Whether these arguments, and no others, can be given by name."""
        if len(self.names) != len(self.types):
            return False
        required = self.names[: len(self.names) - self.defaults]
        return set(required) <= given <= set(self.names)


def call_function(pool: Pool, caller: Caller, call: Call, name: str) -> Answer:
    """Calls it with the arguments of the body; raises Refused for what PostgREST refuses."""
    if call.query:
        raise Refused(rest_error(400, "PGRST100", "the stand-in knows no filters of what a function returns"))
    text, body = json_body(call.body or b"{}")
    try:
        with pool.connection() as db:
            function = _find(db, name, body)
    except psycopg.Error as error:
        raise Refused(database_error(error, caller.role), error.sqlstate) from None
    hoisted = {key: value for key, value in settings_of(function.config).items() if key in HOISTED}
    with transaction(pool, caller, call, read_only=not function.volatile, settings=hoisted) as db:
        given = [key for key in function.names if isinstance(body, dict) and key in body]
        found = db.execute(_statement(function, name, given), [text]).fetchone()
        assert found is not None
        rows, result = found
        if wants_one_object(call) and function.returns_set and rows != 1:
            raise Refused(rest_error(406, "PGRST116", "Cannot coerce the result to a single JSON object"))
    if function.returns_void:
        return Answer(204)
    return Answer(200, result.encode(), {"content-type": JSON, "content-range": f"0-{rows - 1}/*" if rows else "*/*"})


def _find(db: Connection, name: str, body: Any) -> Function:
    functions = [Function(*row) for row in db.execute(FUNCTIONS, [name])]
    given = set(body) if isinstance(body, dict) else set()
    fitting = [f for f in functions if not f.takes_the_body and isinstance(body, dict) and f.fits(given)]
    fitting = fitting or [f for f in functions if f.takes_the_body]
    if len(fitting) > 1:
        message = f"Could not choose the best candidate function between {len(fitting)} of public.{name}"
        raise Refused(rest_error(300, "PGRST203", message))
    if not fitting:
        told = ", ".join(sorted(given))
        message = f"Could not find the function public.{name}({told}) in the schema cache"
        if not given:
            message = f"Could not find the function public.{name} without parameters in the schema cache"
        details = f"Searched for the function public.{name}, but no matches were found in the schema cache."
        raise Refused(rest_error(404, "PGRST202", message, details))
    return fitting[0]


def _statement(function: Function, name: str, given: list[str]) -> sql.Composed:
    """PostgREST's: the arguments have the function's own types, and Postgres makes them of the JSON."""
    types = dict(zip(function.names, function.types, strict=False))
    payload: sql.Composable = sql.SQL("(SELECT %s::json AS json_data) payload")
    arguments: sql.Composable = sql.SQL("")
    if function.takes_the_body:
        arguments = sql.SQL("payload.json_data::") + sql.SQL(function.types[0])
    elif given:
        columns = sql.SQL(", ").join(sql.SQL("{} {}").format(sql.Identifier(n), sql.SQL(types[n])) for n in given)
        payload += sql.SQL(", LATERAL (SELECT * FROM json_to_record(payload.json_data) AS _({})) body").format(columns)
        named = (sql.SQL("{0} := body.{0}").format(sql.Identifier(n)) for n in given)
        arguments = sql.SQL(", ").join(named)
    called = sql.SQL("{}({})").format(sql.Identifier("public", name), arguments)
    if function.returns_row:
        source = sql.SQL("SELECT called.* FROM {}, LATERAL {} called").format(payload, called)
        each = sql.SQL("result")
    else:
        source = sql.SQL("SELECT {} AS scalar FROM {}").format(called, payload)
        each = sql.SQL("result.scalar")
    return sql.SQL("WITH source AS ({}) SELECT count(*), {}::text FROM (SELECT * FROM source) result").format(
        source, _aggregate(function, each)
    )


def _aggregate(function: Function, each: sql.SQL) -> sql.Composed:
    if function.returns_void:
        return sql.SQL("count({})").format(each)
    if function.returns_set:
        return sql.SQL("coalesce(json_agg({}), '[]')").format(each)
    return sql.SQL("coalesce(json_agg({}) -> 0, 'null')").format(each)
