"""Imports as the tests run them: in this process, into a real SQLite file."""

import sqlite3
import time
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ray_import.chunks.rows import ImportJob, iso_time
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.pipeline.batch import BatchContext
from ray_import.pipeline.one_user import import_user
from ray_import.pipeline.progress import Progress
from ray_import.pipeline.report import Summary
from ray_import.pipeline.sources import ConversationSource, open_sources
from ray_import.records import Counts
from ray_import.settings import FlowLimits, ImportSettings
from tests.support.in_process import InProcessWorkers

SETTINGS = ImportSettings()
STARTED_AT = 1_790_000_000.0
TABLES = ("conversation_chunks", "conversation_messages", "imported_conversations", "import_rejects")
OF_ONE_RUN = {"import_id", "seen_in", "imported_at", "is_recent"}
"""Columns that say by which import, and when, a row was made."""

Row = dict[str, Any]


def a_millisecond_later() -> None:
    """Times in the database are kept to the millisecond: what is said from here on is later than what was."""
    now = iso_time(time.time())
    while iso_time(time.time()) == now:
        pass


def batches_of_bytes(batch_bytes: int, settings: ImportSettings = SETTINGS) -> ImportSettings:
    """`settings` with batches of that size; 1 makes each conversation a batch."""
    return replace(settings, flow=FlowLimits(batch_bytes=batch_bytes))


@dataclass(slots=True)
class Recorded:
    """A reporter that keeps what it is told."""

    shown: list[tuple[int, float | None, int]] = field(default_factory=list)

    def show(self, progress: Progress) -> None:
        """See `Reporter.show`."""
        self.shown.append((progress.bytes_read, progress.bytes_share, progress.conversations))


@dataclass(slots=True)
class Database:
    """A SQLite file, what is imported into it, and what is in it then."""

    path: Path
    imports: int = 0

    def imported(self, *paths: Path, settings: ImportSettings = SETTINGS, user_id: str = "u1") -> Summary:
        """Imports `paths` as one run."""
        return self.imported_from(open_sources(paths, settings.read), settings, user_id)

    def imported_from(
        self,
        source: ConversationSource,
        settings: ImportSettings = SETTINGS,
        user_id: str = "u1",
        *,
        retries: bool = False,
        prune: bool = False,
    ) -> Summary:
        """Imports `source` as one run; runs are numbered from 1 and a second apart."""
        self.imports += 1
        work = BatchContext(
            ImportJob(f"import-{self.imports}", user_id, STARTED_AT + self.imports), settings, retries, prune
        )
        with closing(SqliteSink(self.path)) as sink:
            return import_user(source, work, sink, f"sqlite:///{self.path}", lambda: InProcessWorkers(sink), Recorded())

    def rows(self, query: str, *values: object) -> list[Any]:
        """What `query` finds, as a connection of its own sees it."""
        with closing(sqlite3.connect(self.path)) as db:
            return db.execute(query, values).fetchall()

    def dump(self, *, without: Collection[str] = ()) -> dict[str, list[Row]]:
        """All rows of all tables but the jobs', sorted."""
        found = {}
        with closing(sqlite3.connect(self.path)) as db:
            for table in TABLES:
                cursor = db.execute(f"SELECT * FROM {table}")
                names = [column[0] for column in cursor.description]
                rows = [{k: v for k, v in zip(names, row, strict=True) if k not in without} for row in cursor]
                found[table] = sorted(rows, key=lambda row: [repr(value) for value in row.values()])
        return found

    def content(self) -> dict[str, list[Row]]:
        """`dump` without what tells runs apart: equal for equal rows, whoever made them."""
        return self.dump(without=OF_ONE_RUN)

    def watch(self) -> None:
        """From now on every change of a row, by anybody, is remembered by the file itself."""
        with closing(sqlite3.connect(self.path)) as db:
            db.execute("CREATE TABLE watched (change TEXT)")
            for table in TABLES:
                for what in ("INSERT", "UPDATE", "DELETE"):
                    db.execute(
                        f"CREATE TRIGGER watch_{table}_{what} AFTER {what} ON {table}"
                        f" BEGIN INSERT INTO watched VALUES ('{what} {table}'); END"
                    )

    def changes(self) -> list[str]:
        """What was changed since `watch`."""
        return [change for (change,) in self.rows("SELECT change FROM watched")]


def conversation_counts(counts: Counts) -> dict[str, int]:
    """The conversation counts that are not nought."""
    names = ("seen", "imported", "unchanged", "empty", "rejected", "not_a_conversation")
    return {name: getattr(counts, name) for name in names if getattr(counts, name)}


def add_up(counts: Counts) -> bool:
    """Whether what was seen is the sum of what became of it."""
    found = conversation_counts(counts)
    return found.pop("seen", 0) == sum(found.values())
