"""What a run over many users needs: exports that are read somewhere, and workers for their batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ray_import.errors import ImporterError
from ray_import.pipeline.batch import BatchContext
from ray_import.records import Batch, BatchResult, Problem


@dataclass(frozen=True, slots=True)
class ReadStarted:
    """The first thing a reader tells: which version of the export it is, and how many bytes of JSON, if that is known.

    Nothing follows if this version was imported before. `seconds`, here and in what follows, is how long
    the reader has worked since what it told before.
    """

    version: str
    bytes_total: int | None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ReadFinished:
    """The last thing a reader tells: what was wrong with the export, and whether it may hold no conversation at all."""

    problems: tuple[Problem, ...]
    bytes_read: int
    may_be_empty: bool
    seconds: float = 0.0


ReadEvent = ReadStarted | Batch | ReadFinished
"""What a reader gives, in this order; any number of batches."""


class Reading(Protocol):
    """An export that is read somewhere, no further ahead than a few batches."""

    @property
    def of_server(self) -> bool:
        """Whether the export lies on a server, which may be slow."""

    @property
    def problems(self) -> Sequence[Problem]:
        """What is known to be wrong with the export so far; empty where only `ReadFinished` tells."""

    @property
    def waits_on(self) -> Any:
        """What `Workers.wait` may be given to wake up when there is more; None where there is more already."""

    def poll(self) -> ReadEvent | None:
        """What has come, in order; None where nothing has yet. Raises the ImporterError that ended the reading."""

    def close(self) -> None:
        """Stops reading."""


class Readers(Protocol):
    """Begins to read exports."""

    def read(self, source: str, known_version: str, *, gives_up: bool = False) -> Reading:
        """Reads `source`, unless it is of the version that is known. With `gives_up` the reading of a source on a slow
        server ends with SourceSlow."""


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """A batch, or a part of one that was split, that is done with: its `result`, or the `error` that it ended with.

    `conversations` and `size_bytes` are its own: those of a batch's parts add up to the batch's.
    """

    work: BatchContext
    conversations: int
    size_bytes: int
    result: BatchResult | None = None
    error: ImporterError | None = None


class Workers(Protocol):
    """The pool: see `ray_import.cluster.pool.WorkerPool`."""

    @property
    def budget_bytes(self) -> int:
        """How much may be in flight in all; a batch beyond that is taken where nothing else is."""

    def has_room(self, size_bytes: int) -> bool:
        """Whether a batch of that size may be submitted now."""

    def submit(self, batch: Batch, work: BatchContext) -> None:
        """Takes a batch that was read. Raises ClusterError where its payload finds no room."""

    def wait(self, timeout_seconds: float, also: Sequence[Any] = ()) -> Sequence[BatchOutcome]:
        """Waits for results, or for one of `also`."""
