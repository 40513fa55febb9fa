"""Reads one export as a sequence of events: how it opened, its batches, how it ended."""

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from ray_import.pipeline.batching import batches_of
from ray_import.pipeline.executor import ReadEvent, ReadFinished, ReadStarted
from ray_import.pipeline.sources import ConversationSource, open_sources
from ray_import.records import Batch, Problem
from ray_import.settings import ImportSettings
from ray_import.source.address import address_of, label_of
from ray_import.source.patience import PATIENCE
from ray_import.source.version import version_of
from ray_import.source.waiting import Waiting


def read_export(
    source: str, known_version: str, settings: ImportSettings, *, gives_up: bool = False
) -> Generator[ReadEvent]:
    """Yields `ReadStarted`, then each `Batch` with its payload as bytes, then `ReadFinished`.

    Yields `ReadStarted` alone if the source still has `known_version`. With `gives_up` a source on a slow server ends
    with SourceSlow. Raises ConfigError, SourceError and its kinds; SourceRefused after the batches read before.
    """
    began = time.perf_counter()
    # One for all that is asked of the server: the deadline is for the source as a whole.
    patience = replace(PATIENCE, waiting=Waiting(label_of(source), settings.read, gives_up=gives_up))
    version = version_of(source, patience, settings.read.sources)
    if version and version == known_version:
        yield ReadStarted(version, None, time.perf_counter() - began)
        return
    sources = open_sources([source], settings.read, patience)
    yield ReadStarted(version, sources.bytes_total, time.perf_counter() - began)
    yield from read_batches(sources, settings.flow.batch_bytes)


def read_batches(source: ConversationSource, batch_bytes: int) -> Generator[Batch | ReadFinished]:
    """Yields the batches of a source that is open, then `ReadFinished`. Keeps no reference to a yielded batch."""
    began = time.perf_counter()
    for batch in batches_of(source.conversations(), batch_bytes):
        yield replace(batch, bytes_read=source.bytes_read, seconds=time.perf_counter() - began)
        del batch  # its payload may be large, and the next one is read now
        began = time.perf_counter()  # excludes the time in which nobody asked for more
    yield ReadFinished(tuple(source.problems), source.bytes_read, source.may_be_empty, time.perf_counter() - began)


class LocalReading:
    """See `Reading`. Each `poll` reads until there is an event; it never returns None."""

    waits_on: ClassVar[None] = None
    of_server: ClassVar[bool] = False

    def __init__(self, events: Generator[ReadEvent], problems: Sequence[Problem] = ()) -> None:
        self._events = events
        self.problems = problems

    def poll(self) -> ReadEvent:
        """See `Reading.poll`. A payload is bytes."""
        return next(self._events)

    def close(self) -> None:
        self._events.close()


@dataclass(frozen=True, slots=True)
class LocalReaders:
    settings: ImportSettings

    def read(self, source: str, known_version: str, *, gives_up: bool = False) -> LocalReading:
        address_of(source)
        return LocalReading(read_export(source, known_version, self.settings, gives_up=gives_up))


def read_opened(source: ConversationSource, settings: ImportSettings) -> LocalReading:
    """Reads a source that is open already; its version is unknown."""
    return LocalReading(_events_of(source, settings.flow.batch_bytes), source.problems)


def _events_of(source: ConversationSource, batch_bytes: int) -> Generator[ReadEvent]:
    yield ReadStarted("", source.bytes_total)
    yield from read_batches(source, batch_bytes)
