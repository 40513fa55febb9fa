"""Whether tables that exist in a Postgres can be written to: one that an earlier service made, or that was altered."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from ray_import.errors import SinkError

_TEXT = ("text", "character varying")
_NUMBER = ("integer", "bigint", "smallint", "numeric", "real", "double precision")
_TIME = ("timestamp with time zone",)
_COUNT = ("integer", "bigint")
_USER_IDS_OF_SUPABASE = (*_TEXT, "uuid")
"""Where a policy compares them with auth.uid()."""

_TYPES: dict[str, dict[str, tuple[str, ...]]] = {
    "conversation_chunks": {
        "id": ("uuid", *_TEXT),
        "user_id": (*_TEXT, "uuid", *_COUNT),
        "conversation_id": _TEXT,
        "content": _TEXT,
        "title": _TEXT,
        "message_count": _NUMBER,
        "token_count": _NUMBER,
        "chunk_tier": _TEXT,
        "is_recent": ("boolean",),
        "created_at": (*_TIME, "timestamp without time zone", "date"),
        "thread": _TEXT,
        "chunk_index": _NUMBER,
        "chunk_count": _NUMBER,
        "node_ids": ("jsonb", "json", *_TEXT),
        "import_id": _TEXT,
        "product": _TEXT,
        "spans": ("jsonb", "json", *_TEXT),
    },
    "conversation_messages": {
        "user_id": (*_TEXT, "uuid", *_COUNT),
        **dict.fromkeys(
            ("product", "conversation_id", "node_id", "parent_id", "thread", "role", "model", "text", "quoted"), _TEXT
        ),
        "on_active_path": ("boolean",),
        "position": _COUNT,
        "created_at": _TIME,
        "attachments": ("jsonb", "json", *_TEXT),
        "import_id": _TEXT,
    },
    "imported_conversations": {
        **dict.fromkeys(
            ("user_id", "conversation_id", "content_hash", "other_hash", "settings_hash", "title", "import_id"), _TEXT
        ),
        **dict.fromkeys(("create_time", "update_time", "imported_at"), _TIME),
        **dict.fromkeys(("node_count", "message_count", "chunk_count"), _COUNT),
        "seen_in": _TEXT,
        **dict.fromkeys(("product", "model", "project", "memory_scope"), _TEXT),
        **dict.fromkeys(("has_messages", "is_starred", "is_archived"), ("boolean",)),
    },
    "import_jobs": {
        **dict.fromkeys(("id", "user_id", "source", "status", "error", "holder"), _TEXT),
        "counts": ("jsonb",),
        **dict.fromkeys(("started_at", "updated_at", "finished_at"), _TIME),
        "number": _COUNT,
    },
    "import_rejects": {
        **dict.fromkeys(
            ("import_id", "user_id", "product", "source_member", "conversation_id", "reason", "raw_hash", "seen_in"),
            _TEXT,
        ),
        "position": _COUNT,
        "raw": ("bytea",),
        "number": _COUNT,
    },
    "import_runs": {
        **dict.fromkeys(("id", "what", "settings_hash", "status", "holder"), _TEXT),
        **dict.fromkeys(("started_at", "updated_at"), _TIME),
        "force": ("boolean",),
    },
    "import_run_users": {
        **dict.fromkeys(("run_id", "user_id", "source", "state", "version", "error"), _TEXT),
        "attempts": _COUNT,
        "counts": ("jsonb",),
        "updated_at": _TIME,
    },
    "profile_runs": {
        **dict.fromkeys(("user_id", "id", "status", "error", "holder"), _TEXT),
        "report": ("jsonb",),
        **dict.fromkeys(("started_at", "updated_at", "finished_at"), _TIME),
    },
    "profile_requests": {
        **dict.fromkeys(("user_id", "id", "run_id", "kind", "model", "state", "mark", "group_id", "batch_id"), _TEXT),
        **dict.fromkeys(("stop_reason", "reason", "settlement"), _TEXT),
        **dict.fromkeys(("attempts", "input_tokens", "output_tokens"), _COUNT),
        "usd": ("double precision",),
        **dict.fromkeys(("unit_ids", "rejected", "result"), ("jsonb",)),
        "created_at": _TIME,
    },
    "profile_units": {
        **dict.fromkeys(("user_id", "id", "product", "conversation_id", "content_hash", "state", "reason"), _TEXT),
        "attempts": _COUNT,
        "request_id": _TEXT,
    },
    "profile_facts": {
        **dict.fromkeys(("user_id", "id", "category", "subject", "statement", "quote", "product"), _TEXT),
        **dict.fromkeys(("conversation_id", "node_id", "status", "superseded_by"), _TEXT),
        **dict.fromkeys(("said_at", "valid_from", "valid_to"), _TIME),
        "seen": _COUNT,
    },
    "profile_fact_units": dict.fromkeys(("user_id", "fact_id", "unit_id"), _TEXT),
    "profile_versions": {
        **dict.fromkeys(("user_id", "id", "run_id", "kind", "model", "prompt_version", "memory_md"), _TEXT),
        "sections": ("jsonb",),
        "facts_hash": _TEXT,
        "created_at": _TIME,
    },
    "service_jobs": {
        **dict.fromkeys(("id", "user_id", "state", "stage", "source", "source_label", "file_type"), _TEXT),
        **dict.fromkeys(("idempotency_key", "request_hash", "error", "error_type", "holder", "last_call"), _TEXT),
        "attempts": _COUNT,
        "cancel_requested": ("boolean",),
        "counts": ("jsonb",),
        **dict.fromkeys(("due_at", "created_at", "started_at", "updated_at", "finished_at"), _TIME),
    },
    "service_workers": {"holder": _TEXT, "seen_at": _TIME},
}
"""The types with which the functions of `sql/postgres/` work, by table and column."""
_NEEDED_IN_CHUNKS = {"id", "user_id", "conversation_id", "content"}
_ADDED_IN = {
    "conversation_chunks": dict.fromkeys(_TYPES["conversation_chunks"].keys() - _NEEDED_IN_CHUNKS, 1)
    | dict.fromkeys(("product", "spans"), 11),
    "imported_conversations": dict.fromkeys(
        ("product", "has_messages", "model", "is_starred", "is_archived", "project", "memory_scope"), 11
    ),
    "import_rejects": {"seen_in": 7, "product": 11},
    "import_runs": {"holder": 5, "force": 5},
}
"""By table and column the version of the migration that adds the column where it is missing."""
_OF_PROFILES = (
    "profile_runs", "profile_requests", "profile_units", "profile_facts", "profile_fact_units", "profile_versions",
)  # fmt: skip
_OF_SERVICE = ("service_jobs", "service_workers")
_TABLES_SINCE = {"conversation_messages": 11, **dict.fromkeys(_OF_PROFILES, 13), **dict.fromkeys(_OF_SERVICE, 14)}
_OTHER_TABLES_SINCE = 4
_KEYS = {
    "conversation_messages": ("user_id", "conversation_id", "product", "node_id"),
    "imported_conversations": ("user_id", "conversation_id", "product"),
    "import_rejects": ("user_id", "raw_hash", "product"),
}
"""Unique keys on which the functions rely, since version 11."""
_KEYS_SINCE = 11

_MAKE = "The SQL of ray-import migrate --print makes what is missing."

_FOUND = """
SELECT c.relname, c.relkind IN ('r', 'p'), a.attname,
    format_type(CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE a.atttypid END, NULL),
    a.attgenerated <> '' OR a.attidentity = 'a',
    a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND a.attgenerated = ''
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY (%s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum
"""
_UNIQUE = """
SELECT array_agg(a.attname::text) FROM pg_index i
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[:i.indnkeyatts - 1])
WHERE i.indrelid = to_regclass('public.' || %s) AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
GROUP BY i.indexrelid
"""


@dataclass(frozen=True, slots=True)
class _Column:
    type: str
    is_generated: bool
    needs_value: bool


def refuse_unusable_tables(connection: psycopg.Connection[Any], version: int) -> None:
    """Raises SinkError, naming table and columns, where tables of our names cannot be used.

    `version` is the one that the tables have: columns that a later step adds may be missing. Columns of the user's own
    are no obstacle unless they need a value that ray-import does not have.
    """
    tables: dict[str, dict[str, _Column]] = {}
    for table, is_table, column, *found in connection.execute(_FOUND, (list(_TYPES),)):
        if not is_table:
            raise SinkError(f"{table} is not a table in this database.", "Rename it, and run this again.")
        tables.setdefault(table, {})[column] = _Column(*found)
    due = [table for table in _TYPES if version >= _TABLES_SINCE.get(table, _OTHER_TABLES_SINCE)]
    absent = [table for table in due if table not in tables]
    if absent:
        raise SinkError(f"The database has no {_named('table', absent)}.", _MAKE)
    has_auth = connection.execute("SELECT to_regprocedure('auth.uid()') IS NOT NULL").fetchone() == (True,)
    for table, columns in tables.items():
        expected = dict(_TYPES[table])
        if has_auth and table in ("conversation_chunks", "conversation_messages"):
            expected["user_id"] = _USER_IDS_OF_SUPABASE
        _refuse_columns(table, expected, columns, version)
    if version >= _KEYS_SINCE:
        _refuse_lost_keys(connection)


def _refuse_lost_keys(connection: psycopg.Connection[Any]) -> None:
    for table, key in _KEYS.items():
        if not any(set(columns) == set(key) for (columns,) in connection.execute(_UNIQUE, (table,))):
            told = ", ".join(key)
            raise SinkError(f"{table} has no unique key ({told}).", f"Add it: alter table {table} add unique ({told}).")


def _refuse_columns(
    table: str, expected: Mapping[str, tuple[str, ...]], columns: Mapping[str, _Column], version: int
) -> None:
    added = _ADDED_IN.get(table, {})
    missing = [name for name in expected if name not in columns and version >= added.get(name, 0)]
    if missing:
        what = f"{table} has no {_named('column', missing)}."
        raise SinkError(what, f"Rename it back, or rename the table. {_MAKE}")
    if odd := list(_of_other_types(expected, columns)):
        raise SinkError(f"{table} has columns that ray-import cannot fill: {', '.join(odd)}.", "Alter them.")
    needing = [f'"{name}"' for name, column in columns.items() if name not in expected and column.needs_value]
    if needing:
        raise SinkError(
            f"{table} has columns that must not be null and have no default: {', '.join(needing)}.",
            "Give them a default, or allow null in them, and run this again.",
        )


def _of_other_types(expected: Mapping[str, tuple[str, ...]], columns: Mapping[str, _Column]) -> Iterator[str]:
    for name, types in expected.items():
        column = columns.get(name)
        if column is not None and column.is_generated and name != "number":
            yield f"{name} is generated"
        elif column is not None and column.type not in types:
            yield f"{name} is {column.type} instead of {types[0]}"


def _named(noun: str, names: Iterable[str]) -> str:
    shown = list(names)
    return f"{noun}{'s' if len(shown) > 1 else ''} {', '.join(shown)}"
