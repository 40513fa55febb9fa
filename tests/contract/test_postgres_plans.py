"""What a call reads follows what it is asked, not what is in: also where Postgres knows nothing yet of a table that has
grown in one session, and keeps the plans that it made when it was empty."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from ray_import.destinations.postgres.rows import batch_of, chunk_object, message_object
from ray_import.destinations.profiles import values_of
from tests.contract.destinations import SETTINGS, import_of, rows_for
from tests.contract.profiles import answered, fact_of, request_of, unit_of
from tests.support.gateway.postgres import Database

Connection = psycopg.Connection[Any]

ASKED, BATCHES = 50, 40
MOST_READ = 12 * ASKED
"""Rows of tables, all in all; a user has 40 times as many as are asked for."""

KNOWN = "SELECT ray_import_known('u1', 'chatgpt', %s, %s)"
MARK_SEEN = "SELECT ray_import_mark_seen('other', 'u1', 'chatgpt', %s, %s)"
WRITE = "SELECT ray_import_write(%s, %s::json, %s::json)"


def write(db: Connection, number: int, version: str = "v1") -> None:
    """Puts in the batch of that number, of an import of its own."""
    job = import_of(number)
    rows = [rows_for(f"{number}-{i}", version=version, job=job) for i in range(ASKED)]
    chunks = [chunk_object(chunk) for one in rows for chunk in one.chunks]
    messages = [message_object(message) for one in rows for message in one.messages]
    db.execute(WRITE, (Jsonb(batch_of(job, SETTINGS, rows, [], [])), Jsonb(chunks), Jsonb(messages)))


def known(db: Connection, number: int) -> None:
    """Asks for that batch's hashes."""
    db.execute(KNOWN, (SETTINGS, Jsonb([f"{number}-{i}-v1" for i in range(ASKED)])))


def mark_seen(db: Connection, number: int) -> None:
    """Marks one half by its hashes, the other by its ids."""
    hashes = [f"{number}-{i}-v1" for i in range(0, ASKED, 2)]
    db.execute(MARK_SEEN, (Jsonb(hashes), Jsonb([f"{number}-{i}" for i in range(1, ASKED, 2)])))


def page(db: Connection) -> None:
    """Reads the first conversations, and the messages of one."""
    db.execute("SELECT ray_import_profile_conversations('u1', '', '', %s)", (ASKED,))
    db.execute("SELECT ray_import_profile_messages('u1', %s, 1000000)", (Jsonb([["chatgpt", "3-1"]]),))


def read_by(db: Connection, work: Callable[[], object]) -> int:
    """The rows of tables that were read for it."""
    with db.transaction():
        before = _read(db)
        work()
        return _read(db) - before


def _read(db: Connection) -> int:
    """In this transaction, and in those before it that are not counted yet."""
    row = db.execute(
        "SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0) FROM pg_stat_xact_user_tables"
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(lambda db: known(db, 3), id="known"),
        pytest.param(lambda db: mark_seen(db, 3), id="seen"),
        pytest.param(page, id="page"),
        pytest.param(lambda db: write(db, BATCHES), id="new"),
        pytest.param(lambda db: write(db, 3, "v2"), id="again"),
    ],
)
def test_what_is_read_does_not_grow_with_what_is_in(
    migrated_database: Database, asked: Callable[[Connection], None]
) -> None:
    with migrated_database.connected(prepare_threshold=None) as db:
        for number in range(BATCHES):
            known(db, number)
            write(db, number)
            mark_seen(db, number)
            page(db)
        assert read_by(db, lambda: asked(db)) <= MOST_READ


FACTS = 10
"""Per request; each is of a unit of its own."""


def settle(db: Connection, number: int) -> None:
    """Saves the request of that number, and settles it with units and facts."""
    request = request_of(0, id=f"r{number}")
    units = [unit_of(0, id=f"u{number}-{i}") for i in range(FACTS)]
    facts = [fact_of(0, id=f"f{number}-{i}", unit_id=f"u{number}-{i}") for i in range(FACTS)]
    db.execute("SELECT ray_import_profile_save_requests('u1', %s)", (Jsonb([values_of(request)]),))
    arguments = [Jsonb(values_of(answered(request))), *(Jsonb(list(map(values_of, rows))) for rows in (units, facts))]
    db.execute("SELECT ray_import_profile_settle('u1', 's', %s, %s, %s, '[]')", arguments)


def drop(db: Connection, number: int) -> None:
    """Drops one unit of the request of that number."""
    db.execute("SELECT ray_import_profile_drop_units('u1', %s)", (Jsonb([f"u{number}-0"]),))


def replace_units(db: Connection, number: int) -> None:
    """Replaces one unit of the request of that number by another one."""
    fact = fact_of(0, id=f"f{number}-x", unit_id=f"u{number}-x")
    ids, facts = Jsonb([f"u{number}-1"]), Jsonb([values_of(fact)])
    db.execute("SELECT ray_import_profile_replace_units('u1', %s, %s)", (ids, facts))


def merge(db: Connection, number: int) -> None:
    """Updates the facts of the request of that number."""
    rows = [{"id": f"f{number}-{i}", "status": "active", "seen": 2} for i in range(FACTS)]
    db.execute("SELECT ray_import_profile_update_facts('u1', %s)", (Jsonb(rows),))


def read_facts(db: Connection, number: int) -> None:
    """Reads the first page of facts, and of units."""
    db.execute("SELECT ray_import_profile_facts('u1', '', %s)", (FACTS,))
    db.execute("SELECT ray_import_profile_units('u1', '', %s)", (2 * FACTS,))


def read_requests(db: Connection, number: int) -> None:
    """Reads the first page of requests."""
    db.execute("SELECT ray_import_profile_requests('u1', '[]', '', %s)", (2 * FACTS,))


def keep(db: Connection, number: int) -> None:
    """Sets the hash of the units of the request of that number."""
    ids = [f"u{number}-{i}" for i in range(FACTS)]
    db.execute("SELECT ray_import_profile_keep_units('u1', %s, 'x')", (Jsonb(ids),))


@pytest.mark.parametrize("work", [settle, drop, replace_units, merge, read_facts, read_requests, keep])
def test_profile_reads_what_it_is_asked_for_when_there_is_much(
    migrated_database: Database, work: Callable[[Connection, int], None]
) -> None:
    with migrated_database.connected(prepare_threshold=None) as db:
        db.execute("SELECT ray_import_profile_start('u1', 'run-1', 'host/1', now(), 60)")
        for number in range(80):
            settle(db, number)
            drop(db, number)
            merge(db, number)
            read_facts(db, number)
            keep(db, number)
            read_requests(db, number)
        assert read_by(db, lambda: work(db, 80 if work is settle else 40)) <= 6 * FACTS
