"""Destinations with dials: real SQLite sinks whose process dies, or dawdles, at an exact moment."""

import itertools
import os
import signal
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from ray_import.chunks.rows import ConversationRows, ImportJob
from ray_import.destinations.base import Sink, WriteResult
from ray_import.destinations.registry import SqliteDestination
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.errors import ConfigError, SinkBusy
from ray_import.records import Reject


@dataclass(frozen=True, slots=True)
class Dials:
    """When to fail. `once` files make a death happen a single time, in whichever process comes first."""

    die_before_commit_once: Path | None = None
    die_after_commit_once: Path | None = None
    poison_conversation: str | None = None
    endless_conversations: Container[str] = ()
    """At which of them the process computes without end."""
    seconds_per_write: float = 0.0
    busy_at_opening: tuple[int, ...] = ()
    """At which of the workers' openings, from 0, the destination is away."""
    misconfigured_at_opening: Container[int] = ()
    """At which of them the worker's machine has a wrong setting."""


class DialledSink(SqliteSink):
    """A SQLite sink that does what its dials say."""

    dials = Dials()

    def write(
        self,
        job: ImportJob,
        settings_hash: str,
        conversations: Sequence[ConversationRows],
        rejects: Sequence[Reject],
        settled: Sequence[str] = (),
    ) -> list[WriteResult]:
        if any(rows.conversation_id == self.dials.poison_conversation for rows in conversations):
            _die()
        while any(rows.conversation_id in self.dials.endless_conversations for rows in conversations):
            pass
        _die_once(self.dials.die_before_commit_once)
        time.sleep(self.dials.seconds_per_write)
        replaced = super().write(job, settings_hash, conversations, rejects, settled)
        _die_once(self.dials.die_after_commit_once)
        return replaced


@dataclass(frozen=True, slots=True)
class DialledDestination(SqliteDestination):
    """Opens a sink with dials in the workers."""

    dials: Dials = Dials()

    def open(self, *, create: bool = True) -> Sink:
        opened_before = -1 if create else self._opened_before()
        if opened_before in self.dials.busy_at_opening:
            raise SinkBusy("The database is away.")
        if opened_before in self.dials.misconfigured_at_opening:
            raise ConfigError("A setting is wrong.")
        sink = DialledSink(self.path, create=create)
        sink.dials = self.dials
        return sink

    def _opened_before(self) -> int:
        """How often, by whichever process; once more now."""
        marks = self.path.with_suffix(".opened")
        marks.mkdir(exist_ok=True)
        for number in itertools.count():
            try:
                (marks / str(number)).touch(exist_ok=False)
            except FileExistsError:
                continue
            return number
        raise AssertionError


def _die_once(mark: Path | None) -> None:
    if mark is None:
        return
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return
    _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
