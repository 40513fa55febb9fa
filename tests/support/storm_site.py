"""Where `benchmarks.chaos` takes place: machines that can be lost, exports on a server, a database behind a gateway.

The machines are nodes of one Ray on this machine, the exports lie on a small HTTP server, and the database is a real
Postgres behind the tests' stand-in for Supabase. Both servers can be told to fail one request in ten.
"""

import os
import random
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil

from ray_import.destinations.postgres.psycopg import PostgresDatabase
from tests.support.cluster.reimports import processes
from tests.support.cluster.several_nodes import add, lose, several_nodes
from tests.support.gateway import faults
from tests.support.gateway.postgres import Database, new_database, postgres_server, supabase_roles
from tests.support.gateway.server import Gateway, gateway
from tests.support.object_server import Fault as ObjectFault
from tests.support.object_server import ObjectServer, object_server
from tests.support.user_exports import Users, rows_left, users_of, write_users

BAD_SHARE = 0.05
FAULT_CHANCE = 0.1
MACHINES = 2
"""Beside the head, which works, too."""
MOST_REQUESTS = 100_000
GATEWAY_FAULTS = (
    faults.BAD_GATEWAY, faults.SCHEMA_LOADING, faults.POOL_EXHAUSTED, faults.DEADLOCK, faults.RESET_BEFORE,
    faults.RESET_AFTER,
)  # fmt: skip
OBJECT_FAULTS = (
    ObjectFault(502, b"<html>Bad Gateway</html>"), ObjectFault(503), ObjectFault(drop_after=5_000),
    ObjectFault(drop_after=0, ends_early=True),
)  # fmt: skip
TABLES = "conversation_chunks, imported_conversations, import_jobs, import_rejects, import_run_users, import_runs"


@dataclass(slots=True)
class Site:
    """What a storm may strike, and what a run needs to be started in it."""

    cluster: Any
    machines: list[Any]
    objects: ObjectServer
    gateway: Gateway
    database: Database

    def put(self, folder: Path, count: int, seed: int) -> Users:
        """Users of 20 to 150 KB, one in twenty of them bad, whose exports are on the server."""
        rng = random.Random(seed)
        bad = max(3, round(count * BAD_SHARE))
        third = bad // 3
        sizes = [rng.uniform(20, 150) for _ in range(count)]
        written = write_users(folder, sizes, missing=third, foreign=third, damaged=bad - 2 * third, seed=seed)
        self.objects.objects.clear()
        urls = {}
        for user, source in written.sources.items():
            with suppress(FileNotFoundError):
                self.objects.put(f"{user}.json", Path(source).read_bytes())
            urls[user] = self.objects.url(f"{user}.json")
        return users_of(folder / "served.csv", urls, written.expected)

    def fail_one_in_ten(self, seed: int) -> None:
        """From now on; the same ones for a seed, as far as requests come in the same order."""
        rng = random.Random(seed)
        for fault in GATEWAY_FAULTS:
            self.gateway.faults.add(fault, chance=FAULT_CHANCE / len(GATEWAY_FAULTS), seed=rng.randrange(2**32))
        asked = len(self.objects.asked)
        self.objects.faults = {
            asked + number: rng.choice(OBJECT_FAULTS) for number in range(MOST_REQUESTS) if rng.random() < FAULT_CHANCE
        }

    def fail_no_more(self) -> None:
        """From now on."""
        self.gateway.faults.clear()
        self.objects.faults = {}

    def lose_a_machine(self, rng: random.Random) -> None:
        """Without a word; another one joins."""
        lose(self.machines.pop(rng.randrange(len(self.machines))))
        self.machines.append(add(self.cluster, 1))

    def lose_a_worker(self, rng: random.Random) -> bool:
        """Kills one of the processes that work on batches or read exports, if there is one."""
        workers = processes(psutil.Process().pid, "ImportWorker", "import_batch", "read_export")
        with suppress(psutil.Error):
            for worker in rng.sample(workers, min(1, len(workers))):
                worker.kill()
                return True
        return False

    def left(self) -> dict[str, list[str]]:
        """Every table, but for times and the ids of imports and runs: of each user how they ended last, whether that
        export was read in that run or before."""
        with self.database.connected() as db:

            def fetch(query: str) -> list[tuple[Any, ...]]:
                return db.execute(query.encode()).fetchall()

            users = fetch(
                "SELECT DISTINCT ON (user_id) user_id, source, replace(state, 'skipped', 'complete'), version, error"
                " FROM import_run_users ORDER BY user_id, updated_at DESC"
            )
            jobs = fetch("SELECT user_id FROM import_jobs WHERE status = 'running'")
            runs = fetch("SELECT what FROM import_runs WHERE status = 'running'")
            return rows_left(fetch) | {
                "import_run_users": [repr(row) for row in users],
                "import_jobs": [repr(row) for row in jobs],
                "import_runs": [repr(row) for row in runs],
            }

    def clear(self) -> None:
        """Empties every table."""
        with self.database.connected() as db:
            db.execute(f"TRUNCATE {TABLES}".encode())


@contextmanager
def site() -> Iterator[Site]:
    """All of it is gone afterwards."""
    with postgres_server() as server, new_database(server) as database, object_server() as objects:
        supabase_roles(database)
        with closing(PostgresDatabase(database.dsn)) as opened:
            opened.migrate()
        with (
            gateway(database.dsn_as("authenticator")) as served,
            patch.dict(os.environ, SUPABASE_URL=served.url, SUPABASE_SERVICE_KEY=served.secret_key),
            several_nodes(1) as cluster,
        ):
            yield Site(cluster, [add(cluster, 1) for _ in range(MACHINES)], objects, served, database)
