"""Reads one export as a sequence of events: how it opened, its batches, how it ended."""

import time
from collections.abc import Generator
from dataclasses import replace

from ray_import.bulk.ports import Ended, Opened, ReadEvent
from ray_import.importing.batching import batches_of
from ray_import.importing.sources import ConversationSource, open_sources
from ray_import.records import Batch
from ray_import.settings import ImportSettings
from ray_import.source.address import label_of
from ray_import.source.patience import PATIENCE
from ray_import.source.version import version_of
from ray_import.source.waiting import Waiting


def read_export(
    source: str, known_version: str, settings: ImportSettings, *, gives_up: bool = False
) -> Generator[ReadEvent]:
    """Yields `Opened`, then each `Batch` with its payload as bytes, then `Ended`.

    Yields `Opened` alone if the source still has `known_version`. With `gives_up` a source on a slow server ends with
    SourceSlow. Raises ConfigError, SourceError and its kinds; SourceRefused after the batches that were read before.
    """
    began = time.perf_counter()
    # One for all that is asked of the server: the deadline is for the source as a whole.
    patience = replace(PATIENCE, waiting=Waiting(label_of(source), settings.read, gives_up=gives_up))
    version = version_of(source, patience, settings.read.sources)
    if version and version == known_version:
        yield Opened(version, None, time.perf_counter() - began)
        return
    sources = open_sources([source], settings.read, patience)
    yield Opened(version, sources.bytes_total, time.perf_counter() - began)
    yield from read_batches(sources, settings.flow.batch_bytes)


def read_batches(source: ConversationSource, batch_bytes: int) -> Generator[Batch | Ended]:
    """Yields the batches of a source that is open, then `Ended`. Keeps no reference to a batch that was yielded."""
    began = time.perf_counter()
    for batch in batches_of(source.conversations(), batch_bytes):
        yield replace(batch, bytes_read=source.bytes_read, seconds=time.perf_counter() - began)
        del batch  # its payload may be large, and the next one is read now
        began = time.perf_counter()  # excludes the time in which nobody asked for more
    yield Ended(tuple(source.problems), source.bytes_read, source.may_be_empty, time.perf_counter() - began)
