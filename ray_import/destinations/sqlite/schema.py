"""Checks and changes the tables of a SQLite file.

A table may have been altered by its owner: whether it can be written to is checked before an import. A migration gives
a table another primary key, and keeps everything that users have added to it.
"""

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ray_import.destinations.migrations import LATEST_SQLITE, migrations
from ray_import.errors import SinkError


@dataclass(frozen=True, slots=True)
class NewKey:
    """A table's primary key as it was and as it becomes; `hashes` are columns that get the name of their algorithm."""

    table: str
    old: tuple[str, ...]
    new: tuple[str, ...]
    hashes: tuple[str, ...] = ()

    @property
    def passing(self) -> str:
        """The name that the table has until its rows are copied."""
        return f"{self.table}_with_old_key"


PRODUCT_KEYS = (
    NewKey(
        "imported_conversations",
        ("user_id", "conversation_id"),
        ("user_id", "conversation_id", "product"),
        ("content_hash", "other_hash", "settings_hash"),
    ),
    NewKey("import_rejects", ("user_id", "raw_hash"), ("user_id", "raw_hash", "product"), ("raw_hash",)),
)
MESSAGES_VERSION = 7
"""The migration that gives tables PRODUCT_KEYS."""


def change_keys(db: sqlite3.Connection, keys: Sequence[NewKey]) -> None:
    """Makes the tables anew, to be called in a transaction: SQLite cannot change a key.

    Rows keep their rowid, tables their added columns, indexes and triggers (which do not fire), and views stay valid.
    Raises SinkError if a table's old key is not found, or a foreign key refers to it.
    """
    for key in keys:
        _refuse_references(db, key)
    with _references_kept(db):
        for key in keys:
            _change_key(db, key)


def _refuse_references(db: sqlite3.Connection, key: NewKey) -> None:
    """A foreign key to columns that are no key any more lets nothing be written."""
    found = db.execute(
        'SELECT t.name, group_concat(lower(f."to")) FROM sqlite_schema AS t, pragma_foreign_key_list(t.name) AS f'
        " WHERE t.type = 'table' AND lower(f.\"table\") = ? GROUP BY t.name, f.id",
        (key.table,),
    )  # no columns: those of the primary key
    if names := {name for name, columns in found if columns is None or set(columns.split(",")) == set(key.old)}:
        told, columns = ", ".join(sorted(names)), ", ".join(key.new)
        raise SinkError(
            f"{key.table} cannot be brought up to date: its primary key is used by a foreign key of {told}.",
            "Make that table anew without the foreign key, run this again, and create it anew with product:"
            f" REFERENCES {key.table} ({columns}).",
        )


def _change_key(db: sqlite3.Connection, key: NewKey) -> None:
    ((created,),) = db.execute("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", (key.table,))
    wanted, found = re.subn(_key_pattern(key.old), f"PRIMARY KEY ({', '.join(key.new)})", created, flags=re.IGNORECASE)
    if found != 1:
        raise SinkError(
            f"{key.table} cannot be brought up to date: its primary key is not ({', '.join(key.old)}).",
            "Import into a new file with --to sqlite:///PATH.",
        )
    beside = db.execute(
        "SELECT sql FROM sqlite_schema WHERE lower(tbl_name) = ? AND type IN ('index', 'trigger') AND sql IS NOT NULL",
        (key.table,),
    ).fetchall()
    names = [name for (name,) in db.execute("SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0", (key.table,))]
    columns = ["_rowid_", *map(_quoted, names)]
    values = ["_rowid_", *(f"'sha256:' || {name}" if name in key.hashes else _quoted(name) for name in names)]
    old = key.passing
    db.execute(f"ALTER TABLE {key.table} RENAME TO {old}")
    db.execute(wanted)
    db.execute(f"INSERT INTO {key.table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {old} ORDER BY _rowid_")  # noqa: S608
    db.execute(f"DROP TABLE {old}")
    for (statement,) in beside:
        db.execute(statement)


def _key_pattern(columns: Sequence[str]) -> str:
    return r"PRIMARY\s+KEY\s*\(\s*" + r"\s*,\s*".join(f'"?{name}"?' for name in columns) + r"\s*\)"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _references_kept(db: sqlite3.Connection) -> Iterator[None]:
    """Renaming a table changes neither views nor triggers that name it."""
    before = db.execute("PRAGMA legacy_alter_table").fetchone()[0]
    db.execute("PRAGMA legacy_alter_table = ON")
    try:
        yield
    finally:
        db.execute(f"PRAGMA legacy_alter_table = {before}")


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
