"""Exports that are read by tasks anywhere in the cluster: a batch stays where it is until a worker takes it."""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ray_import.cluster.failures import to_ours
from ray_import.errors import ImporterError
from ray_import.pipeline.executor import ReadEvent, Reading
from ray_import.pipeline.reading import read_export
from ray_import.records import Batch
from ray_import.settings import ImportSettings
from ray_import.source.address import address_of

AHEAD_OBJECTS = 4
"""Two batches, each of what it is and its payload: while one is worked on, the next is there."""
READER_CPUS = 0.05
"""Two readers a worker (`WORKER_CPUS`), so that one export is opened while another is read, and as many again that wait
for slow servers, fill a CPU. What a worker needs of reading is less: a reader keeps five busy."""
WORKER_CPUS = 0.8
"""Of a worker beside readers: where workers take whole CPUs, readers never find room, and all wait for ever."""


def read_export_remotely(
    source: str, known_version: str, settings: ImportSettings, *, gives_up: bool = False
) -> Iterator[Any]:
    """The events of `read_export` as a task yields them: a Batch without its payload, then the payload as a buffer.

    An ImporterError is yielded instead of raised, because Ray shows the text of what a task raises in its dashboard,
    and in it are names of users and files.
    """
    events = read_export(source, known_version, settings, gives_up=gives_up)
    try:
        for event in events:
            if isinstance(event, Batch):
                yield replace(event, payload=None)
                yield pickle.PickleBuffer(event.payload)
            else:
                yield event
            del event  # its payload may be large, and the next one is read now
    except ImporterError as error:
        yield error


class RayReaders:
    """See `Readers`. Files are read on this machine, objects wherever there is room, or here, too, with `all_here`."""

    def __init__(self, node_id: str, settings: ImportSettings, *, all_here: bool = False) -> None:
        self._settings = settings
        self._read_seconds = 0.0
        task = ray.remote(read_export_remotely)
        common: dict[str, Any] = {
            "name": "read_export",
            "num_returns": "streaming",
            "max_retries": 0,  # a retry would begin in the middle of what is in; the run begins again, and skips it
            "_generator_backpressure_num_objects": AHEAD_OBJECTS,
        }
        here = NodeAffinitySchedulingStrategy(node_id=node_id, soft=False)
        self._here = task.options(num_cpus=0, scheduling_strategy=here, **common)
        anywhere = task.options(num_cpus=READER_CPUS, scheduling_strategy="SPREAD", **common)
        self._anywhere = self._here if all_here else anywhere

    @property
    def read_seconds(self) -> float:
        """For how long all readers together have worked."""
        return self._read_seconds

    def _took(self, seconds: float) -> None:
        self._read_seconds += seconds

    def read(self, source: str, known_version: str, *, gives_up: bool = False) -> Reading:
        is_file = isinstance(address_of(source), Path)
        task = self._here if is_file else self._anywhere
        generator = task.remote(source, known_version, self._settings, gives_up=gives_up)
        return _RayReading(generator, self._took, of_server=not is_file)


class _RayReading:
    def __init__(self, generator: Any, took: Callable[[float], None], *, of_server: bool) -> None:
        self.waits_on: Any = generator
        self.of_server = of_server
        self.problems = ()
        self._took = took
        self._batch: Batch | None = None

    def poll(self) -> ReadEvent | None:
        ready, _ = ray.wait([self.waits_on], timeout=0, fetch_local=False)
        if not ready:
            return None
        try:
            ref = next(self.waits_on)
            # A reader that is lost yields its error last, also where a payload was to come.
            if self._batch is not None and ref != self.waits_on.completed():
                batch, self._batch = self._batch, None
                return replace(batch, payload=ref)
            told = ray.get(ref)
        except ray.exceptions.RayError as error:
            raise to_ours(error) from None
        if isinstance(told, ImporterError):
            raise told
        self._took(told.seconds)
        if isinstance(told, Batch):
            self._batch = told
            return self.poll()
        return told

    def close(self) -> None:
        """See `Reading.close`. A task whose generator nobody holds goes on to its end; what it yields is thrown away.

        It is not cancelled: where a generator ends at that moment, `ray.cancel` makes Ray (2.60) end this process
        ("Tried to complete task that was not pending").
        """
        self.waits_on = None
