"""Made-up exports of many users, what has to come of them, and what did."""

import csv
import random
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.exports import with_nan
from ray_import.chunks.rows import ImportJob
from ray_import.destinations.base import Destination
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.one_user import import_user
from ray_import.pipeline.progress import NoReporter
from ray_import.pipeline.sources import open_sources
from ray_import.settings import ImportSettings, ReadLimits
from tests.support.generate import _write
from tests.support.in_process import InProcessWorkers
from tests.support.synthetic.conversations import Account

STARTED_AT = 1_760_000_000.0
COMPARED = {
    "conversation_chunks": "id, user_id, conversation_id, thread, title, content, chunk_tier, chunk_index, chunk_count,"
    " token_count, message_count, node_ids, created_at",
    "imported_conversations": "user_id, conversation_id, content_hash, settings_hash, title, create_time, update_time,"
    " node_count, message_count, chunk_count",
    "import_rejects": "user_id, source_member, position, conversation_id, reason, raw, raw_hash",
}
"""What two imports of the same exports have to leave alike: all but ids of imports and times."""


@dataclass(frozen=True, slots=True)
class Users:
    """The users of a manifest: where each one's export is, and the state in which a run has to leave them."""

    manifest: Path
    sources: Mapping[str, str]
    expected: Mapping[str, str]

    def in_state(self, state: str) -> list[str]:
        """The users that have to end so."""
        return sorted(user for user, expected in self.expected.items() if expected == state)


def write_users(
    folder: Path, sizes: Sequence[float], *, missing: int = 0, foreign: int = 0, damaged: int = 0, seed: int = 0
) -> Users:
    """A user for each of `sizes` (in KB), and a manifest. Some of them, by chance, lack their file, have one that is no
    export, or one with a conversation that cannot be read."""
    account, rng = Account(seed, "full"), random.Random(seed)
    users = [f"user-{number:05}" for number in range(len(sizes))]
    bad = rng.sample(users, missing + foreign + damaged)
    without, with_other = set(bad[:missing]), set(bad[missing : missing + foreign])
    with_damage = set(bad[missing + foreign :])
    sources = {user: folder / f"{user}.json" for user in users}
    for user, kilobytes in zip(users, sizes, strict=True):
        if user in with_other:
            sources[user].write_text('{"invoices": [1, 2, 3]}')
        elif user not in without:
            with sources[user].open("wb") as file:
                _write(file.write, kilobytes / 1000, account)
            if user in with_damage:
                damage_the_first(sources[user])
    return users_of(
        folder / "users.csv",
        {user: str(source) for user, source in sources.items()},
        dict.fromkeys(without | with_other, "failed") | dict.fromkeys(with_damage, "partial"),
    )


def users_of(manifest: Path, sources: Mapping[str, str], expected: Mapping[str, str]) -> Users:
    """Writes the manifest of users of whom those not in `expected` are to be complete."""
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("user_id", "source"), *sources.items()])
    return Users(manifest, sources, dict.fromkeys(sources, "complete") | dict(expected))


def damage_the_first(export: Path) -> None:
    """Makes the first conversation one that no strict decoder reads."""
    raws = [raw.data for raw in open_sources([export], ReadLimits()).conversations()]
    export.write_bytes(b"[" + b",".join([with_nan(raws[0]), *raws[1:]]) + b"]")


def import_one_by_one(users: Mapping[str, str], destination: Destination) -> None:
    """The same by as many plain imports in this process, without Ray."""
    settings = ImportSettings()
    for user_id, source in users.items():
        work = BatchContext(ImportJob(str(uuid.uuid4()), user_id, STARTED_AT), settings)
        with closing(destination.open()) as sink:
            opened = open_sources([source], settings.read)
            import_user(opened, work, sink, destination.url, lambda: InProcessWorkers(sink), NoReporter())


def rows_left(fetch: Callable[[str], Iterable[tuple[Any, ...]]]) -> dict[str, list[str]]:
    """What is in a destination, in an order of its own."""
    return {
        table: sorted(repr(tuple(row)) for row in fetch(f"SELECT {columns} FROM {table}"))
        for table, columns in COMPARED.items()
    }


def rows_in(database: Path) -> dict[str, list[str]]:
    """The same of a SQLite file."""
    return rows_left(lambda query: query_in(database, query))


def query_in(database: Path, query: str) -> list[tuple[Any, ...]]:
    """Reads a SQLite file that another process may be writing; nothing, while its tables are not there yet."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as db:
            return db.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []


def done_in(database: Path) -> int:
    """How many users of the runs in there are done with."""
    found = query_in(database, "SELECT count(*) FROM import_run_users WHERE state NOT IN ('pending', 'running')")
    return int(found[0][0]) if found else 0
