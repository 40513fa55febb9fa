"""One request is one transaction, in the role of its caller: the same statements as PostgREST sends."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg

from tests.support.gateway.calls import Call, Refused, rest_error
from tests.support.gateway.database_errors import database_error
from tests.support.gateway.keys import Caller
from tests.support.gateway.pool import Connection, Pool

HOISTED = ("statement_timeout",)
"""Of a function's own settings those that hold for its whole transaction."""


@contextmanager
def transaction(
    pool: Pool, caller: Caller, call: Call, *, read_only: bool = False, settings: Mapping[str, str] | None = None
) -> Iterator[Connection]:
    """Commits at the end; an error of Postgres rolls back and becomes Refused, with PostgREST's status and body."""
    try:
        with pool.connection() as db:
            db.execute(f"BEGIN ISOLATION LEVEL READ COMMITTED READ {'ONLY' if read_only else 'WRITE'}")
            try:
                _check_role(db, caller)
                _set_up(db, caller, call, settings or {})
                yield db
            except BaseException:
                if not db.closed:
                    db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
    except psycopg.Error as error:
        raise Refused(database_error(error, caller.role), error.sqlstate) from None


def _check_role(db: Connection, caller: Caller) -> None:
    """Raises Refused (401) where the role of a token does not exist."""
    try:
        db.execute("SELECT set_config('role', %s, true)", [caller.role])
    except psycopg.errors.InvalidParameterValue as error:
        raise Refused(rest_error(401, "22023", error.diag.message_primary or "")) from None


def _set_up(db: Connection, caller: Caller, call: Call, settings: Mapping[str, str]) -> None:
    """The role with its own settings, then those of the function, then what the request says of itself."""
    found = db.execute("SELECT rolconfig FROM pg_roles WHERE rolname = %s", [caller.role]).fetchone()
    local = settings_of(found[0] if found else None) | dict(settings)
    local |= {
        "search_path": '"public", "extensions"',
        "role": caller.role,
        "request.jwt.claims": json.dumps(caller.claims, separators=(",", ":")),
        "request.method": call.method,
        "request.path": call.path,
        "request.headers": json.dumps(dict(call.headers)),
    }
    names = ", ".join(["set_config(%s, %s, true)"] * len(local))
    db.execute(f"SELECT {names}", [part for pair in local.items() for part in pair])


def settings_of(config: list[str] | None) -> dict[str, str]:
    """`rolconfig` or `proconfig` as names and values."""
    return dict(entry.split("=", 1) for entry in config or [])
