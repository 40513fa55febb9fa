"""Readers that read in this process, one batch per poll."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ray_import.bulk.ports import Opened, ReadEvent
from ray_import.bulk.reading import read_batches, read_export
from ray_import.importing.sources import ConversationSource
from ray_import.records import Problem
from ray_import.settings import ImportSettings
from ray_import.source.address import address_of


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
        """See `Reading.close`."""
        self._events.close()


@dataclass(frozen=True, slots=True)
class LocalReaders:
    """See `Readers`."""

    settings: ImportSettings

    def read(self, source: str, known_version: str, *, gives_up: bool = False) -> LocalReading:
        """See `Readers.read`."""
        address_of(source)
        return LocalReading(read_export(source, known_version, self.settings, gives_up=gives_up))


def read_opened(source: ConversationSource, settings: ImportSettings) -> LocalReading:
    """Reads a source that is open already; its version is unknown."""
    return LocalReading(_events_of(source, settings.flow.batch_bytes), source.problems)


def _events_of(source: ConversationSource, batch_bytes: int) -> Generator[ReadEvent]:
    yield Opened("", source.bytes_total)
    yield from read_batches(source, batch_bytes)
