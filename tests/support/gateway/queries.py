"""The query of a table's address, as SQL: filters, order, the list of columns, lists of values.

Values always travel as parameters of a type that Postgres finds out itself, as PostgREST sends them.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from psycopg import sql

from tests.support.gateway.calls import Call, Refused, rest_error

RESERVED = {"select", "order", "limit", "offset", "on_conflict", "columns"}
OPERATORS = {
    "eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "like": "LIKE", "ilike": "ILIKE",
}  # fmt: skip
IS = {"null": "NULL", "not_null": "NOT NULL", "true": "TRUE", "false": "FALSE", "unknown": "UNKNOWN"}
ITEM = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^,]*))\s*(,|$)')
SELECTED = re.compile(r"(?:([^:]+):(?!:))?([^:]+)(?:::([^:]+))?")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$ -]*")


class Part(NamedTuple):
    """A piece of SQL and its parameters."""

    text: sql.Composable
    values: tuple[object, ...] = ()


def not_understood(text: str) -> Refused:
    """What PostgREST says to a query that it cannot parse; said here, too, to what the stand-in does not know."""
    return Refused(rest_error(400, "PGRST100", f'"failed to parse ({text})"'))


def listed(text: str) -> list[str]:
    r"""The items of `a,"b,c","d\"e"`."""
    items: list[str] = []
    found = ITEM.match(text) if text else None
    while found:
        quoted, plain, comma = found.groups()
        items.append(plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        found = ITEM.match(text, found.end()) if comma else None
    return items


def named(text: str) -> str:
    """A column's name, maybe quoted; raises Refused for what is more than a name."""
    name = text.strip()
    if name.startswith('"') and name.endswith('"') and len(name) > 2:
        return name[1:-1]
    if not NAME.fullmatch(name):
        raise not_understood(name)
    return name


def where(call: Call) -> Part:
    """All filters of a call, joined by AND; an empty piece where there are none."""
    filters = [_filter(key, value) for key, value in call.query if key not in RESERVED]
    if not filters:
        return Part(sql.SQL(""))
    text = sql.SQL(" WHERE ") + sql.SQL(" AND ").join(part.text for part in filters)
    return Part(text, tuple(value for part in filters for value in part.values))


def _filter(column: str, condition: str) -> Part:
    target = sql.SQL("target.") + sql.Identifier(named(column))
    operator, _, value = condition.partition(".")
    if operator == "not":
        inner = _filter(column, value)
        return Part(sql.SQL("NOT ({})").format(inner.text), inner.values)
    if operator in OPERATORS:
        given = value.replace("*", "%") if operator.endswith("like") else value
        return Part(sql.SQL("{} {} %s").format(target, sql.SQL(OPERATORS[operator])), (given,))
    if operator == "in" and value.startswith("(") and value.endswith(")"):
        return Part(sql.SQL("{} = ANY(%s)").format(target), (array_literal(listed(value[1:-1])),))
    if operator == "is" and value.lower() in IS:
        return Part(sql.SQL("{} IS {}").format(target, sql.SQL(IS[value.lower()])))
    raise not_understood(condition)


def array_literal(items: Sequence[str]) -> str:
    """The items as Postgres writes an array, of whatever type."""
    quoted = ('"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"' for item in items)
    return "{" + ",".join(quoted) + "}"


def order(call: Call) -> sql.Composable:
    """ORDER BY, or nothing."""
    asked = call.asked("order")
    if not asked:
        return sql.SQL("")
    return sql.SQL(" ORDER BY ") + sql.SQL(", ").join(_ordered(term) for term in asked.split(","))


def _ordered(term: str) -> sql.Composable:
    column, *ways = term.split(".")
    allowed = {"asc": " ASC", "desc": " DESC", "nullsfirst": " NULLS FIRST", "nullslast": " NULLS LAST"}
    if not set(ways) <= allowed.keys():
        raise not_understood(term)
    return sql.SQL("target.{}{}").format(sql.Identifier(named(column)), sql.SQL("".join(allowed[w] for w in ways)))


def number(call: Call, name: str) -> int | None:
    """`limit` or `offset`."""
    asked = call.asked(name)
    if asked is None:
        return None
    if not re.fullmatch(r"-?\d+", asked):
        raise not_understood(asked)
    return int(asked)


def selected(call: Call) -> sql.Composable:
    """The list of columns: names, `*`, `new:old` and `column::type`."""
    asked = (call.asked("select") or "*").split(",")
    return sql.SQL(", ").join(_selected(item.strip()) for item in asked)


def _selected(item: str) -> sql.Composable:
    if item == "*":
        return sql.SQL("target.*")
    parts = SELECTED.fullmatch(item)
    if parts is None:
        raise not_understood(item)
    alias, column, kind = parts.groups()
    text: sql.Composable = sql.SQL("target.") + sql.Identifier(named(column))
    if kind:
        text = sql.SQL("CAST({} AS {})").format(text, sql.SQL(named(kind)))
    return text + sql.SQL(" AS ") + sql.Identifier(named(alias or column))
