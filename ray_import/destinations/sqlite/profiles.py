"""What a SQLite file keeps of profiles."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

import orjson

from ray_import.chunks.rows import MessageRow, iso_time
from ray_import.destinations.profiles import (
    MERGED,
    Fact,
    Forgotten,
    ProfileConversation,
    ProfileVersion,
    RequestState,
    StoredRequest,
    StoredUnit,
    columns_of,
    request_of,
    run_is_over,
    values_of,
)
from ray_import.destinations.sqlite.profile_runs import SqliteProfileRuns
from ray_import.destinations.sqlite.reading import SqliteReading
from ray_import.errors import ConfigError

_JSON = ("unit_ids", "rejected", "result", "sections")
"""Columns that hold JSON."""
_REQUEST, _UNIT, _VERSION = map(columns_of, (StoredRequest, StoredUnit, ProfileVersion))
_FACT = tuple(name for name in columns_of(Fact) if name != "unit_id")
_CONVERSATION = columns_of(ProfileConversation)


def _upsert(table: str, columns: Sequence[str], updated: Sequence[str], where: str) -> str:
    """Inserts a row of a user; where its id is there, sets `updated` if `where` is true."""
    names, places = ", ".join(columns), ", ".join("?" * (len(columns) + 1))
    changes = ", ".join(f"{name} = excluded.{name}" for name in updated)
    return (
        f"INSERT INTO {table} AS old (user_id, {names}) VALUES ({places})"  # noqa: S608
        f" ON CONFLICT (user_id, id) DO UPDATE SET {changes} WHERE {where}"
    )


_SAVE_REQUEST = _upsert(
    "profile_requests",
    _REQUEST,
    [name for name in _REQUEST if name not in ("id", "created_at")],
    "old.state NOT IN ('answered', 'failed')",
)
_SAVE_UNIT = _upsert("profile_units", _UNIT, _UNIT[1:], "true")
_SPELLING = ("statement", "subject", "quote")
_SAVE_FACT = _upsert(
    "profile_facts",
    _FACT,
    _SPELLING,
    "(excluded.statement, excluded.subject, excluded.quote) < (old.statement, old.subject, old.quote)",
)
_SELECT_FACTS = (
    "SELECT (SELECT min(unit_id) FROM profile_fact_units AS u WHERE u.user_id = f.user_id AND u.fact_id = f.id),"  # noqa: S608
    f" {', '.join(_FACT)} FROM profile_facts AS f WHERE user_id = ? ORDER BY coalesce(said_at, ''), id"
)


class SqliteProfiles(SqliteProfileRuns, SqliteReading):
    def profile_users(self) -> list[str]:
        with self._translated():
            found = self._db.execute("SELECT DISTINCT user_id FROM imported_conversations ORDER BY user_id").fetchall()
        return [user_id for (user_id,) in found]

    def profile_conversations(self, user_id: str) -> list[ProfileConversation]:
        with self._translated():
            found = self._db.execute(
                f"SELECT {', '.join(_CONVERSATION)} FROM imported_conversations"  # noqa: S608
                " WHERE user_id = ? ORDER BY product, conversation_id",
                (user_id,),
            ).fetchall()
        rows = (dict(zip(_CONVERSATION, row, strict=True)) for row in found)
        return [ProfileConversation(**{**row, "has_messages": bool(row["has_messages"])}) for row in rows]

    def messages_of(self, user_id: str, conversations: Sequence[tuple[str, str]]) -> Iterator[list[MessageRow]]:
        for product, conversation_id in conversations:
            yield self.messages(user_id, product, conversation_id)

    def save_requests(self, user_id: str, requests: Sequence[StoredRequest]) -> None:
        rows = [_request_values(request) for request in requests]
        with self._translated(), self._transaction():
            running = self._running_profile(user_id)
            for request in requests:
                if request.run_id != running and self._request_state(user_id, request.id) is None:
                    raise run_is_over()
            self._put_rows(_SAVE_REQUEST, user_id, rows)

    def requests(self, user_id: str, states: Sequence[RequestState] = ()) -> list[StoredRequest]:
        with self._translated():
            found = self._db.execute(
                f"SELECT {', '.join(_REQUEST)} FROM profile_requests WHERE user_id = ?1"  # noqa: S608
                " AND (?2 = '[]' OR state IN (SELECT value FROM json_each(?2))) ORDER BY created_at, id",
                (user_id, orjson.dumps(states).decode()),
            ).fetchall()
        return [request_of(_named(_REQUEST, row)) for row in found]

    def settle_request(
        self,
        user_id: str,
        request: StoredRequest,
        units: Sequence[StoredUnit],
        facts: Sequence[Fact],
        replaced: Sequence[str] = (),
    ) -> bool:
        with self._translated(), self._transaction():
            if self._request_state(user_id, request.id) in (None, "answered", "failed"):
                return False
            self._put_rows(_SAVE_REQUEST, user_id, [_request_values(request)])
            self._put_rows(_SAVE_UNIT, user_id, map(values_of, units))
            self._drop_units(user_id, replaced)
            self._put_facts(user_id, facts)
        return True

    def _put_facts(self, user_id: str, facts: Sequence[Fact]) -> None:
        cleaned = [values_of(fact) for fact in facts]
        of_units = [{"fact_id": fact["id"], "unit_id": fact.pop("unit_id")} for fact in cleaned]
        self._put_rows(_SAVE_FACT, user_id, cleaned)
        self._put_rows(
            "INSERT INTO profile_fact_units (user_id, fact_id, unit_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            user_id,
            of_units,
        )

    def _running_profile(self, user_id: str) -> str | None:
        found = self._db.execute(
            "SELECT id FROM profile_runs WHERE user_id = ? AND status = 'running'", (user_id,)
        ).fetchone()
        return None if found is None else found[0]

    def _request_state(self, user_id: str, request_id: str) -> str | None:
        found = self._db.execute(
            "SELECT state FROM profile_requests WHERE user_id = ? AND id = ?", (user_id, request_id)
        ).fetchone()
        return None if found is None else found[0]

    def _put_rows(self, statement: str, user_id: str, rows: Iterable[dict[str, Any]]) -> None:
        self._db.executemany(statement, ((user_id, *row.values()) for row in rows))

    def units(self, user_id: str) -> list[StoredUnit]:
        with self._translated():
            found = self._db.execute(
                f"SELECT {', '.join(_UNIT)} FROM profile_units WHERE user_id = ? ORDER BY id",  # noqa: S608
                (user_id,),
            ).fetchall()
        return [StoredUnit(**dict(zip(_UNIT, row, strict=True))) for row in found]

    def drop_units(self, user_id: str, unit_ids: Sequence[str]) -> None:
        with self._translated(), self._transaction():
            self._drop_units(user_id, unit_ids)

    def replace_units(self, user_id: str, unit_ids: Sequence[str], facts: Sequence[Fact]) -> None:
        with self._translated(), self._transaction():
            self._drop_units(user_id, unit_ids)
            self._put_facts(user_id, facts)

    def _drop_units(self, user_id: str, unit_ids: Sequence[str]) -> None:
        ids = orjson.dumps(unit_ids).decode()
        gone = self._db.execute(
            "DELETE FROM profile_fact_units WHERE user_id = ? AND unit_id IN (SELECT value FROM json_each(?))"
            " RETURNING fact_id",
            (user_id, ids),
        ).fetchall()
        self._db.execute(
            "DELETE FROM profile_facts AS f WHERE user_id = ? AND id IN (SELECT value FROM json_each(?))"
            " AND NOT EXISTS (SELECT 1 FROM profile_fact_units AS u"
            " WHERE u.user_id = f.user_id AND u.fact_id = f.id)",
            (user_id, orjson.dumps([fact_id for (fact_id,) in gone]).decode()),
        )
        self._db.execute(
            "DELETE FROM profile_units WHERE user_id = ? AND id IN (SELECT value FROM json_each(?))", (user_id, ids)
        )

    def keep_units(self, user_id: str, unit_ids: Sequence[str], content_hash: str) -> None:
        with self._translated():
            self._db.execute(
                "UPDATE profile_units SET content_hash = ? WHERE user_id = ?"
                " AND id IN (SELECT value FROM json_each(?))",
                (content_hash, user_id, orjson.dumps(unit_ids).decode()),
            )

    def facts(self, user_id: str) -> list[Fact]:
        with self._translated():
            found = self._db.execute(_SELECT_FACTS, (user_id,)).fetchall()
        return [Fact(**dict(zip(("unit_id", *_FACT), row, strict=True))) for row in found]

    def update_facts(self, user_id: str, facts: Sequence[Fact]) -> None:
        changes, places = ", ".join(MERGED), ", ".join("?" * len(MERGED))
        with self._translated(), self._transaction():
            self._db.executemany(
                f"UPDATE profile_facts SET ({changes}) = ({places}) WHERE user_id = ? AND id = ?",  # noqa: S608
                ((*(getattr(fact, name) for name in MERGED), user_id, fact.id) for fact in facts),
            )

    def save_version(self, user_id: str, version: ProfileVersion) -> None:
        row = values_of(version)
        row["sections"] = orjson.dumps(row["sections"]).decode()
        names, places = ", ".join(_VERSION), ", ".join("?" * (len(_VERSION) + 1))
        with self._translated(), self._transaction():
            if version.run_id != self._running_profile(user_id):
                raise run_is_over()
            self._put_rows(
                f"INSERT INTO profile_versions (user_id, {names}) VALUES ({places}) ON CONFLICT DO NOTHING",  # noqa: S608
                user_id,
                [row],
            )

    def versions_of(self, user_id: str, limit: int | None = None) -> list[ProfileVersion]:
        with self._translated():
            found = self._db.execute(
                f"SELECT {', '.join(_VERSION)} FROM profile_versions WHERE user_id = ?"  # noqa: S608
                " ORDER BY created_at DESC, id DESC LIMIT ?",
                (user_id, -1 if limit is None else limit),
            ).fetchall()
        return [ProfileVersion(**_named(_VERSION, row)) for row in found]

    def forget_profile(self, user_id: str) -> Forgotten:
        with self._translated(), self._transaction():
            self._db.execute("DELETE FROM profile_fact_units WHERE user_id = ?", (user_id,))
            deleted = {
                name: self._db.execute(f"DELETE FROM profile_{name} WHERE user_id = ?", (user_id,)).rowcount  # noqa: S608
                for name in columns_of(Forgotten)
            }
        return Forgotten(**deleted)

    def publish_profile(self, table: str, user_id: str, values: dict[str, Any]) -> NoReturn:  # noqa: ARG002 - the port's
        raise ConfigError(
            "--profile-table is not available for SQLite.", "Use it with --to supabase or --to postgresql://…."
        )


def _request_values(request: StoredRequest) -> dict[str, Any]:
    row = values_of(request)
    row["created_at"] = row["created_at"] or iso_time(time.time())
    for name in ("unit_ids", "rejected", "result"):
        row[name] = None if row[name] is None else orjson.dumps(row[name]).decode()
    return row


def _named(columns: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    """A row by its columns, JSON as values."""
    named = zip(columns, row, strict=True)
    return {name: orjson.loads(value) if name in _JSON and value is not None else value for name, value in named}
