"""The ports of the engine: readers of exports, and workers for their batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ray_import.errors import ImporterError
from ray_import.pipeline.batch import BatchContext
from ray_import.records import Batch, BatchResult, Problem


@dataclass(frozen=True, slots=True)
class ReadStarted:
    """The first event of a reader: the version of the export, and its bytes of JSON, if known.

    Nothing follows if this version was imported before. `seconds`, here and in what follows, is how long
    the reader has worked since what it told before.
    """

    version: str
    bytes_total: int | None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ReadFinished:
    """The last event of a reader: the problems of the export, and whether it may hold no conversation at all."""

    problems: tuple[Problem, ...]
    bytes_read: int
    may_be_empty: bool
    seconds: float = 0.0


ReadEvent = ReadStarted | Batch | ReadFinished
"""The events of a reader, in this order, with any number of batches."""


class Reading(Protocol):
    """An export that is being read, at most a few batches ahead."""

    @property
    def of_server(self) -> bool:
        """Whether the export lies on a server, which may be slow."""

    @property
    def problems(self) -> Sequence[Problem]:
        """The problems of the export that are known so far; empty where only `ReadFinished` has them."""

    @property
    def waits_on(self) -> Any:
        """What `Workers.wait` can wait for until there is more; None if there is more already."""

    def poll(self) -> ReadEvent | None:
        """Returns the next event; None if there is none yet. Raises the ImporterError that ended the reading."""

    def close(self) -> None:
        """Stops reading."""


class Readers(Protocol):
    """Starts readers of exports."""

    def read(self, source: str, known_version: str, *, gives_up: bool = False) -> Reading:
        """Reads `source`, unless it is of the version that is known. With `gives_up` the reading of a source on a slow
        server ends with SourceSlow."""


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """The outcome of a batch, or of a part of a split one: its `result`, or the `error` that ended it.

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
        """The most bytes in flight (backpressure). A larger batch is accepted when nothing else is in flight."""

    def has_room(self, size_bytes: int) -> bool:
        """Whether a batch of that size may be submitted now."""

    def submit(self, batch: Batch, work: BatchContext) -> None:
        """Takes a batch that was read. Raises ClusterError where its payload finds no room."""

    def wait(self, timeout_seconds: float, also: Sequence[Any] = ()) -> Sequence[BatchOutcome]:
        """Waits for results, or for one of `also`."""
