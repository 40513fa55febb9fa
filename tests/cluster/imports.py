"""Imports as the tests make them, and what they leave behind."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import ray

from ray_import.chunks.rows import ImportJob
from ray_import.cluster.pool import WorkerPool
from ray_import.cluster.session import Session
from ray_import.destinations.base import Destination, Sink
from ray_import.destinations.registry import SqliteDestination
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.one_user import OwnWorkers, import_user
from ray_import.pipeline.progress import NoReporter, Reporter
from ray_import.pipeline.report import Summary
from ray_import.pipeline.sources import open_sources
from ray_import.settings import FlowLimits, ImportSettings
from tests.support.cluster import dials
from tests.support.in_process import InProcessWorkers

ray.cloudpickle.register_pickle_by_value(dials)  # workers need not find the tests

STARTED_AT = 1_760_000_000.0
MakeWorkers = Callable[[FlowLimits, Sink], OwnWorkers]


def import_file(
    export: Path,
    destination: Destination,
    make_workers: MakeWorkers,
    *,
    batch_bytes: int = 64 * 1024,
    max_batch_seconds: int = FlowLimits().max_batch_seconds,
    reporter: Reporter | None = None,
) -> Summary:
    """Imports `export` in small batches, so that there are many."""
    settings = ImportSettings(flow=FlowLimits(batch_bytes=batch_bytes, max_batch_seconds=max_batch_seconds))
    work = BatchContext(ImportJob(f"import-{time.monotonic_ns()}", "ada", STARTED_AT), settings)
    with closing(destination.open()) as sink:
        sources = open_sources([export], settings.read)
        return import_user(
            sources, work, sink, destination.url, lambda: make_workers(settings.flow, sink), reporter or NoReporter()
        )


def on_ray(session: Session, destination: Destination, workers: int = 2) -> MakeWorkers:
    """Makes a pool of real actors."""
    return lambda flow, sink: WorkerPool(session, workers, flow, destination, sink)


def inline(_flow: FlowLimits, sink: Sink) -> OwnWorkers:
    """Makes workers of this process."""
    return InProcessWorkers(sink)


def at(path: Path) -> SqliteDestination:
    """The SQLite destination at `path`."""
    return SqliteDestination(f"sqlite:///{path}", path)


def tables(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """What two imports of the same export have to leave alike: all but the import's own id and times."""
    with closing(sqlite3.connect(path)) as db:
        return {
            "chunks": db.execute(
                "SELECT id, user_id, conversation_id, thread, title, content, chunk_tier, chunk_index, chunk_count,"
                " token_count, message_count, node_ids, spans, created_at FROM conversation_chunks ORDER BY id"
            ).fetchall(),
            "messages": db.execute(
                "SELECT user_id, product, conversation_id, node_id, parent_id, thread, on_active_path, position, role,"
                " created_at, model, text, quoted, attachments FROM conversation_messages"
                " ORDER BY user_id, product, conversation_id, node_id"
            ).fetchall(),
            "ledger": db.execute(
                "SELECT user_id, conversation_id, content_hash, settings_hash, title, create_time, update_time,"
                " node_count, message_count, chunk_count FROM imported_conversations ORDER BY user_id, conversation_id"
            ).fetchall(),
            "rejects": db.execute(
                "SELECT user_id, source_member, position, reason, raw FROM import_rejects"
                " ORDER BY source_member, position"
            ).fetchall(),
        }
