"""What comes of a file: of its import, a second one, `inspect` and `extract`."""

import os
import time
import traceback
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from ray_import.destinations.base import Job
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.errors import ImporterError
from ray_import.pipeline.inspection import Inspection, extracted, inspect_sources
from ray_import.pipeline.report import Summary
from ray_import.pipeline.sources import open_sources
from ray_import.records import Conversation
from ray_import.settings import FlowLimits, ImportSettings, ReadLimits
from tests.fuzz.exports import GoodExport
from tests.fuzz.mutation import Mutation
from tests.unit.pipeline.runs import Database, Row

MEMORY = Path("/dev/shm")

OF_THE_OTHER_COPY = "other_hash"
"""A conversation's row may remember a copy that was passed over: that is no part of its own."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A conversation as it is in the database."""

    ledger: Row
    chunks: list[Row]


@dataclass(slots=True)
class Outcome:
    """What came of a file: of its import, a second one, `inspect` and `extract`."""

    summary: Summary | None = None
    error: ImporterError | None = None
    job: Job | None = None
    tables: dict[str, list[Row]] = field(default_factory=dict)
    again: Summary | None = None
    tables_again: dict[str, list[Row]] = field(default_factory=dict)
    inspection: Inspection | ImporterError | None = None
    extracted: list[object] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def status(self) -> str:
        """How the import ended, for the table."""
        return "fault" if self.faults else self.summary.status if self.summary else "refused"

    @property
    def failure(self) -> ImporterError | None:
        """What the import ended with, before or after it began."""
        return self.error or (self.summary.error if self.summary else None)

    def stored(self) -> dict[str, Stored]:
        """The conversations that are in, by the hash of their bytes."""
        return stored_in(self.tables)


def stored_in(tables: Mapping[str, list[Row]]) -> dict[str, Stored]:
    """The conversations in these tables, by the hash of their bytes."""
    chunks: dict[str, list[Row]] = {}
    for row in tables.get("conversation_chunks", []):
        chunks.setdefault(row["conversation_id"], []).append(row)
    ledger = tables.get("imported_conversations", [])
    return {
        row["content_hash"]: Stored(
            {name: value for name, value in row.items() if name != OF_THE_OTHER_COPY},
            chunks.get(row["conversation_id"], []),
        )
        for row in ledger
    }


class Unbroken:
    """The imports of good exports, each made once."""

    def __init__(self) -> None:
        self._by_number: dict[int, Outcome] = {}

    def outcome(self, export: GoodExport) -> Outcome:
        """What comes of the export as it was."""
        if export.number not in self._by_number:
            self._by_number[export.number] = import_once(export.written(), ImportSettings())
        return self._by_number[export.number]


def _folder() -> TemporaryDirectory[str]:
    """In memory where that can be: most of the time of so small an import is waiting for a disk."""
    return TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None)


def import_once(data: bytes, settings: ImportSettings) -> Outcome:
    """Imports a file, and no more than that."""
    with _folder() as folder:
        path = Path(folder) / "conversations.json"
        path.write_bytes(data)
        database = Database(Path(folder) / "chunks.db")
        return Outcome(summary=database.imported(path, settings=settings), tables=database.content())


def outcome_of(mutation: Mutation) -> Outcome:
    """Imports the file twice, and looks at it with `inspect` and `extract`; faults are kept, not raised."""
    settings = ImportSettings(
        read=ReadLimits(window_bytes=mutation.window_bytes), flow=FlowLimits(batch_bytes=mutation.batch_bytes)
    )
    outcome = Outcome()
    began = time.monotonic()
    with _folder() as folder:
        path = Path(folder) / mutation.name
        path.write_bytes(mutation.file)
        database = Database(Path(folder) / "chunks.db")
        for step in (_first_import, _second_import, _inspect, _extract):
            try:
                step(outcome, path, settings, database)
            except Exception as fault:  # noqa: BLE001 - whatever it is, it is what is looked for
                where = traceback.extract_tb(fault.__traceback__)[-1]
                name = step.__name__.strip("_")
                outcome.faults.append(f"{name} raised {fault!r:.200} in {where.filename}:{where.lineno}")
    outcome.seconds = time.monotonic() - began
    return outcome


def _first_import(outcome: Outcome, path: Path, settings: ImportSettings, database: Database) -> None:
    try:
        outcome.summary = database.imported(path, settings=settings)
    except ImporterError as error:
        outcome.error = error
        return
    outcome.tables = database.content()
    with closing(SqliteSink(database.path)) as sink:
        outcome.job = sink.jobs()[0]


def _second_import(outcome: Outcome, path: Path, settings: ImportSettings, database: Database) -> None:
    if outcome.summary is not None:
        outcome.again = database.imported(path, settings=settings)
        outcome.tables_again = database.content()


def _inspect(outcome: Outcome, path: Path, settings: ImportSettings, _: Database) -> None:
    try:
        outcome.inspection = inspect_sources(open_sources([path], settings.read), settings)
    except ImporterError as error:
        outcome.inspection = error


def _extract(outcome: Outcome, path: Path, settings: ImportSettings, _: Database) -> None:
    try:
        for found in extracted(open_sources([path], settings.read), settings):
            outcome.extracted.append(found)
            if isinstance(found, Conversation):
                orjson.dumps(
                    [[m.node_id, m.parent_id, m.thread, m.role, m.text, m.attachments] for m in found.messages]
                )
    except ImporterError as error:
        outcome.extracted.append(error)
