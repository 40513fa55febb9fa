"""Gives tables of a SQLite file another primary key, with all that users have added to them."""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

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
