"""Whether the tables in a SQLite file can be written to: somebody may have altered them."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ray_import.errors import SinkError
from ray_import.sink.migrations import LATEST_SQLITE, migrations

_REFUSED = {"TEXT": ("INTEGER", "REAL", "NUMERIC"), "INTEGER": ("TEXT",), "REAL": ("TEXT",), "BLOB": ()}
"""By the affinity that a column should have those that would change what is written: the text 007 into the number 7."""


@dataclass(frozen=True, slots=True)
class _Column:
    affinity: str
    needs_value: bool


def refuse_unusable_tables(db: sqlite3.Connection, path: Path) -> None:
    """Raises SinkError, naming table and columns, where a table of ours is missing or cannot be used.

    Columns of the user's own are no obstacle unless they need a value that ray-import does not have.
    """
    for table, expected in _expected().items():
        found = _columns(db, table)
        if not found:
            raise SinkError(f"{path} cannot be used: the table {table} is missing.", _NAME_ANOTHER)
        if missing := [name for name in expected if name not in found]:
            raise SinkError(f"{path} cannot be used: {table} has no column {', '.join(missing)}.", _RESTORE)
        if odd := [name for name in expected if found[name].affinity in _REFUSED[expected[name].affinity]]:
            told = ", ".join(f"{name} is {found[name].affinity} instead of {expected[name].affinity}" for name in odd)
            raise SinkError(f"{path} cannot be used: in {table} the column {told}.", _RESTORE)
        if needing := [f'"{name}"' for name in found if name not in expected and found[name].needs_value]:
            what = f"{path} cannot be used: {table} has columns that must not be null and have no default"
            raise SinkError(f"{what}: {', '.join(needing)}.", "Give them a default, or allow null in them.")


def refuse_taken_names(db: sqlite3.Connection, path: Path, version: int, passing: Iterable[str] = ()) -> None:
    """Raises SinkError, naming them, if the file's user has tables, indexes or columns named as what an update adds.

    `version` is the file's; `passing` are tables that are there only while it is brought up to date.
    """
    before, after = _names(version), _names(LATEST_SQLITE)
    added = {name: kind for name, kind in after.items() if name not in before} | dict.fromkeys(passing, "table")
    there = db.execute("SELECT type, name, lower(name) FROM sqlite_schema WHERE type <> 'trigger' AND sql IS NOT NULL")
    found = []
    for kind, name, lowered in there.fetchall():
        ours = added.get(lowered)
        if ours in ("table", "index") or (ours == "view" and kind == "index"):  # another view stays instead of ours
            found.append(f"{'an' if kind == 'index' else 'a'} {kind} {name}")
    for table in (name for name, kind in before.items() if kind == "table"):
        for name, lowered in db.execute("SELECT name, lower(name) FROM pragma_table_xinfo(?)", (table,)):
            if f"{table}.{lowered}" in added:
                found.append(f"a column {table}.{name}")
    if found:
        raise SinkError(
            f"{path} cannot be brought up to date: it has {', '.join(found)} of its own.",
            "Rename what is named here (make an index anew), or import into a new file with --to sqlite:///PATH.",
        )


@cache
def _names(version: int) -> dict[str, str]:
    """Of what there is at a version: whether it is a table, an index, a view or a column (`table.column`)."""
    with closing(sqlite3.connect(":memory:")) as db:
        for migration in migrations("sqlite"):
            if migration.version <= version:
                db.executescript(migration.sql)
        return dict(
            db.execute(
                "SELECT name, type FROM sqlite_schema UNION ALL SELECT t.name || '.' || c.name, 'column'"
                " FROM sqlite_schema AS t, pragma_table_xinfo(t.name) AS c WHERE t.type = 'table'"
            ).fetchall()
        )


_NAME_ANOTHER = "Restore the file from a copy, or import into a new one with --to sqlite:///PATH."
_RESTORE = f"Rename or change the columns back. {_NAME_ANOTHER}"


@cache
def _expected() -> dict[str, dict[str, _Column]]:
    with closing(sqlite3.connect(":memory:")) as db:
        for migration in migrations("sqlite"):
            db.executescript(migration.sql)
        tables = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        return {table: _columns(db, table) for (table,) in tables}


def _columns(db: sqlite3.Connection, table: str) -> dict[str, _Column]:
    """By their names in lower case, as SQLite takes them; none where it is a view."""
    found = db.execute(
        'SELECT lower(name), type, "notnull" AND dflt_value IS NULL FROM pragma_table_info(?1)'
        " WHERE EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND lower(name) = ?1)",
        (table,),
    )
    return {name: _Column(_affinity(kind.upper()), bool(needs_value)) for name, kind, needs_value in found}


def _affinity(kind: str) -> str:
    """That of a declared type: https://www.sqlite.org/datatype3.html#determination_of_column_affinity."""
    rules = {"INT": "INTEGER", "CHAR": "TEXT", "CLOB": "TEXT", "TEXT": "TEXT", "BLOB": "BLOB"}
    rules |= {"REAL": "REAL", "FLOA": "REAL", "DOUB": "REAL"}
    found = (affinity for part, affinity in rules.items() if part in kind)
    return next(found, "NUMERIC") if kind else "BLOB"
