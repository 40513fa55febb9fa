"""One peer's import in a process tree of its own, measured from outside."""

import hashlib
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.first_chunk import FirstChunk
from benchmarks.metering import Meter
from benchmarks.phases import running


@dataclass(frozen=True, slots=True)
class PeerRun:
    """What one run of a peer cost.

    `whole_*` is from the start of the process to its end: Python, imports and Ray's start and stop are in it. (The
    CPU of a stop is not.) `seconds` and `cpu_seconds` are of the work, from when all of that is up to the last
    commit. `first_chunk_seconds` begin with the process. `peak_pss_bytes` is of the whole tree. `rows` is equal
    for equal rows.
    """

    json_bytes: int
    whole_seconds: float
    seconds: float
    first_chunk_seconds: float
    whole_cpu_seconds: float
    cpu_seconds: float
    peak_pss_bytes: int
    rows: str

    @property
    def megabytes_per_second(self) -> float:
        return self.json_bytes / 1e6 / self.seconds

    @property
    def cpu_ms_per_megabyte(self) -> float:
        return 1000 * self.cpu_seconds / (self.json_bytes / 1e6)


def measure_peer(peer: str, export: Path, database: Path, workers: int) -> PeerRun:
    """Lets `peer` import `export` into the new file `database`, in a fresh process.

    It works as soon as it is up. (In benchmarks.import_export Ray may come to rest before, which takes longer and
    costs the import less: its daemons go on starting after `init`.)
    """
    began = time.monotonic()
    with running(f"benchmarks.peers.{peer}", export, database, workers) as (child, tree):
        with Meter(tree) as starting:
            child.reach("up")
        start_seconds = time.monotonic() - began
        with Meter(tree) as working, FirstChunk(database) as first_chunk:
            child.go_on()
            seconds = child.reach("done")["seconds"]
        ending = time.monotonic()
        child.end()
        end_seconds = time.monotonic() - ending
    return PeerRun(
        json_bytes=export.stat().st_size,
        whole_seconds=start_seconds + seconds + end_seconds,
        seconds=seconds,
        first_chunk_seconds=start_seconds + first_chunk.seconds,
        whole_cpu_seconds=starting.usage().cpu_seconds + working.usage().cpu_seconds,
        cpu_seconds=working.usage().cpu_seconds,
        peak_pss_bytes=max(starting.usage().peak_pss_bytes, working.usage().peak_pss_bytes),
        rows=digest_of_rows(database),
    )


def digest_of_rows(database: Path) -> str:
    """A hash of all that two imports of the same export must leave alike.

    Not the import's own id and time, and not the hash of the bytes, which a peer may have written anew.
    """
    digest = hashlib.sha256()
    with closing(sqlite3.connect(database)) as db:
        for query in (
            "SELECT id, user_id, conversation_id, thread, title, content, chunk_tier, chunk_index, chunk_count,"
            " token_count, message_count, node_ids, created_at FROM conversation_chunks ORDER BY id",
            "SELECT user_id, conversation_id, settings_hash, title, create_time, update_time, node_count,"
            " message_count, chunk_count FROM imported_conversations ORDER BY user_id, conversation_id",
            "SELECT user_id, reason, raw FROM import_rejects ORDER BY raw_hash",
        ):
            for row in db.execute(query):
                digest.update(repr(row).encode())
    return digest.hexdigest()[:16]
